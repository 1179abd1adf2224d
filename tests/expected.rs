//! What `rethink notebooks check` calls equal, and how it tells of what is not.

use rethink_cli::jupyter::close::{self, Tolerance};
use rethink_cli::jupyter::expected::{Difference, Rule, differences, folder};
use rethink_cli::jupyter::outputs::{CELLS, Outputs};
use rethink_cli::jupyter::sanitize::sanitize;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const STDOUT: &str = "[1/2] MLP 1x512: epoch 3 of 12, loss 2.1, train 20.0 %, at most 4 s left\n\
                      [1/2] MLP 1x512: fitted at epoch 9, train 100.00 %, test 31.50 %, 0.4 s, about 3 s for the whole sweep\n\
                      into:  OUT/shapes10-smoke\n";
const TABLE: &str = "Time to fit\nmodel   p    epochs\n──────────────────\nMLP   0.5     1,009\n";
const CSV: &str = "model,p,loss,seconds\nMLP,0.5,2.302585093,1.25\n\"MLP, wide\",,0.000001,2.5\n";

/// An executed notebook of one cell, with the CSV that it wrote.
fn executed(out: &Path, stdout: &str, result: &str, csv: Option<&str>) -> Outputs {
    let stdout = stdout.replace("OUT", &out.to_string_lossy());
    let cell = |source: &str, outputs: Value| json!({"cell_type": "code", "source": source, "outputs": outputs, "metadata": {}, "execution_count": 1});
    let notebook = json!({"cells": [
        {"cell_type": "markdown", "source": "# Text", "metadata": {}},
        cell("", json!([])),
        cell(":dep rethink\nuse x;", json!([])),
        cell("study.show(\"fig1b\")?", json!([
            {"output_type": "stream", "name": "stdout", "text": stdout},
            {"output_type": "execute_result", "data": {"text/plain": [result], "text/html": "<table>"}}
        ])),
    ]});
    let path = out.join("nb.ipynb");
    fs::write(&path, notebook.to_string()).unwrap();
    let made = out.join("shapes10-smoke");
    fs::create_dir_all(&made).unwrap();
    let _ = fs::remove_file(made.join("fig1b.csv"));
    if let Some(csv) = csv {
        fs::write(made.join("fig1b.csv"), csv).unwrap();
    }
    Outputs::of(&path, out, Path::new("/workspace")).unwrap()
}

/// Stored from one execution, compared with another.
fn compared(stdout: &str, result: &str, csv: Option<&str>) -> Vec<Difference> {
    let (first, second, kept) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stored = folder(kept.path(), Path::new("notebooks/nb.ipynb"));
    executed(first.path(), STDOUT, TABLE, Some(CSV)).write(&stored).unwrap();
    let stored = Outputs::read(&stored).unwrap();
    let got = executed(second.path(), stdout, result, csv);
    differences(&stored, &got, Tolerance::SAME).unwrap()
}

#[test]
fn two_executions_that_differ_in_times_and_places_are_equal() {
    // Slower, elsewhere, and with a wider column.
    let stdout = "[1/2] MLP 1x512: epoch 1 of 12, loss 2.3, train 10.0 %\n\
                  [1/2] MLP 1x512: epoch 7 of 12, loss 0.4, train 90.0 %, at most 9 min left\n\
                  [1/2] MLP 1x512: fitted at epoch 9, train 100.00 %, test 31.50 %, 64.1 s\n\
                  into:  OUT/shapes10-smoke\n";
    let table = "Time to fit\nmodel     p      epochs\n────────────────────────\nMLP     0.5       1,009\n";
    let csv = CSV.replace("1.25", "77.0");
    assert_eq!(compared(stdout, table, Some(&csv)), []);
}

