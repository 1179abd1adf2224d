//! Tables that fit a venue's columns.

use crate::escape::{escape_latex, one_line};
use crate::export::Family;
use crate::tables::{Align, Table, cell};
use crate::venue::{INCH, Venue};
use crate::{Error, Result};

/// Sizes of a table's type and spaces between its columns, points, the first that fits being taken.
const STEPS: [(f64, f64); 5] = [(9.0, 5.0), (8.0, 4.0), (8.0, 3.0), (7.0, 3.0), (7.0, 2.0)];
/// Of those, the ones for which a table stays in one of two columns instead of spanning both.
const ROOMY: usize = 3;
/// Room for what mathematics is wider than letters.
const SLACK: f64 = 1.03;

/// How a table is placed: whether it spans the page, its type, the space on either side of a column, the lines of its
/// column names, and the width of each column whose cells are broken into lines; points.
struct Fit {
    spans: bool,
    size: f64,
    space: f64,
    heads: Vec<Vec<String>>,
    broken: Vec<Option<f64>>,
    /// Whether a deviation stays beside its mean.
    glued: bool,
}

/// `table` as a float of booktabs rules that fits `venue`: in one column where its type stays legible, else over both;
/// column names are broken between words, and, where all else is too wide, the cells of the widest columns.
/// `caption` and `notes` are LaTeX. The preamble needs `array` and `booktabs`.
///
/// Errors: [`Error::Shape`] for a row that is no row of the header's; [`Error::Argument`] for a table that is too wide at
/// any size; [`Error::Drawing`] where text cannot be measured.
pub fn table(table: &Table, venue: Venue, caption: &str, notes: &[String]) -> Result<String> {
    table.rows.iter().try_for_each(|row| table.check(row))?;
    let fit = fit(table, venue)?;
    let float = if fit.spans && venue.two_columns() { "table*" } else { "table" };
    let letter = |column: usize| match table.align(column) {
        Align::Left => "l",
        Align::Center => "c",
        Align::Right => "r",
    };
    let ragged = |column: usize| match table.align(column) {
        Align::Left => "\\raggedright",
        Align::Center => "\\centering",
        Align::Right => "\\raggedleft",
    };
    let columns: String = (0..table.header.len())
        .map(|c| match fit.broken[c] {
            Some(width) => format!(">{{{}\\arraybackslash}}p{{{width:.1}pt}}", ragged(c)),
            None => letter(c).to_string(),
        })
        .collect();
    let row = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    let head = |(column, lines): (usize, &Vec<String>)| {
        let lines: Vec<String> = lines.iter().map(|line| escape_latex(line)).collect();
        match lines.len() {
            0 | 1 => lines.concat(),
            // At the bottom, so that the last lines stand on the rule.
            _ => format!(
                "\\begin{{tabular}}[b]{{@{{}}{}@{{}}}}{}\\end{{tabular}}",
                letter(column),
                lines.join("\\\\")
            ),
        }
    };
    let body = |text: &str| {
        if fit.glued { escape_latex(text).replace(" $\\pm$ ", "~$\\pm$~") } else { escape_latex(text) }
    };
    let (size, skip, space) = (fit.size, 1.2 * fit.size, fit.space);
    let mut out = format!(
        "\\begin{{{float}}}[htbp]\n  \\centering\n  \\caption{{{caption}}}\n  \\label{{tab:{}}}\n  \
         \\fontsize{{{size}}}{{{skip:.1}}}\\selectfont\n  \\setlength{{\\tabcolsep}}{{{space}pt}}\n  \
         \\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n    \\toprule\n",
        table.id
    );
    out += &row(fit.heads.iter().enumerate().map(head).collect());
    out += "    \\midrule\n";
    for cells in &table.rows {
        out += &row((0..table.header.len()).map(|c| body(cell(cells, c))).collect());
    }
    out += "    \\bottomrule\n  \\end{tabular}\n";
    for note in notes {
        out += &format!("  \\par\\smallskip{{\\footnotesize\\raggedright {note}\\par}}\n");
    }
    Ok(out + &format!("\\end{{{float}}}\n"))
}

