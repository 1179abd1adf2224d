//! Formulas of Markdown text as MathML, which browsers draw without a script.

use pulldown_cmark::{Event, Options, Parser};
use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Storage, push_mathml};

/// `markdown` with `$...$` and `$$...$$` as MathML. A formula that is none stays as it is written.
pub fn in_markdown(markdown: &str) -> String {
    // Tables are left to who draws them: read as text here, a bar within a formula ends no cell.
    let (mut out, mut done) = (String::new(), 0);
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_MATH).into_offset_iter() {
        let formula = match &event {
            Event::InlineMath(latex) => formula(latex, DisplayMode::Inline),
            Event::DisplayMath(latex) => formula(latex, DisplayMode::Block),
            _ => None,
        };
        if let Some(formula) = formula {
            out += &markdown[done..range.start];
            out += &formula;
            done = range.end;
        }
    }
    out + &markdown[done..]
}

/// `latex` as an element in Markdown text; `None` where it cannot be read.
fn formula(latex: &str, display_mode: DisplayMode) -> Option<String> {
    let storage = Storage::new();
    let events: Result<Vec<_>, _> = pulldown_latex::Parser::new(latex, &storage).collect();
    let config = RenderConfig { display_mode, annotation: Some(latex), ..RenderConfig::default() };
    let mut mathml = String::new();
    push_mathml(&mut mathml, events.ok()?.into_iter().map(Ok::<_, std::fmt::Error>), config).ok()?;
    // What Markdown would take for its own between the tags.
    let (mut out, mut in_tag) = (String::new(), false);
    for c in mathml.chars() {
        in_tag = c == '<' || in_tag && c != '>';
        match c {
            '\n' => out.push(' '),
            '*' | '_' | '[' | ']' | '\\' | '`' | '|' | '$' | '~' if !in_tag => {
                out += &format!("&#{};", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    Some(out)
}