#[test]
fn a_changed_number_is_told_with_its_place_and_both_values() {
    let found = compared(&STDOUT.replace("31.50", "31.00"), TABLE, Some(CSV));
    assert_eq!(found.len(), 1, "{found:?}");
    let said = found[0].to_string();
    for part in [
        "cell 2 (`study.show(\"fig1b\")?`), standard output, line 1",
        "test 31.50 %",
        "test 31.00 %",
        "1.6e-2",
    ] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
    let found = compared(STDOUT, &TABLE.replace("1,009", "1,010"), Some(CSV));
    assert!(found[0].to_string().contains("result as text, line 4"), "{found:?}");

    let found = compared(STDOUT, TABLE, Some(&CSV.replace("2.302585093", "2.30259")));
    let said = found[0].to_string();
    for part in
        ["fig1b.csv, line 2, column loss", "expected  2.302585093", "got       2.30259", "difference 2.1e-6"]
    {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
}

#[test]
fn a_number_within_the_tolerance_passes() {
    assert_eq!(compared(STDOUT, TABLE, Some(&CSV.replace("2.302585093", "2.302585094"))), []);
    let wide = Tolerance { relative: 0.02, absolute: 0.0 };
    assert_eq!(close::lines("loss 2.30, 1,000 steps", "loss 2.31, 1,010 steps", wide), []);
    assert_eq!(close::lines("loss 2.30", "loss 2.40", wide).len(), 1);
    // Near zero the relative one allows nothing, the absolute one does.
    let absolute = Tolerance { relative: 0.0, absolute: 1e-6 };
    assert!(
        absolute.allows(1e-9, -1e-7) && !absolute.allows(1e-9, 1e-5) && absolute.allows(f64::NAN, f64::NAN)
    );
    assert!(!wide.allows(f64::NAN, 1.0) && !wide.allows(1.0, f64::INFINITY));
}

#[test]
fn changed_text_is_told_whatever_the_tolerance() {
    let found = compared(&STDOUT.replace("fitted at", "diverged at"), TABLE, Some(CSV));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].relative.is_none() && found[0].got.contains("diverged"), "{found:?}");
    // A line more, a line less; the others stay in step.
    let more = STDOUT.replace("into:", "a word\ninto:");
    let found = compared(&more, TABLE, Some(CSV));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].expected.as_str(), found[0].got.as_str()), ("", "a word"));
    let found = compared(STDOUT, "Time to fit\n", Some(CSV));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].to_string().contains("got       (nothing)"), "{found:?}");
    // A text in a CSV, an absent value, a column.
    for (csv, place) in [
        (CSV.replace("wide", "deep"), "line 3, column model"),
        (CSV.replace("wide\",,", "wide\",0.5,"), "line 3, column p"),
        (CSV.replace("loss", "error"), "columns"),
        (format!("{CSV}MLP,1,1,1\n"), "rows"),
    ] {
        let found = compared(STDOUT, TABLE, Some(&csv));
        assert!(
            found.first().is_some_and(|d| d.place == format!("fig1b.csv, {place}")),
            "{place}: {found:?}"
        );
    }
}

