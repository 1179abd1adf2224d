//! Figures, tables and captions as files for a paper in a venue's measure, and a small paper that includes them all.

use crate::{Error, Result};
use rethink::measure::Measured;
use rethink::paper::{Product, Recipe, Results};
use rethink::run::provenance;
use rethink::store::Run;
use rethink_nn::text::hex;
use rethink_plot::escape::escape_latex;
use rethink_plot::files::write_whole;
use rethink_plot::latex;
use rethink_plot::output::{check_id, json_bytes, write_all};
use rethink_plot::tables::Table;
use rethink_plot::venue::Venue;
use rethink_plot::{Content, Drawing, PRINT_DPI, pgf};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const WRITE: &str = "export";

/// A figure or table and what it was made from.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub recipe: Recipe,
    /// The figure, in any style, or the table.
    pub product: Product,
    /// Where its numbers come from.
    pub origin: ItemOrigin,
}

/// Where numbers come from: which runs or measurements, and which code made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemOrigin {
    /// "runs" or "measurements".
    kind: &'static str,
    /// Their keys, in order.
    keys: Vec<String>,
    /// The commits that they were made at, each once.
    revisions: Vec<String>,
}

impl ItemOrigin {
    /// Of `results`.
    pub fn of(results: &Results) -> ItemOrigin {
        let (kind, all): (_, Vec<(String, &str)>) = match results {
            Results::Runs(runs) => {
                let one = |r: &'_ Run| r.record.config.key();
                ("runs", runs.iter().map(|r| (one(r), r.record.provenance.revision.as_str())).collect())
            }
            Results::Measured(measured) => {
                let one = |m: &'_ Measured| m.record.measurement.key();
                let all = measured.iter().map(|m| (one(m), m.record.provenance.revision.as_str()));
                ("measurements", all.collect())
            }
        };
        let mut keys: Vec<String> = all.iter().map(|(key, _)| key.clone()).collect();
        let mut revisions: Vec<String> = all.iter().map(|(_, revision)| revision.to_string()).collect();
        for list in [&mut keys, &mut revisions] {
            list.sort();
            list.dedup();
        }
        ItemOrigin { kind, keys, revisions }
    }

    /// Whether it is made of runs or measurements at all.
    pub fn has_runs(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the keys, in order, a line each.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.keys.join("\n").as_bytes())[..8])
    }

    /// For a caption: how many runs, their key or the digest of their keys, and the commits.
    pub fn sentence(&self) -> String {
        let what = match &self.keys[..] {
            [] => return format!("Without runs; code at commit {}.", commit(&provenance::revision())),
            [key] => format!("1 {} ({key})", self.kind.trim_end_matches('s')),
            keys => format!("{} {} (keys' digest {})", keys.len(), self.kind, self.digest()),
        };
        let commits: Vec<String> = self.revisions.iter().take(3).map(|r| commit(r)).collect();
        let more = match self.revisions.len().saturating_sub(3) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let plural = if self.revisions.len() == 1 { "" } else { "s" };
        format!("{what} at commit{plural} {}{more}.", commits.join(", "))
    }
}

/// The first 12 digits of a commit, and whether there were changes; or that it is unknown, and why.
fn commit(revision: &str) -> String {
    if revision.starts_with("unknown") {
        return revision.into();
    }
    let (hash, changes) =
        revision.split_once('+').map_or((revision, ""), |(hash, _)| (hash, " with changes"));
    format!("{}{changes}", hash.chars().take(12).collect::<String>())
}

