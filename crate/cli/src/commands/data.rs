//! `rethink data list | fetch NAME | verify DIR`.

use crate::{Error, Result};
use comfy_table::{Table, presets};
use rethink::data::{self, Folder, Format, Known, Places, Source, fetch as download, shapes10};
use rethink_nn::text::{counted, thousands};
use serde_json::json;
use std::path::Path;

/// Prints which data sets are known, where each was found, what its files are and how large it is, and which one
/// is used when none is named. With `json`, one line: an array with an object a data set.
///
/// Errors: none of its own; a `RETHINK_DATA` without a data set is said in the output.
pub fn list(json: bool) -> Result<()> {
    let places = Places::from_env();
    let default = places.pick(None);
    let is_default = |source: &Source| default.as_ref().is_ok_and(|d| d.source == *source);
    let mut rows = Vec::new();
    for known in data::known() {
        let found = places.find(known);
        let count = found.as_ref().and_then(|(_, folder)| known.format.count(folder));
        let source = found.as_ref().map(|(_, folder)| Source::Folder(known.format, folder.clone()));
        let title = found.as_ref().and_then(|(_, folder)| title(known, folder));
        rows.push(json!({
            "name": known.name,
            "about": known.about,
            "title": title,
            "place": found.as_ref().map(|(place, _)| match place {
                Folder::Named => "RETHINK_DATA",
                Folder::Cache => "cache",
            }),
            "folder": found.as_ref().map(|(_, folder)| folder.display().to_string()),
            "train": count.map(|c| c.0),
            "test": count.map(|c| c.1),
            "fetchable": known.download.is_some(),
            "default": source.is_some_and(|s| is_default(&s)),
        }));
    }
    rows.push(json!({
        "name": data::SHAPES10,
        "about": shapes10::ABOUT,
        "title": shapes10::EMBEDDED.title,
        "place": "embedded",
        "folder": null,
        "train": shapes10::TRAIN,
        "test": shapes10::TEST,
        "fetchable": false,
        "default": is_default(&Source::Shapes10),
    }));
    if json {
        println!("{}", serde_json::Value::from(rows));
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(["", "name", "train", "test", "where", "what"]);
    for row in &rows {
        let number = |key: &str| row[key].as_u64().map_or("-".into(), |n| thousands(n as usize));
        let place = match (row["folder"].as_str(), row["place"].as_str()) {
            (Some(folder), _) => folder.to_string(),
            (None, Some(place)) => place.to_string(),
            _ if row["fetchable"] == true => {
                format!("not here: rethink data fetch {}", row["name"].as_str().unwrap_or(""))
            }
            _ => "not here".to_string(),
        };
        let mark = if row["default"] == true { "*" } else { "" };
        let text = |key: &str| row[key].as_str().unwrap_or("").to_string();
        let what =
            if row["folder"].is_string() && row["title"].is_string() { text("title") } else { text("about") };
        table.add_row([mark.to_string(), text("name"), number("train"), number("test"), place, what]);
    }
    println!("{table}");
    match default {
        Ok(choice) => println!("* used when no data set is named: {}", choice.why),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// What the files in `folder` are called, by their checksums; of those that take long to read, nothing.
fn title(known: &Known, folder: &Path) -> Option<String> {
    (!known.format.slow).then(|| known.format.read(folder).ok()).flatten().map(|data| data.title)
}

/// Downloads the data set `name` into the user's cache and prints what it then is.
///
/// Errors: as [`download::fetch`].
pub fn fetch(name: &str) -> Result<()> {
    let folder = download::fetch(name)?;
    let verified = data::verify(&folder)?;
    println!("{}\n{:?}\n{}", folder.display(), verified.data, verified.verdict);
    Ok(())
}

/// Checks the data set in `folder`, or each known one inside it, and prints a report.
///
/// Errors: as [`data::verify`]; of several data sets, the last error after all have been checked.
pub fn verify(folder: &Path) -> Result<()> {
    let inside: Vec<_> =
        data::known().into_iter().map(|k| folder.join(k.folder)).filter(|f| f.is_dir()).collect();
    if Format::of(folder).is_some() || inside.is_empty() {
        return verify_one(folder);
    }
    let mut failed: Option<Error> = None;
    for folder in inside {
        if let Err(error) = verify_one(&folder)
            && let Some(earlier) = failed.replace(error)
        {
            println!("{earlier}");
        }
    }
    failed.map_or(Ok(()), Err)
}

fn verify_one(folder: &Path) -> Result<()> {
    let verified = data::verify(folder)?;
    let data = &verified.data;
    println!("{}: {}", folder.display(), verified.format.title);
    for (name, bytes, sha) in &verified.files {
        println!("  {name:28} {:>12} bytes  sha256 {sha}", thousands(*bytes as usize));
    }
    for (title, split) in [("train", &data.train), ("test", &data.test)] {
        let mut count = vec![0; data.classes.len()];
        for &label in &split.labels {
            count[usize::from(label)] += 1;
        }
        let [least, most] = [count.iter().min(), count.iter().max()].map(|c| thousands(*c.unwrap_or(&0)));
        println!("  {title}: {}, {least} to {most} a class", counted(split.len(), "image"));
    }
    println!("  {}; fingerprint {}\n  {}", data.title, data.fingerprint, verified.verdict);
    Ok(())
}