/// nbval's tag: whatever the cell shows, and whether it was tagged when its outputs were stored or later.
#[test]
fn a_cell_whose_output_is_to_be_ignored_is_not_compared() {
    let (out, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outputs = |tags: Value, text: &str| {
        let shown = json!([{"output_type": "stream", "name": "stdout", "text": text}]);
        let cell =
            json!({"cell_type": "code", "source": "now()", "outputs": shown, "metadata": {"tags": tags}});
        let path = out.path().join("nb.ipynb");
        fs::write(&path, json!({ "cells": [cell] }).to_string()).unwrap();
        Outputs::of(&path, out.path(), Path::new("/workspace")).unwrap()
    };
    let tagged = || outputs(json!(["other", "nbval-ignore-output"]), "noon\n");
    let compared = |stored: &Outputs, got: &Outputs| differences(stored, got, Tolerance::SAME).unwrap().len();
    let plain = outputs(json!([]), "morning\n");
    assert_eq!(compared(&plain, &outputs(json!(["other"]), "noon\n")), 1);
    assert_eq!(compared(&plain, &tagged()), 0);
    tagged().write(kept.path()).unwrap();
    let stored = Outputs::read(kept.path()).unwrap();
    assert!(!fs::read_to_string(kept.path().join(CELLS)).unwrap().contains("noon"));
    assert_eq!(compared(&stored, &tagged()), 0);
    assert!(compared(&stored, &plain) > 0, "the tag is gone: what it shows is compared again");
}

/// Recorded with other vector instructions: a few lines may differ, many and structure may not.
#[test]
fn elsewhere_a_few_lines_may_differ() {
    let (out, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let many: String = (0..40).map(|i| format!("run {i}: fitted at epoch 9\n")).collect();
    let mut stored = executed(out.path(), &many, TABLE, Some(CSV));
    let rule = |stdout: &str, csv: Option<&str>, stored: &Outputs| {
        let got = executed(other.path(), stdout, TABLE, csv);
        let rule = Rule::of(stored, &got);
        rule.allows(stored, &differences(stored, &got, rule.tolerance).unwrap())
    };
    let one = many.replace("run 7: fitted at epoch 9", "run 7: completed at epoch 12");
    assert!(rule(&many, Some(CSV), &stored) && !rule(&one, Some(CSV), &stored));
    stored.instructions = "neon".into();
    assert!(rule(&one, Some(CSV), &stored));
    assert!(rule(&many, Some(&CSV.replace("2.302585093", "2.35")), &stored));
    assert!(!rule(&many.replace("fitted", "diverged"), Some(CSV), &stored));
    assert!(!rule(&many, None, &stored), "a missing file");
}

#[test]
fn a_missing_file_and_missing_outputs_are_told() {
    let found = compared(STDOUT, TABLE, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].to_string().contains("fig1b.csv\n    expected  a file\n    got       (nothing)"),
        "{found:?}"
    );
    let nowhere = tempfile::tempdir().unwrap();
    let error = Outputs::read(nowhere.path()).unwrap_err().to_string();
    assert!(error.contains(CELLS) && error.contains("rethink notebooks accept"), "{error}");
    fs::write(nowhere.path().join(CELLS), "stdout:\n").unwrap();
    let error = Outputs::read(nowhere.path()).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("before the first cell"), "{error}");
}

#[test]
fn storing_again_says_what_changed_and_removes_what_is_no_longer_written() {
    let (out, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stored = kept.path().join("nb");
    let first = executed(out.path(), STDOUT, TABLE, Some(CSV));
    assert_eq!(first.write(&stored).unwrap(), ["new: cells.txt", "new: fig1b.csv"]);
    assert!(first.write(&stored).unwrap().is_empty());
    assert!(!fs::read_to_string(stored.join("fig1b.csv")).unwrap().contains("seconds"));
    let second = executed(out.path(), &STDOUT.replace("31.50", "32.00"), TABLE, None);
    assert_eq!(second.write(&stored).unwrap(), ["changed: cells.txt", "removed: fig1b.csv"]);
    let read = Outputs::read(&stored).unwrap();
    assert_eq!(read.instructions, second.instructions);
    assert_eq!(differences(&read, &second, Tolerance::SAME).unwrap(), []);
    assert_eq!(differences(&second, &read, Tolerance::SAME).unwrap(), []);
}

#[test]
fn sanitizers_take_out_what_no_execution_repeats() {
    let key = "0123456789abcdef";
    let text = format!("run {key} at /tmp/x/fig, 12 min, 310 images a second\n");
    let places = [(Path::new("/tmp/x"), "<out>")];
    assert_eq!(sanitize(&text, &places), "run <hash> at <out>/fig, <time>, <speed>\n");
    // Numbers that matter stay.
    let kept = "epoch 9 of 12, loss 0.31, 53.5 %, 1,009 steps, width 0.125, 28x28\n";
    assert_eq!(sanitize(kept, &places), kept);
    let slow = "[2/9] kernel: step 30 of conjugate gradients, residual 3.0e-5\n[2/9] kernel: 2.1 s\n";
    assert_eq!(sanitize(slow, &[]), "[2/9] kernel: <time>\n");
}