/// Writes `items` in the measure of `venue` into `folder`, which is created, each file whole or not at all: a figure as
/// ID.svg, ID.pdf, ID.png, ID.tex (pgfplots) with its data in ID.csv, ID-caption.tex and ID.json; a table as ID.tex
/// (booktabs), ID.csv and ID.json; and paper.tex, which includes everything. `about` says, in a line of plain text, what
/// was run. Returns the paths.
///
/// Errors: [`Error::Argument`] for no items and for an id that is no file's name; [`Error::Drawing`]; [`Error::Io`] naming
/// the file.
pub fn write(items: &[Item], about: &str, venue: Venue, folder: &Path) -> Result<Vec<PathBuf>> {
    if items.is_empty() {
        return Err(Error::argument(WRITE, "there is nothing to write"));
    }
    let mut paths = Vec::new();
    let mut drawings = Vec::new();
    for item in items {
        match &item.product {
            Product::Figure(drawing) => {
                let drawing = drawing.restyled(&venue.style())?;
                paths.extend(figure(item, &drawing, folder)?);
                drawings.push(drawing);
            }
            Product::Table(table) => paths.extend(write_table(item, table, venue, folder)?),
        }
    }
    let tables = items.iter().filter_map(|item| match &item.product {
        Product::Table(table) => Some(table.id.as_str()),
        Product::Figure(_) => None,
    });
    let path = folder.join("paper.tex");
    write_whole(&path, paper(&drawings, &tables.collect::<Vec<_>>(), about, venue).as_bytes())?;
    paths.push(path);
    Ok(paths)
}

fn figure(item: &Item, drawing: &Drawing, folder: &Path) -> Result<Vec<PathBuf>> {
    let id = &drawing.id;
    check_id(WRITE, id)?;
    let pgf = drawing.pgfplots(&format!("{id}.csv"))?;
    let (source, data) = match pgf {
        Some(pgf) => (pgf.source, pgf.data.into_bytes()),
        None => (included(id), drawing.csv()?),
    };
    let mut sentences = vec![drawing.caption.clone(), after(item)];
    sentences.extend(drawing.notes.iter().cloned());
    sentences.push(item.origin.sentence());
    let caption = format!("\\caption{{{}}}\n\\label{{fig:{id}}}\n", escape_latex(&joined(&sentences)));
    let files = vec![
        ("svg", drawing.svg.clone().into_bytes()),
        ("pdf", drawing.pdf()?),
        ("png", drawing.png(PRINT_DPI)?),
        ("tex", source.into_bytes()),
        ("csv", data),
        ("json", json_bytes(&drawing.about())),
    ];
    let mut paths = write_all(folder, id, files)?;
    paths.extend(write_all(folder, &format!("{id}-caption"), vec![("tex", caption.into_bytes())])?);
    Ok(paths)
}

/// What stands in for the pgfplots source of a drawing that has no axes.
fn included(id: &str) -> String {
    format!(
        "% A drawing without axes, which pgfplots cannot draw: its PDF is included, sought in the folder \\rethinkfolder.\n\
         \\providecommand{{\\rethinkfolder}}{{}}%\n\\includegraphics{{\\rethinkfolder {id}.pdf}}%\n"
    )
}

fn write_table(item: &Item, table: &Table, venue: Venue, folder: &Path) -> Result<Vec<PathBuf>> {
    check_id(WRITE, &table.id)?;
    let (_, title) = place(item);
    let mut title = title.to_string();
    if let Some(first) = title.get(..1).map(str::to_uppercase) {
        title.replace_range(..1, &first);
    }
    let mut sentences = vec![title, after(item)];
    sentences.extend(table.notes.first().cloned());
    let caption = escape_latex(&joined(&sentences));
    let mut notes: Vec<String> = table.notes.iter().skip(1).map(|note| escape_latex(note)).collect();
    notes.push(escape_latex(&item.origin.sentence()));
    let latex = latex::table(table, venue, &caption, &notes)?;
    let files = vec![
        ("tex", latex.into_bytes()),
        ("csv", table.csv().into_bytes()),
        ("json", json_bytes(&table.about())),
    ];
    Ok(write_all(folder, &table.id, files)?)
}

/// Where the paper has the item ("figure 1a"), and what it is.
fn place(item: &Item) -> (String, &'static str) {
    let (place, title) = item.recipe.title.split_once(": ").unwrap_or(("", item.recipe.title));
    let mut letters = place.chars();
    let first = letters.next().map_or(String::new(), |c| c.to_lowercase().to_string());
    (first + letters.as_str(), title)
}

/// "After figure 1a of Zhang et al. (2017)".
fn after(item: &Item) -> String {
    format!("After {} of Zhang et al. (2017)", place(item).0)
}

/// Without the last full stop.
fn bare(sentence: &str) -> &str {
    sentence.trim_end().trim_end_matches('.')
}

