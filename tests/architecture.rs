//! The direction of dependencies: between the crates as README's map has it, and within a crate without circles; and that a
//! new network is forgotten nowhere, nor a new module in its crate's table.

use rethink_tests::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Each crate of the project, and those of the project that it may depend on.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("rethink-nn", &[]),
    ("rethink-plot", &[]),
    ("rethink", &["rethink-nn", "rethink-plot"]),
    ("rethink-cli", &["rethink", "rethink-nn", "rethink-plot"]),
    ("rethink-tests", &["rethink", "rethink-cli", "rethink-nn", "rethink-plot"]),
];

#[test]
fn crates_depend_downwards_only() {
    let mut cargo = Command::new(env!("CARGO"));
    rethink_cli::jupyter::outside_cargo(&mut cargo);
    let said = cargo
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).unwrap();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let (_, may) = MAY_USE
            .iter()
            .find(|(own, _)| *own == name)
            .unwrap_or_else(|| panic!("{name} is new: say above what it may use"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let own = used == "rethink" || used.starts_with("rethink-");
            assert!(!own || may.contains(&used), "{name} depends on {used}");
        }
        seen.insert(name.to_string());
    }
    assert_eq!(seen.len(), MAY_USE.len(), "{seen:?}");
}

/// The files of a crate by the paths of their modules (`paper::fig1b`; the root's is empty), with their text.
fn modules(source: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            let below = path.strip_prefix(source).unwrap().with_extension("");
            let mut parts: Vec<&str> = below.iter().map(|part| part.to_str().unwrap()).collect();
            if parts[0] == "bin" || parts == ["main"] {
                continue;
            }
            if matches!(parts.last(), Some(&"mod" | &"lib")) {
                parts.pop();
            }
            found.insert(parts.join("::"), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The code of a file: no comments, no texts.
fn code(text: &str) -> String {
    let without = |line: &str| line.split("//").next().unwrap_or_default().to_string();
    text.lines().map(|line| without(line) + "\n").collect()
}

/// The paths of a tree of imports: `a::{b, c::{self, d}}` gives `a::b`, `a::c::self`, `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else { return vec![tree.to_string()] };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => (),
        }
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expanded(part)).map(|path| format!("{before}{path}")).collect()
}

/// Paths that begin with `crate` or `super` in the code of module `own`, from the crate's root.
fn paths(own: &str, code: &str) -> Vec<String> {
    let above = own.rsplit_once("::").map_or("", |(above, _)| above);
    let mut found = Vec::new();
    let mut rest = code;
    loop {
        let next = ["crate::", "super::"].into_iter().filter_map(|word| Some((rest.find(word)?, word))).min();
        let Some((at, word)) = next else { return found };
        let alone =
            rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        rest = &rest[at + word.len()..];
        if !alone {
            continue;
        }
        // A tree ends with its last brace, a path with the first character that is none of a path's.
        let (mut depth, mut end) = (0i32, rest.len());
        for (index, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => (),
            }
            let goes_on = c.is_alphanumeric()
                || "_:{}".contains(c)
                || depth > 0 && (c.is_whitespace() || ",*".contains(c));
            if !goes_on || depth < 0 {
                end = index;
                break;
            }
        }
        let from = if word == "crate::" || above.is_empty() { String::new() } else { format!("{above}::") };
        found.extend(
            expanded(&rest[..end]).into_iter().map(|path| format!("{from}{path}").replace([' ', '\n'], "")),
        );
    }
}