/// Width of `text` at one point.
fn width(text: &str) -> Result<f64> {
    Ok(SLACK * Family::Serif.width(&one_line(text), 1.0)?)
}

/// The widest of `texts` at one point.
fn widest<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<f64> {
    texts.into_iter().try_fold(0.0f64, |most, text| Ok(most.max(width(text)?)))
}

/// What of a cell stays on one line: its words, a mean with its deviation where these are `glued`.
fn pieces(text: &str, glued: bool) -> Vec<String> {
    let text = if glued { text.replace(" \u{b1} ", "\u{a0}\u{b1}\u{a0}") } else { text.to_string() };
    text.split([' ', '\t', '\n']).map(String::from).collect()
}

fn fit(table: &Table, venue: Venue) -> Result<Fit> {
    let columns = 0..table.header.len();
    let (one, page) = (venue.column_in() * INCH, venue.text_in() * INCH);
    let spaces = 2.0 * columns.len().saturating_sub(1) as f64;
    // At one point: cells whole, the widest word of a name, and names broken where they are wider than all cells below.
    let (mut widths, mut heads) = (Vec::new(), Vec::new());
    for column in columns.clone() {
        let words = widest(table.header[column].split_whitespace())?;
        let room = widest(table.rows.iter().map(|row| cell(row, column)))?.max(words);
        heads.push(head(&table.header[column], room)?);
        widths.push(room);
    }
    let natural: f64 = widths.iter().sum();
    let fits = |(size, space): &(f64, f64), room: f64| natural * size + spaces * space <= room;
    let in_column = STEPS[..ROOMY].iter().find(|step| fits(step, one)).map(|step| (false, step));
    let on_page = || STEPS.iter().find(|step| fits(step, page)).map(|step| (true, step));
    let broken = vec![None; columns.len()];
    if let Some((spans, &(size, space))) = in_column.or_else(on_page) {
        return Ok(Fit { spans, size, space, heads, broken, glued: true });
    }
    let (size, space) = STEPS[STEPS.len() - 1];
    for glued in [true, false] {
        let mut least = Vec::with_capacity(widths.len());
        for column in columns.clone() {
            let mut all: Vec<String> =
                table.rows.iter().flat_map(|row| pieces(cell(row, column), glued)).collect();
            all.extend(pieces(&table.header[column], glued));
            least.push(size * widest(all.iter().map(String::as_str))? + 0.5);
        }
        let wide = widths.iter().map(|w| w * size).collect();
        let Some(narrow) = narrowed(wide, &least, page - spaces * space) else { continue };
        let mut broken = broken.clone();
        for column in columns.clone().filter(|&c| narrow[c] < widths[c] * size) {
            broken[column] = Some(narrow[column]);
            heads[column] = head(&table.header[column], narrow[column] / size)?;
        }
        return Ok(Fit { spans: true, size, space, heads, broken, glued });
    }
    let problem = format!("{} has too many columns for {}", table.id, venue.title());
    Err(Error::argument("fit the table", problem))
}

/// The lines of a column's name in `room` points, at one point.
fn head(name: &str, room: f64) -> Result<Vec<String>> {
    Family::Serif.wrap(name, 1.0, room / SLACK * 1.0001)
}

/// Columns of `wide`, made narrower from the widest on until they fit `room`, none narrower than `least`; `None` where they
/// cannot.
fn narrowed(mut wide: Vec<f64>, least: &[f64], room: f64) -> Option<Vec<f64>> {
    loop {
        let excess = wide.iter().sum::<f64>() - room;
        if excess <= 0.0 {
            return Some(wide);
        }
        let mut order: Vec<usize> = (0..wide.len()).filter(|&c| wide[c] > least[c]).collect();
        order.sort_by(|a, b| wide[*b].total_cmp(&wide[*a]));
        let widest = *order.first()?;
        // Not narrower than the next widest at once.
        let next = order.get(1).map_or(0.0, |&c| wide[c]);
        wide[widest] = (wide[widest] - excess).max(next.min(0.9 * wide[widest])).max(least[widest]);
    }
}
