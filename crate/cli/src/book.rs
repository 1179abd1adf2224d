//! The book: every executed notebook as an HTML page, and a contents page that begins with the results.
//!
//! Pages are nbconvert's, with the template in `jupyter/book`; this module adds the links between them.

use crate::jupyter::outputs::text;
use crate::jupyter::{Environment, advice};
use crate::products;
use crate::{Error, Result, mathml};
use rethink::paper;
use rethink::run::provenance;
use rethink::study::{Stored, Study, shell};
use rethink_plot::escape::escape_html;
use rethink_plot::export::{FONT_LICENCE, Family};
use rethink_plot::files::write_whole;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where the template wants the links to the other pages.
const LINKS: &str = "<!--rethink-links-->";
/// What the contents page is called.
const INDEX: &str = "index.html";
/// What the licence of the pages' font is called.
const FONT_LICENCE_FILE: &str = "LiberationSans-licence.txt";

/// A page of the book.
struct Page {
    notebook: PathBuf,
    /// What is in it.
    json: Value,
    /// Its file, beside the contents page.
    file: String,
    /// The notebook's first heading.
    title: String,
}

/// Writes the book of `study`'s executed notebooks, and of those that were run elsewhere and are `given`, into `folder`,
/// which is created, each page whole or not at all. Returns the path of the contents page.
///
/// Errors: [`Error::Missing`] where no notebook has been executed; [`Error::Argument`] for a given one that has not been run,
/// for two of one name, and for one with the contents page's; [`Error::Program`] with what nbconvert said; [`Error::Format`] for a notebook that
/// is none; those of [`Study::stored`] and [`Study::claims`].
pub fn write(study: &Study, given: &[PathBuf], environment: &Environment, folder: &Path) -> Result<PathBuf> {
    let pages = pages(study, given)?;
    let converted =
        tempfile::tempdir().map_err(Error::io("create a temporary folder in", std::env::temp_dir()))?;
    convert(&pages, environment, converted.path())?;
    let index = index(study, &pages)?;
    for (at, page) in pages.iter().enumerate() {
        let path = converted.path().join(&page.file);
        let html = fs::read_to_string(&path).map_err(Error::io("read nbconvert's page", &path))?;
        if !html.contains(LINKS) {
            return Err(Error::format("read nbconvert's page", &path, "it is not of this book's template"));
        }
        write_whole(&folder.join(&page.file), html.replace(LINKS, &links(&pages, at)).as_bytes())?;
    }
    // Browsers on machines without the figures' font would set their words wider than they were measured.
    let (name, font) = Family::Sans.file();
    write_whole(&folder.join(name), font)?;
    write_whole(&folder.join(FONT_LICENCE_FILE), FONT_LICENCE.as_bytes())?;
    // Last: its links lead to pages that are there.
    let path = folder.join(INDEX);
    write_whole(&path, index.as_bytes())?;
    Ok(path)
}

/// Whether there is anything to make a book of, before anything is set up for it.
///
/// Errors: [`Error::Missing`], [`Error::Argument`], [`Error::Format`] and [`Error::Io`] as for [`write()`].
pub fn check(study: &Study, given: &[PathBuf]) -> Result<()> {
    pages(study, given).map(|_| ())
}

/// The executed notebooks that are not what their execution wrote: their pages show something else.
///
/// Errors: as for [`check`].
pub fn altered(study: &Study, given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let notebooks = pages(study, given)?.into_iter().map(|page| page.notebook);
    Ok(notebooks.filter(|path| !given.contains(path) && products::is_altered(path)).collect())
}

