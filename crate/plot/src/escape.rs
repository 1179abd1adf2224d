//! Plain text within LaTeX, Markdown, CSV and HTML, so that each shows it as it is.

/// `text` so that LaTeX sets it as it is, in T1 encoding. A character that its Latin fonts lack is named by its number.
pub fn escape_latex(text: &str) -> String {
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

/// Line breaks and tabs would break a row apart.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `text` as Markdown shows it as it is, in a table's cell too.
pub(crate) fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '*' | '_' | '`' | '[' | ']' | '~' | '$' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// `text` as a field of CSV.
pub(crate) fn escape_csv(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

/// `text` with what HTML would read as markup replaced.
pub fn escape_html(text: &str) -> String {
    one_line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
