//! The notebook kernel as JupyterLab uses it: interrupts, output as it is written, failed cells, progress. `kernel/drive.py` drives
//! one kernel through all of it, once for all tests here.

use rethink_cli::jupyter::{self, kernel, run};
use rethink_tests::{notebook, root};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What came of a scenario of the driver.
fn found(scenario: &str) -> &'static Value {
    static ALL: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let environment = jupyter::ensure(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
        let said = environment
            .python()
            .arg(root().join("tests/kernel/drive.py"))
            .arg(kernel::NAME)
            .arg(root().join("crate/rethink"))
            .env_remove("RETHINK_LIVE")
            .current_dir(root())
            .output()
            .expect("the environment's Python runs");
        let text = String::from_utf8_lossy(&said.stdout);
        let each = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let all: BTreeMap<String, Value> =
            each.map(|one| (one["scenario"].as_str().unwrap_or_default().to_string(), one)).collect();
        assert!(said.status.success(), "{text}\n{}", String::from_utf8_lossy(&said.stderr));
        all
    });
    let found = all.get(scenario).unwrap_or_else(|| panic!("no {scenario} among {:?}", all.keys()));
    assert!(found["failed"].is_null(), "{found}");
    found
}

fn text<'a>(found: &'a Value, what: &str) -> &'a str {
    found[what].as_str().unwrap_or_else(|| panic!("no {what}: {found}"))
}

#[test]
fn cells_are_counted_from_one() {
    assert_eq!(found("starts")["counts"], json!([1, 2]));
}

#[test]
fn an_interrupt_of_an_idle_kernel_does_nothing() {
    let found = found("an_idle_kernel_is_interrupted");
    assert_eq!(found["statuses"], json!(["ok", "ok"]), "{found}");
    assert_eq!(text(found, "said"), "[1, 2, 3, 4]\n");
}

#[test]
fn an_unfinished_line_is_seen_as_it_is_written() {
    let found = found("an_unfinished_line_is_seen");
    assert_eq!(found["parts"], json!(["0 %\r", "25 %\r", "50 %\r", "75 %\r", "100 %"]), "{found}");
    assert_eq!(text(found, "after"), "goes on\n");
}

#[test]
fn a_panic_is_an_error_and_stops_what_is_queued() {
    let found = found("a_panic_stops_what_is_queued");
    assert_eq!(found["statuses"], json!(["ok", "error", "aborted"]), "{found}");
    let error = &found["error"][0];
    let value = "index out of bounds: the len is 0 but the index is 4";
    assert_eq!((error["ename"].as_str(), error["evalue"].as_str()), (Some("Panic"), Some(value)), "{found}");
    assert!(error["traceback"].to_string().contains("line 2 of the cell"), "{found}");
    assert_eq!(found["reply"]["evalue"], value);
    assert_eq!((text(found, "stderr"), text(found, "after")), ("", "[1, 2, 3, 4]\n"));
}

#[test]
fn a_returned_error_is_an_error_and_what_is_only_written_is_none() {
    let found = found("an_error_is_an_error");
    assert_eq!(found["statuses"], json!(["error", "aborted", "ok"]), "{found}");
    assert!(
        found["error"][0]["evalue"].as_str().is_some_and(|e| e.contains("\"fig9\" is none of")),
        "{found}"
    );
    // An error that says nothing of where it is from.
    let foreign = &found["foreign"][0];
    assert_eq!(foreign["evalue"], "No such file or directory (os error 2)", "{found}");
    let line = "  at line 2 of the cell: let text: String = std::fs::read_to_string(path)?";
    assert_eq!(foreign["traceback"][1], line, "{found}");
}

/// What waits behind a failed cell is aborted; what is asked for after its end is not.
#[test]
fn a_cell_runs_that_is_asked_for_when_the_failed_one_is_idle() {
    let found = found("a_cell_runs_that_is_asked_for_when_the_failed_one_is_idle");
    assert_eq!(found["statuses"], json!(vec![["error", "ok"]; 8]), "{found}");
}