/// A page for each notebook that is `given`, and for each executed one of another name, by name.
fn pages(study: &Study, given: &[PathBuf]) -> Result<Vec<Page>> {
    let mut pages: BTreeMap<String, Page> = BTreeMap::new();
    for notebook in given {
        let page = page(notebook.clone())?;
        let operation = "make the book";
        if !was_run(&page.json) {
            let problem = "none of its cells has been run: run it in JupyterLab and save it";
            return Err(Error::argument(operation, format!("{}: {problem}", notebook.display())));
        }
        if let Some(other) = pages.insert(page.file.clone(), page) {
            let problem = format!("{} and {} have one name", other.notebook.display(), notebook.display());
            return Err(Error::argument(operation, problem));
        }
    }
    let folder = study.folder().join("notebooks");
    for notebook in executed(&folder)? {
        let page = page(notebook)?;
        pages.entry(page.file.clone()).or_insert(page);
    }
    if pages.is_empty() {
        return Err(Error::Missing {
            what: format!("no executed notebook in {}", folder.display()),
            remedy: format!(
                "`rethink reproduce --data {} --scale {} --out {}` executes them; `rethink book NOTEBOOK` takes one \
                 that was run in JupyterLab",
                shell(&study.named),
                study.scale,
                shell(&study.out.to_string_lossy())
            ),
        });
    }
    Ok(pages.into_values().collect())
}

/// Whether a notebook's cells have been run, some at least.
fn was_run(notebook: &Value) -> bool {
    notebook["cells"].as_array().into_iter().flatten().any(|cell| cell["execution_count"].is_number())
}

/// The executed notebooks in `folder`.
fn executed(folder: &Path) -> Result<Vec<PathBuf>> {
    let operation = "list the executed notebooks";
    let mut notebooks = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder).map_err(Error::io(operation, folder))? {
            let path = entry.map_err(Error::io(operation, folder))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".ipynb") && !name.ends_with(".failed.ipynb") && !name.starts_with('.') {
                notebooks.push(path);
            }
        }
    }
    Ok(notebooks)
}