/// What each module uses of its crate, by the longest path that is a module's.
fn uses(modules: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (own, text) in modules {
        for path in paths(own, &code(text)) {
            let mut path = path.as_str();
            let used = loop {
                if let Some((name, _)) = modules.get_key_value(path) {
                    break name.as_str();
                }
                path = path.rsplit_once("::").map_or("", |(above, _)| above);
            };
            // A parent names its children; what they use of it is its own affair. The root has errors for all.
            let family = |a: &str, b: &str| {
                a.is_empty()
                    || b.strip_prefix(a).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            if !family(own, used) && !family(used, own) {
                uses.entry(own).or_default().insert(used);
            }
        }
    }
    uses
}

/// A circle among `uses`, if there is one.
fn circle<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn visit<'a>(
        at: &'a str,
        uses: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        if let Some(first) = way.iter().position(|on| *on == at) {
            way.drain(..first);
            way.push(at);
            return true;
        }
        if !done.insert(at) {
            return false;
        }
        way.push(at);
        if uses.get(at).into_iter().flatten().any(|next| visit(next, uses, way, done)) {
            return true;
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|from| {
        let mut way = Vec::new();
        visit(from, uses, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn no_circle_within_a_crate() {
    for name in ["nn", "plot", "rethink", "cli"] {
        let modules = modules(&root().join("crate").join(name).join("src"));
        let uses = uses(&modules);
        assert!(modules.len() > 5 && uses.len() > 5, "{name}: {} modules", modules.len());
        assert_eq!(circle(&uses), None, "files of crate/{name}");
        // The folders at the top, as wholes.
        let room = |module: &'_ str| module.split("::").next().unwrap_or_default().to_string();
        let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (own, used) in &uses {
            for used in
                used.iter().map(|used| room(used)).filter(|used| *used != room(own) && !used.is_empty())
            {
                rooms.entry(room(own)).or_default().insert(used);
            }
        }
        let rooms: BTreeMap<&str, BTreeSet<&str>> = rooms
            .iter()
            .map(|(own, used)| (own.as_str(), used.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(circle(&rooms), None, "folders of crate/{name}");
    }
}

/// The modules that a `lib.rs` has and its table, at the head of its documentation, does not name.
fn missing_in_table(lib: &str) -> Vec<&str> {
    let table: Vec<&str> = lib.lines().filter(|line| line.starts_with("//! |")).collect();
    let modules = lib.lines().filter_map(|line| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    let is_named = |module: &str| {
        [format!("`{module}`"), format!("`mod@{module}`")]
            .iter()
            .any(|name| table.iter().any(|line| line.contains(name)))
    };
    modules.filter(|module| !is_named(module)).collect()
}

#[test]
fn every_module_stands_in_its_crates_table() {
    for name in ["nn", "plot", "rethink", "cli"] {
        let lib = fs::read_to_string(root().join("crate").join(name).join("src/lib.rs")).unwrap();
        assert_eq!(missing_in_table(&lib), [""; 0], "modules of crate/{name} that its table does not name");
    }
    let lib = "//! `c` is told of.\n//! | [`a`], [`mod@b`] | both |\n\npub mod a;\nmod b;\npub(crate) mod c;\nmod d {}\n";
    assert_eq!(missing_in_table(lib), ["c"]);
}

#[test]
fn circles_and_imports_are_seen() {
    let tree = "a::{b, c::{self, d},\n e}";
    assert_eq!(expanded(tree), ["a::b", "a::c::self", "a::c::d", "a::e"]);
    let text = "use crate::{x::y::Z, w};\nfn f() -> super::v::T { crate::u::g(1) } // crate::comment::C\n";
    assert_eq!(paths("m::n", &code(text)), ["x::y::Z", "w", "m::v::T", "u::g"]);
    let files =
        [("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "fn f(a: crate::a::A) {}"), ("d", "")];
    let files: BTreeMap<String, String> = files.map(|(own, text)| (own.into(), text.into())).into();
    assert_eq!(circle(&uses(&files)).unwrap(), ["a", "b", "c", "a"]);
    let files: BTreeMap<String, String> = [
        ("a".into(), "use a::own;\nuse crate::b;".into()),
        ("a::own".into(), "use crate::a::A;".into()),
        ("b".into(), String::new()),
    ]
    .into();
    assert_eq!(circle(&uses(&files)), None);
}

/// The patterns of every `match` in `code`, as rustfmt writes it.
fn matches(code: &str) -> Vec<Vec<String>> {
    /// Where the first of `ends` is that lies in no bracket.
    fn end(text: &str, ends: &[&str]) -> usize {
        let mut depth = 0;
        for (at, c) in text.char_indices() {
            if depth == 0 && ends.iter().any(|end| text[at..].starts_with(end)) {
                return at;
            }
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => (),
            }
        }
        text.len()
    }
    let mut found = Vec::new();
    for (at, _) in code.match_indices("match ") {
        let after = &code[at..];
        let inside = after.get(end(after, &["{"]) + 1..).unwrap_or_default();
        let mut rest = &inside[..end(inside, &["}"])];
        let mut patterns = Vec::new();
        while let Some((pattern, what)) =
            rest.get(end(rest, &["=>"])..).map(|what| rest.split_at(rest.len() - what.len()))
            && what.len() > 2
        {
            patterns.push(pattern.trim().trim_start_matches([',', ' ', '\n']).to_string());
            let what = what[2..].trim_start();
            let over = match what.strip_prefix('{') {
                Some(block) => 1 + end(block, &["}"]),
                None => end(what, &[","]),
            };
            rest = what.get(over + 1..).unwrap_or_default();
        }
        found.push(patterns);
    }
    found
}

/// The arm of a `match` over networks, or their families, that would take a new one in silence.
fn catch_all(patterns: &[String]) -> Option<&String> {
    let names = |pattern: &str| pattern.contains("ModelKind::") || pattern.contains("Family::");
    let first = |pattern: &str| pattern.split_once(", ").map(|(first, _)| first.to_string());
    let any =
        |pattern: &str| pattern.split(" if ").next().is_some_and(|p| !p.contains("::") && !p.contains('('));
    let named = patterns.iter().filter(|pattern| names(pattern));
    // Of a pair, the second may be anything where no pattern with this first one names networks.
    let firsts: Vec<Option<String>> = named.clone().map(|pattern| first(pattern)).collect();
    let of_pair = |pattern: &String| pattern.ends_with(", _)") && firsts.contains(&first(pattern));
    patterns.iter().find(|pattern| !firsts.is_empty() && (any(pattern) || of_pair(pattern)))
}

#[test]
fn no_match_over_networks_has_an_arm_for_all_others() {
    let mut seen = 0;
    for name in ["nn", "plot", "rethink", "cli"] {
        for (own, text) in modules(&root().join("crate").join(name).join("src")) {
            for patterns in matches(&code(&text)) {
                seen +=
                    usize::from(patterns.iter().any(|p| p.contains("Family::") || p.contains("ModelKind::")));
                assert_eq!(catch_all(&patterns), None, "crate/{name}, {own}: {patterns:?}");
            }
        }
    }
    assert!(seen >= 4, "{seen} such matches");
    let of = |arms: &str| {
        let all = matches(&format!("let a = match (scale, model) {{ {arms} }};"));
        catch_all(&all[0]).cloned()
    };
    assert_eq!(of("ModelKind::A => f(1, 2), ModelKind::B => { g(); }"), None);
    assert_eq!(of("ModelKind::A => f(1, 2), _ => g()").unwrap(), "_");
    assert_eq!(of("ModelKind::A | ModelKind::B => { f() } other => other.g()").unwrap(), "other");
    assert_eq!(of("(Scale::Paper, _) => 1, (Scale::Small, Family::A) => 2"), None);
    assert_eq!(of("(Scale::Small, Family::A) => 2, (Scale::Small, _) => 3").unwrap(), "(Scale::Small, _)");
}
