//! The documents: their links lead somewhere, README's table is what the command writes, and its code compiles and runs.

use rethink::prelude::*;
use rethink_tests::{rethink_bin, root};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every Markdown file that a reader may come to.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("crate/docs"), root().join("crate/notes")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages.extend(["README.md", "datasets/README.md", "figures/README.md"].map(|page| root().join(page)));
    pages.sort();
    pages
}

/// The text without blocks and spans of code, in which brackets are no links.
fn prose(text: &str) -> String {
    let (mut prose, mut fenced) = (String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            // Every second part between backquotes is code.
            line.split('`').step_by(2).for_each(|part| prose.push_str(part));
            prose.push('\n');
        }
    }
    prose
}

/// What a page leads to: targets of Markdown links and pictures, and of HTML's `src`, `srcset` and `href`.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let mut targets = Vec::new();
    for (before, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
        for part in prose.split(before).skip(1) {
            targets.extend(part.split(end).next().map(String::from));
        }
    }
    targets
}

/// The names that headings get on GitHub.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn links_between_pages_resolve() {
    let (mut dead, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in targets(&text) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let to = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let there = to.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&to).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !there {
                dead.push(format!("{}: {target}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
    assert!(count > 100, "{count} links found");
}

#[test]
fn every_item_has_a_page_that_the_gallery_names() {
    let gallery = root().join("crate/docs/gallery");
    let index = fs::read_to_string(gallery.join("README.md")).unwrap();
    for recipe in paper::ALL {
        let page = fs::read_to_string(gallery.join(format!("{}.md", recipe.id)))
            .unwrap_or_else(|e| panic!("{}: {e}", recipe.id));
        assert!(index.contains(&format!("({}.md)", recipe.id)), "{}", recipe.id);
        for part in ["## Result", "## Code", "## Limits", recipe.notebook] {
            assert!(page.contains(part), "{}: {part}", recipe.id);
        }
    }
}

/// The files below `folder`, each with its path from there.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.push((path.strip_prefix(folder).unwrap().to_path_buf(), bytes));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_table_of_results_is_what_the_command_writes() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("README.md");
    let committed = fs::read_to_string(root().join("README.md")).unwrap();
    // What is between the marks is written anew.
    let mut emptied = committed.clone();
    for name in ["status", "numbers"] {
        let begin = format!("<!-- {name}: written by `rethink status --write README.md` -->");
        let end = format!("<!-- {name}: end -->");
        let (before, rest) = emptied.split_once(&begin).expect(name);
        let (_, after) = rest.split_once(&end).expect(name);
        emptied = format!("{before}{begin}\n{end}{after}");
    }
    assert!(emptied.len() + 1_000 < committed.len());
    fs::write(&copy, emptied).unwrap();
    let status = |file: &Path| {
        let mut command = Command::new(rethink_bin());
        command.arg("status").arg("--out").arg(root().join("figures/published")).arg("--write").arg(file);
        command.env_remove("RETHINK_DATA").env("XDG_CACHE_HOME", "/nonexistent").output().unwrap()
    };
    let said = status(&copy);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let again = "README.md is not what `rethink status --write README.md` writes from figures/published";
    assert!(fs::read_to_string(&copy).unwrap() == committed, "{again}");
    let pictures = files(&folder.path().join("crate/docs/pictures"));
    assert!(pictures.len() >= 8, "{} pictures", pictures.len());
    for (name, bytes) in pictures {
        let there = fs::read(root().join("crate/docs/pictures").join(&name)).unwrap_or_default();
        assert!(there == bytes, "{} differs: {again}", name.display());
    }

    let without = folder.path().join("other.md");
    fs::write(&without, "# No marks\n").unwrap();
    let refused = status(&without);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("other.md"), "{message}");
    assert_eq!(fs::read_to_string(&without).unwrap(), "# No marks\n");
}

