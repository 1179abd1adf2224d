//! Cargo runs this program last: how many tests, and parts of tests, could not be made on this machine.

use rethink_tests::skips;

#[test]
fn skips_are_counted() {
    let skipped = skips::take();
    skips::say(&match &skipped[..] {
        [] => "no test was skipped".to_string(),
        [one] => format!("1 test or part of a test was skipped:\n    {one}"),
        all => format!("{} tests or parts of tests were skipped:\n    {}", all.len(), all.join("\n    ")),
    });
}