fn page(notebook: PathBuf) -> Result<Page> {
    let operation = "read the executed notebook";
    let bytes = fs::read(&notebook).map_err(Error::io(operation, &notebook))?;
    let json: Value =
        serde_json::from_slice(&bytes).map_err(|e| Error::format(operation, &notebook, e.to_string()))?;
    let stem = notebook.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let cells = json["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
    let markdown = cells.iter().filter(|cell| cell["cell_type"] == "markdown");
    let heading = |text: &str| {
        text.lines().find_map(|line| line.strip_prefix("# ")).map(|line| line.trim().to_string())
    };
    let title = markdown
        .map(|cell| text(&cell["source"]))
        .find_map(|text| heading(&text))
        .unwrap_or_else(|| stem.clone());
    let file = format!("{stem}.html");
    // Some file systems take large letters for small ones.
    if file.eq_ignore_ascii_case(INDEX) {
        let problem = format!("{}: {INDEX} is the contents page; give it another name", notebook.display());
        return Err(Error::argument("make the book", problem));
    }
    Ok(Page { notebook, json, file, title })
}

/// The notebook with its formulas as MathML: pages are to be read without a network, from which MathJax would come.
fn with_mathml(mut notebook: Value) -> Value {
    for cell in notebook["cells"].as_array_mut().into_iter().flatten() {
        if cell["cell_type"] == "markdown" {
            cell["source"] = mathml::in_markdown(&text(&cell["source"])).into();
        }
    }
    notebook
}

/// Runs nbconvert once for all pages.
fn convert(pages: &[Page], environment: &Environment, into: &Path) -> Result<()> {
    let failed = |problem: String| {
        let remedy = advice::of_kernel(&problem);
        Error::Program { program: "nbconvert".into(), problem, remedy }
    };
    let copies =
        tempfile::tempdir().map_err(Error::io("create a temporary folder in", std::env::temp_dir()))?;
    let mut paths = Vec::with_capacity(pages.len());
    for page in pages {
        let path = copies.path().join(page.notebook.file_name().unwrap_or_default());
        write_whole(&path, with_mathml(page.json.clone()).to_string().as_bytes())?;
        paths.push(path);
    }
    let templates = environment.home().join("templates");
    let said = environment
        .python()
        .args(["-I", "-m", "nbconvert", "--to", "html", "--template", "book", "--log-level", "WARN"])
        .arg(format!("--TemplateExporter.extra_template_basedirs={}", templates.display()))
        .arg("--output-dir")
        .arg(into)
        .args(paths)
        // The user's own settings of nbconvert are for the user's own pages.
        .env("JUPYTER_NO_CONFIG", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Err(failed(lines[lines.len().saturating_sub(15)..].join("\n")))
}

/// Links from page `at` to the page before, the contents and the page after.
fn links(pages: &[Page], at: usize) -> String {
    let link = |page: Option<&Page>, before: &str, after: &str| {
        page.map_or("<span></span>".to_string(), |page| {
            let (file, title) = (address(&page.file), escape_html(&page.title));
            format!("<a href=\"{file}\">{before}{title}{after}</a>")
        })
    };
    format!(
        "<nav style=\"display:flex;justify-content:space-between;gap:2em;padding:1em;font-family:sans-serif;\
         font-size:90%\">{}<a href=\"{INDEX}\">Contents</a>{}</nav>",
        link(at.checked_sub(1).and_then(|before| pages.get(before)), "\u{2190} ", ""),
        link(pages.get(at + 1), "", " \u{2192}")
    )
}

/// A file's name as a relative address.
fn address(file: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    file.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

const STYLE: &str = "\
:root { color-scheme: light dark }
body { font-family: sans-serif; line-height: 1.45; max-width: 70em; margin: 2em auto; padding: 0 1em }
.wide { overflow-x: auto }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid }
th, td { text-align: left; vertical-align: top; padding: 0.25em 0.8em 0.25em 0 }
thead th { border-bottom: 1px solid }
";

/// The contents page: the results, the claims, the notebooks.
fn index(study: &Study, pages: &[Page]) -> Result<String> {
    let mut rows = String::new();
    for recipe in paper::suiting(&study.data) {
        let (paper, ours) = match study.stored(&recipe)? {
            Stored::Whole(results) => {
                let verdict = recipe.verdict(&results)?;
                let ours = verdict.ours().to_string();
                (verdict.paper, ours)
            }
            Stored::Part { missing, of } => {
                (String::new(), format!("not measured: {} of {of} are missing", missing.len()))
            }
        };
        let page = pages.iter().find(|p| p.notebook.file_name().is_some_and(|n| n == recipe.notebook));
        let title = escape_html(recipe.title);
        let item =
            page.map_or(title.clone(), |page| format!("<a href=\"{}\">{title}</a>", address(&page.file)));
        let cells = [study.title(), study.scale.to_string(), paper, ours];
        let cells = cells.map(|cell| format!("<td>{}</td>", escape_html(&cell))).concat();
        rows += &format!("<tr><td>{item}</td>{cells}</tr>\n");
    }
    let claims = study.claims_table(&study.claims(&[])?)?;
    let list = pages.iter().map(|page| {
        format!("<li><a href=\"{}\">{}</a></li>\n", address(&page.file), escape_html(&page.title))
    });
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Rethinking generalization: {data}, scale {scale}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Understanding deep learning requires rethinking generalization</h1>\n\
         <p>The figures and tables of Zhang et al. 2017 and ours beside them: {data}, scale {scale}; rethink {version}, \
         commit {commit}.</p>\n\
         <h2>Results</h2>\n<div class=\"wide\">\n<table>\n<thead><tr><th>item</th><th>data</th><th>scale</th>\
         <th>paper</th><th>ours</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n\
         <h2>Claims</h2>\n<div class=\"wide\">\n{claims}</div>\n\
         <h2>Notebooks</h2>\n<ol>\n{list}</ol>\n</body>\n</html>\n",
        data = escape_html(&study.title()),
        scale = study.scale,
        version = env!("CARGO_PKG_VERSION"),
        commit = escape_html(&provenance::revision()),
        claims = claims.html(),
        list = list.collect::<String>(),
    ))
}