/// Sentences one after the other, each ended.
fn joined(sentences: &[String]) -> String {
    let ended = sentences.iter().map(|s| bare(s)).filter(|s| !s.is_empty()).map(|s| format!("{s}."));
    ended.collect::<Vec<_>>().join(" ")
}

fn paper(drawings: &[Drawing], tables: &[&str], about: &str, venue: Venue) -> String {
    let first = drawings.first().map(|d| d.id.as_str()).or(tables.first().copied()).unwrap_or_default();
    let columns = if venue.two_columns() { ",twocolumn" } else { "" };
    let gap = venue.text_in() - 2.0 * venue.column_in();
    let gap = if venue.two_columns() { format!(", columnsep={gap:.4}in") } else { String::new() };
    let mut out = format!(
        "% Figures and tables in the measure of {title}: columns of {column:.3} in, text of {text:.3} in.\n\
         % The venue's own class or style is to be had from the venue. To include single items in a paper:\n\
         %   a figure as it was drawn:    \\includegraphics{{ID.pdf}}, with \\usepackage{{graphicx}}\n\
         %   the same by pgfplots:        \\input{{ID.tex}}, with the lines on pgfplots below; data in ID.csv\n\
         %   its caption and label:       \\input{{ID-caption.tex}}, inside the figure environment\n\
         %   a table with its caption:    \\input{{ID.tex}}, with \\usepackage{{array,booktabs}}\n\
         % as {first}. All text is for \\usepackage[T1]{{fontenc}}. Figures are drawn in their final size: do not scale them.\n\
         % This file: pdflatex paper.tex, twice.\n\
         \\pdfminorversion=7 % that of the included PDFs\n\
         \\documentclass[10pt,letterpaper{columns}]{{article}}\n\
         \\usepackage[textwidth={text:.4}in, textheight={height}in{gap}]{{geometry}}\n\
         \\usepackage[T1]{{fontenc}}\n\\usepackage[utf8]{{inputenc}}\n\\usepackage{{mathptmx}}\n\
         \\usepackage{{array,booktabs,graphicx}}\n\\usepackage[font={caption}]{{caption}}\n{preamble}\
         % Floats with little text between them.\n\
         \\renewcommand{{\\topfraction}}{{0.9}}\n\\renewcommand{{\\dbltopfraction}}{{0.9}}\n\
         \\renewcommand{{\\textfraction}}{{0.05}}\n\\renewcommand{{\\floatpagefraction}}{{0.6}}\n\
         \\renewcommand{{\\dblfloatpagefraction}}{{0.6}}\n\\setlength{{\\emergencystretch}}{{2em}}\n\
         \\title{{Figures and tables after Zhang et al.\\ (2017)}}\n\\author{{}}\n\\date{{}}\n\
         \\begin{{document}}\n\\maketitle\n\
         \\noindent {about} Each figure stands here twice: as it was drawn, and by pgfplots.\n",
        title = venue.title(),
        column = venue.column_in(),
        text = venue.text_in(),
        height = venue.height_in(),
        caption = venue.caption_size(),
        preamble = pgf::PREAMBLE,
        about = escape_latex(about),
    );
    if !drawings.is_empty() {
        out += "\n\\section*{Figures}\n";
    }
    for drawing in drawings {
        let id = &drawing.id;
        let wide = venue.two_columns() && drawing.width > venue.column_in() + 1e-6;
        let float = if wide { "figure*" } else { "figure" };
        let twice = match (&drawing.content, venue.two_columns()) {
            (Content::Custom(_), _) => format!("\\input{{{id}.tex}}"),
            (_, true) => format!("\\includegraphics{{{id}.pdf}}\\par\\medskip\n\\input{{{id}.tex}}"),
            (_, false) => format!("\\includegraphics{{{id}.pdf}}\\hfill\n\\input{{{id}.tex}}"),
        };
        out += &format!(
            "\n\\begin{{{float}}}[htbp]\n\\centering\n{twice}\n\\input{{{id}-caption.tex}}\n\\end{{{float}}}\n"
        );
    }
    if !tables.is_empty() {
        out += "\n\\clearpage\n\\section*{Tables}\n\n";
    }
    for id in tables {
        out += &format!("\\input{{{id}.tex}}\n");
    }
    out + "\n\\end{document}\n"
}