#[test]
fn values_are_shown_in_the_middle_of_a_cell() {
    let found = found("values_are_shown_within_a_cell");
    assert_eq!(text(found, "error"), "");
    let mut order: Vec<&str> = found["order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // On a busy machine, that the cell compiles is shown first.
    order.retain(|kind| *kind != "update_display_data");
    assert!(order.ends_with(&["display_data", "stream", "display_data", "execute_result"]), "{found}");
    assert_eq!(found["several"], json!(["<b>one</b>", "<b>two</b>", "<b>three</b>"]), "{found}");
}

#[test]
#[cfg(target_os = "linux")]
fn cells_share_one_library_and_are_small() {
    let found = found("cells_share_one_library");
    assert_eq!(found["copies"], 1, "{found}");
    assert!(found["cells"].as_u64().unwrap() > 2 && found["largest"].as_u64().unwrap() < 1 << 20, "{found}");
}

/// Of this crate, of polars and of plotters: wherever in a name or between a call's brackets the cursor is.
#[test]
fn names_are_completed_and_explained() {
    let found = found("names_are_completed_and_explained");
    for (text, name) in [
        ("study.config", "configs(id)"),
        ("frame.colu", "column(name)"),
        ("let red = BLUE.mi", "mix(value)"),
        ("ChartBu", "ChartBuilder"),
        ("study.config(ModelK", "ModelKind"),
        ("frame.clone().lazy().filter(co", "col(name)"),
        ("frame.group_by([co", "col(name)"),
        ("Chart::new(&fra", "frame"),
        ("let m: ModelKind = ModelKi", "ModelKind"),
        ("let a: f64 = ", "frame"),
        ("if fra", "frame"),
        ("let m: ModelKind = ModelKind::Al", "Alexnet"),
        ("Study::of(stu", "study"),
        ("RunConfig { model: ModelK", "ModelKind"),
    ] {
        let matches = found["completed"][text].as_array().unwrap_or_else(|| panic!("{found}"));
        assert!(matches.iter().any(|one| one == name), "{text}: {found}");
        // What JupyterLab puts in: no brackets that would have to be deleted.
        let put_in = found["put_in"][text].as_array().unwrap_or_else(|| panic!("{found}"));
        let bare = name.split('(').next().unwrap_or_default();
        assert!(put_in.iter().any(|one| one == bare), "{text}: {put_in:?}");
        assert!(!put_in.iter().any(|one| one.to_string().contains('\u{2026}')), "{text}: {put_in:?}");
        let replaced = &found["replaced"][text];
        assert!(replaced.as_str().is_some_and(|part| text.ends_with(part)), "{text}: {replaced}");
    }
    assert_eq!(text(found, "lives"), "2\n", "{found}");
    assert!(found["beyond"].is_string(), "{found}");
    let explained = found["explained"].as_object().unwrap_or_else(|| panic!("{found}"));
    assert_eq!(explained.len(), 5);
    for (text, said) in explained {
        let signature = match text.split(['.', ':']).next() {
            Some("study") => "pub fn runs(&self, id: &str) -> Result<Vec<Run>>",
            Some("frame") => "pub fn column(&self, name: &str) -> PolarsResult<&Column>",
            _ => "pub struct ChartBuilder<'a, 'b, DB>",
        };
        assert!(said.as_str().is_some_and(|said| said.contains(signature)), "{text}: {said}");
    }
}

#[test]
fn a_report_of_the_compiler_says_where_in_the_cell_and_comes_once() {
    let found = found("a_report_of_the_compiler");
    assert_eq!(text(found, "status"), "error");
    let reports: Vec<&str> = found["reports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for line in [" 2 \u{2502} let wrong", " 3 \u{2502} let again"] {
        assert_eq!(reports.iter().filter(|report| report.contains(line)).count(), 1, "{line}: {found}");
    }
    assert!(reports.iter().all(|report| report.contains("[ cell ]")), "{found}");
    let once: BTreeSet<&&str> = reports.iter().collect();
    assert_eq!(once.len(), reports.len(), "{found}");
    assert!(!found.to_string().contains("command_"), "{found}");
}

/// A cell is compiled by rustc as cargo called it for the cell before, unless cargo has something to do.
#[test]
fn a_cell_is_compiled_as_the_last_one_and_cargo_asked_where_that_fails() {
    let found = found("cells_are_compiled_as_the_last_one");
    assert_eq!(text(found, "used"), "true\n", "{found}");
    assert_eq!((text(found, "wrong"), text(found, "gone")), ("false\n", "false\n"), "{found}");
    assert_eq!(found["mended"], true, "{found}");
    assert_eq!(found["edited"], json!(["1\n", "2\n"]), "a crate on this machine that was edited: {found}");
    assert_eq!(text(found, "variables"), "[1, 2, 3, 4]\n", "{found}");
}

#[test]
fn an_interrupt_ends_training_keeps_variables_and_training_goes_on() {
    let found = found("training_is_interrupted_and_goes_on");
    assert_eq!((text(found, "status"), text(found, "error")), ("ok", ""), "{found}");
    assert!(text(found, "said").contains("interrupted in or after epoch"), "{found}");
    // The cell's second call ends as soon as it begins, and is no error.
    let seen = text(found, "seen");
    assert!(seen.starts_with("[1, 2, 3, 4] ") && seen.contains(" interrupted\n"), "{found}");
    assert!(text(found, "again").contains("goes on after epoch"), "{found}");
    // Two runs of 2,000 epochs take many minutes.
    assert!(found["waited"].as_f64().unwrap() < 60.0, "{found}");
    let lines = found["lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line.as_str().unwrap_or_default().contains(": epoch ")), "{found}");
    assert_eq!(lines.last().unwrap(), "", "what was shown for a while is gone: {found}");
    assert!(found["curves"].as_u64().unwrap() > 1, "the curve grows: {found}");
}

#[test]
fn a_run_with_interrupts_is_the_run_without() {
    let found = found("training_ends_as_without_interrupts");
    assert!(found["interrupts"].as_u64().unwrap() > 0, "{found}");
    assert!(text(found, "one").contains("completed"), "{found}");
    assert_eq!(text(found, "one"), text(found, "two"));
}

#[test]
fn an_interrupt_ends_a_measurement_with_an_error() {
    let found = found("a_measurement_is_interrupted");
    assert_eq!(text(found, "status"), "error", "{found}");
    assert!(text(found, "error").contains("interrupted"), "{found}");
    assert_eq!(text(found, "after"), "[1, 2, 3, 4]\n");
}

#[test]
fn an_interrupt_ends_a_compilation_and_the_kernel_lives() {
    let found = found("a_compilation_is_interrupted");
    assert_eq!(text(found, "status"), "error", "{found}");
    assert!(text(found, "error").starts_with("interrupted while it compiled"), "{found}");
    assert_eq!((text(found, "after"), text(found, "trouble")), ("[1, 2, 3, 4]\n", ""), "{found}");
}

#[test]
fn an_interrupt_of_a_cell_without_the_library_ends_its_process_and_says_so() {
    let found = found("an_endless_loop_ends_at_an_interrupt");
    assert_eq!(text(found, "status"), "error", "{found}");
    assert!(text(found, "error").contains("All variables are lost"), "{found}");
    assert_eq!(text(found, "after"), "alive\n", "{found}");
    assert!(text(found, "lost").contains("kept"), "{found}");
}

#[test]
fn a_second_interrupt_ends_the_process() {
    let found = found("a_second_interrupt_ends_the_process");
    assert_eq!(found["ended_at_first"], false, "{found}");
    assert!(text(found, "error").contains("the second ended its process. All variables are lost"), "{found}");
    assert_eq!(text(found, "after"), "alive\n", "{found}");
}

#[test]
fn a_kernel_that_says_and_does_nothing_is_given_up() {
    let environment = jupyter::ensure(root()).unwrap_or_else(|e| panic!("set-up: {e}"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notebook = notebook(&["std::thread::sleep(std::time::Duration::from_secs(3600));"]);
    let path = folder.path().join("stuck.ipynb");
    std::fs::write(&path, notebook.to_string()).expect("a writable folder");
    let limit = [("RETHINK_SILENT".to_string(), "12".to_string())];
    let error = run::notebook(&environment, &path, &limit, &folder.path().join("out.ipynb"), &mut |_| ())
        .expect_err("it is stuck");
    assert!(error.to_string().contains("said nothing and did nothing for 12 s"), "{error}");
}
