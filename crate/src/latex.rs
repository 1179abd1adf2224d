//! Plain text for LaTeX, and tables that fit a venue's columns.

use crate::figures::export::Family;
use crate::tables::{Align, Table, cell, one_line};
use crate::venue::Venue;
use crate::{Error, Result};

/// `text` so that LaTeX sets it as it is, in T1 encoding. A character that its Latin fonts lack is named by its number.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '|' => out.push_str("$|$"),
            '\u{2212}' => out.push_str("$-$"),
            '\u{b1}' => out.push_str("$\\pm$"),
            '\u{d7}' => out.push_str("$\\times$"),
            '\u{2264}' => out.push_str("$\\leq$"),
            '\u{2265}' => out.push_str("$\\geq$"),
            '\u{2248}' => out.push_str("$\\approx$"),
            '\u{2013}' => out.push_str("--"),
            '\u{2014}' => out.push_str("---"),
            '\u{2018}' => out.push('`'),
            '\u{2019}' => out.push('\''),
            '\u{201c}' => out.push_str("\\textquotedblleft{}"),
            '\u{201d}' => out.push_str("\\textquotedblright{}"),
            '\u{2026}' => out.push_str("\\ldots{}"),
            '"' => out.push_str("\\textquotedbl{}"),
            // "[" after a line's "\\" would be read as its option.
            '[' | ']' => out.extend(['{', c, '}']),
            // ASCII and the letters of Latin-1, all of which T1 has.
            ' '..='\u{7e}' | '\u{c0}'..='\u{f6}' | '\u{f8}'..='\u{ff}' => out.push(c),
            _ => out.push_str(&format!("{{[}}U+{:04X}{{]}}", u32::from(c))),
        }
    }
    out
}

/// Sizes of a table's type and spaces between its columns, points, the first that fits being taken.
const STEPS: [(f64, f64); 5] = [(9.0, 5.0), (8.0, 4.0), (8.0, 3.0), (7.0, 3.0), (7.0, 2.0)];
/// Of those, the ones for which a table stays in one of two columns instead of spanning both.
const ROOMY: usize = 3;
/// Room for what mathematics is wider than letters.
const SLACK: f64 = 1.03;

/// Places a table: whether it spans the page, its type, its spaces, and the width of each column that is broken into
/// lines, points.
struct Fit {
    spans: bool,
    size: f64,
    space: f64,
    broken: Vec<Option<f64>>,
}

/// `table` as a float of booktabs rules that fits `venue`: in one column where its type stays legible, else over both;
/// column names are broken between words, and, where all else is too wide, the cells of the widest columns.
/// `caption` and `notes` are LaTeX. The preamble needs `array` and `booktabs`.
///
/// Errors: [`Error::Shape`] for a row that is no row of the header's; [`Error::Drawing`] where text cannot be measured.
pub fn table(table: &Table, venue: Venue, caption: &str, notes: &[String]) -> Result<String> {
    table.rows.iter().try_for_each(|row| table.check(row))?;
    let heads = heads(table)?;
    let fit = fit(table, &heads, venue)?;
    let float = if fit.spans && venue.two_columns() { "table*" } else { "table" };
    let letter = |column: usize| match table.align(column) {
        Align::Left => "l",
        Align::Center => "c",
        Align::Right => "r",
    };
    let columns: String = (0..table.header.len())
        .map(|c| match fit.broken[c] {
            Some(width) => format!(">{{\\raggedright\\arraybackslash}}p{{{width:.1}pt}}"),
            None => letter(c).to_string(),
        })
        .collect();
    let row = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    let head = |(column, lines): (usize, &Vec<String>)| {
        let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
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
    let (size, skip, space) = (fit.size, 1.2 * fit.size, fit.space);
    let mut out = format!(
        "\\begin{{{float}}}[htbp]\n  \\centering\n  \\caption{{{caption}}}\n  \\label{{tab:{}}}\n  \
         \\fontsize{{{size}}}{{{skip:.1}}}\\selectfont\n  \\setlength{{\\tabcolsep}}{{{space}pt}}\n  \
         \\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n    \\toprule\n",
        table.id
    );
    out += &row(heads.iter().enumerate().map(head).collect());
    out += "    \\midrule\n";
    for cells in &table.rows {
        out += &row((0..table.header.len()).map(|c| escape(cell(cells, c))).collect());
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

/// The names of the columns, broken between words where they are wider than all cells below them.
fn heads(table: &Table) -> Result<Vec<Vec<String>>> {
    let mut heads = Vec::with_capacity(table.header.len());
    for (column, name) in table.header.iter().enumerate() {
        let mut room = 0.0f64;
        for cells in &table.rows {
            room = room.max(width(cell(cells, column))?);
        }
        for word in name.split_whitespace() {
            room = room.max(width(word)?);
        }
        heads.push(Family::Serif.wrap(name, 1.0, room / SLACK * 1.0001)?);
    }
    Ok(heads)
}

fn fit(table: &Table, heads: &[Vec<String>], venue: Venue) -> Result<Fit> {
    let mut widths = Vec::with_capacity(heads.len());
    for (column, head) in heads.iter().enumerate() {
        let mut widest = 0.0f64;
        for text in head.iter().map(String::as_str).chain(table.rows.iter().map(|r| cell(r, column))) {
            widest = widest.max(width(text)?);
        }
        widths.push(widest);
    }
    let spaces = 2.0 * heads.len().saturating_sub(1) as f64;
    let (one, page) = (venue.column_in() * 72.27, venue.text_in() * 72.27);
    let natural: f64 = widths.iter().sum();
    let broken = vec![None; heads.len()];
    let fits = |(size, space): &(f64, f64), room: f64| natural * size + spaces * space <= room;
    let in_column = STEPS[..ROOMY].iter().find(|step| fits(step, one)).map(|step| (false, step));
    let on_page = || STEPS.iter().find(|step| fits(step, page)).map(|step| (true, step));
    if let Some((spans, &(size, space))) = in_column.or_else(on_page) {
        return Ok(Fit { spans, size, space, broken });
    }
    let (size, space) = STEPS[STEPS.len() - 1];
    let mut fit = Fit { spans: true, size, space, broken };
    let mut wide: Vec<f64> = widths.iter().map(|w| w * size).collect();
    let mut least = Vec::with_capacity(wide.len());
    for column in 0..heads.len() {
        let mut word = 0.0f64;
        let cells = table.rows.iter().map(|r| cell(r, column));
        for text in cells.chain([table.header[column].as_str()]).flat_map(str::split_whitespace) {
            word = word.max(width(text)?);
        }
        least.push(word * size + 0.5);
    }
    // The widest loses what is too much, but no column gets narrower than the next widest at once, or than a word.
    loop {
        let excess = wide.iter().sum::<f64>() + spaces * space - page;
        if excess <= 0.0 {
            return Ok(fit);
        }
        let mut order: Vec<usize> = (0..wide.len()).filter(|&c| wide[c] > least[c]).collect();
        order.sort_by(|a, b| wide[*b].total_cmp(&wide[*a]));
        let Some(&widest) = order.first() else {
            let problem = format!("{} has too many columns for {}", table.id, venue.title());
            return Err(Error::argument("fit the table", problem));
        };
        let next = order.get(1).map_or(0.0, |&c| wide[c]);
        let most = (wide[widest] - excess).max(next.min(0.9 * wide[widest])).max(least[widest]);
        (wide[widest], fit.broken[widest]) = (most, Some(most));
    }
}