/// README's example, as it stands there; `split` makes the images and labels that a reader has.
#[test]
#[ignore = "run by the test below, in an environment of its own"]
fn example() {
    let names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    let split = |n: usize| data::Split {
        images: (0..n * 3 * 32 * 32).map(|i| (i * i % 251) as u8).collect(),
        labels: (0..n).map(|i| (i % 10) as u16).collect(),
    };
    let (train, test) = (split(40), split(20));
    let shown = || -> rethink::Result<Run> {
        let study: Study = Study::from_environment()?;
        let layers =
            vec![Layer::conv(5, 6), Layer::max_pool(2), Layer::hidden(84), Layer::scores(names.len())];
        let data: Dataset = Dataset::new("mine", "My images", names, [3, 32, 32], train, test)?;
        let noisy: Dataset =
            data.changed("mine-shifted", "My images, every third label wrong", |train, _test| {
                train.labels.iter_mut().step_by(3).for_each(|label| *label = u16::from(*label == 0));
            })?;
        let network: ModelKind = ModelKind::Custom(CustomModel::new("small-net", layers)?);
        let own: Study = Study::of(noisy, &study);
        let runs: Vec<Run> = own.train(&[own.config(network, Corruption::TrueLabels)])?;
        Ok(runs[0].clone())
    };
    let run = shown().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((run.record.config.data.train, run.record.config.model.title()), (40, "small-net"));
}

#[test]
fn the_example_runs_as_it_stands_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let block =
        readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let own: Vec<&str> = include_str!("docs.rs").lines().map(str::trim).collect();
    let lines: Vec<&str> = block.lines().map(str::trim).collect();
    assert!((8..=12).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(lines.last(), Some(&"runs[0]"));
    for line in &lines[..lines.len() - 1] {
        assert!(own.contains(line), "not in this test: {line}");
    }
    let out = tempfile::tempdir().unwrap();
    let said = Command::new(std::env::current_exe().unwrap())
        .args(["docs::example", "--exact", "--ignored"])
        .envs([("RETHINK_DATASET", "shapes10"), ("RETHINK_SCALE", "smoke")])
        .env("RETHINK_OUT", out.path())
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    assert_eq!(
        fs::read_dir(out.path().join("runs")).unwrap().flatten().filter(|e| e.path().is_file()).count(),
        1
    );
}

#[test]
fn commands_in_the_documents_exist() {
    let help = |of: &[&str]| {
        let said = Command::new(rethink_bin()).arg("help").args(of).output().unwrap();
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let mut seen: BTreeSet<(String, BTreeSet<String>)> = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(page).unwrap().replace("\\\n", " ");
        for line in text.lines().filter(|line| line.starts_with("    ")) {
            let line = line.split(" # ").next().unwrap_or(line);
            let call = line.trim_start();
            let calls = ["rethink ", "cargo run --release -- "];
            let Some(rest) = calls.iter().find_map(|program| call.strip_prefix(program)) else {
                continue;
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            let Some(command) = words.iter().find(|word| word.chars().all(|c| c.is_ascii_lowercase())) else {
                continue;
            };
            let options = words
                .iter()
                .filter_map(|w| w.strip_prefix("--"))
                .map(|w| w.split('=').next().unwrap_or(w).to_string());
            seen.insert((command.to_string(), options.collect()));
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
    for (command, options) in seen {
        let mut text = help(&[&command]).unwrap_or_else(|| panic!("no command {command}"));
        // Of commands with commands, all of them.
        for below in ["notebooks", "kernels", "check", "accept", "clean", "list", "fetch", "verify"] {
            if text.lines().any(|line| line.trim_start().starts_with(&format!("{below} "))) {
                text += &help(&[&command, below]).unwrap_or_default();
            }
        }
        for option in options {
            assert!(text.contains(&format!("--{option}")), "rethink {command} has no --{option}");
        }
    }
}

/// Files of the crates that pages name, linked or not.
#[test]
fn files_that_pages_name_are_there() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for part in text.split('`').skip(1).step_by(2) {
            let whole = part.starts_with("crate/") && !part.contains([' ', '*', 'N', '<']);
            assert!(!whole || root().join(part).exists(), "{}: no {part}", page.display());
        }
    }
}

/// The container for editors is made of a stage of the Dockerfile, which ends with README's first command.
#[test]
fn the_containers_run_the_commands_of_the_readme() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (docker, readme) = (read("Dockerfile"), read("README.md"));
    let editor: serde_json::Value = serde_json::from_str(&read(".devcontainer/devcontainer.json")).unwrap();
    let stage = editor["build"]["target"].as_str().unwrap();
    assert!(docker.lines().any(|line| line.starts_with("FROM ") && line.ends_with(&format!(" AS {stage}"))));
    assert!(root().join(".devcontainer").join(editor["build"]["dockerfile"].as_str().unwrap()).is_file());
    let last = docker.lines().rfind(|line| !line.is_empty()).unwrap();
    let words: Vec<String> = serde_json::from_str(last.strip_prefix("CMD ").unwrap()).unwrap();
    assert!(readme.contains(&words.join(" ")), "{words:?}");
}
