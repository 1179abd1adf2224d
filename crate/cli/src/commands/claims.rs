//! `rethink claims`: the paper's sentences as checks over the store.

use crate::Result;
use crate::commands::compare::comparable;
use rethink::claims::{self, Check, Judgement};
use rethink_nn::text::{counted, thousands};
use rethink_plot::tables::{TEXT_WIDTH, wrapped};
use std::collections::BTreeMap;
use std::path::Path;

/// Prints each check of the claims named in `only` (all where empty) over the store in `out`.
///
/// Errors: those of [`claims::check_named`] and of reading the store.
pub fn claims(only: &[String], out: &Path, json: bool) -> Result<()> {
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    let (runs, measured) = comparable(out)?;
    let checks = claims::check_named(&runs, &measured, &only)?;
    if json {
        checks.iter().for_each(|check| println!("{}", serde_json::json!(check)));
        return Ok(());
    }
    let mut said = "";
    for check in &checks {
        if check.id != said {
            let quote = format!("\u{201c}{}\u{201d}", check.quote);
            println!("{} (section {})", check.id, check.section);
            wrapped(&quote, TEXT_WIDTH).iter().for_each(|line| println!("  {line}"));
            let criterion = format!("checked: {}", check.criterion);
            wrapped(&criterion, TEXT_WIDTH).iter().for_each(|line| println!("  {line}"));
            said = check.id;
        }
        println!("  {}", summary(check));
        for part in &check.measured {
            println!("    {part}");
        }
        for part in &check.lacking {
            println!("    lacking: {part}");
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let in_part = checks.iter().filter(|check| check.in_part).count();
    println!(
        "\n{} hold{}, {} fail, {} not yet measured",
        count(Judgement::Holds),
        if in_part > 0 { format!(" ({in_part} of them in part)") } else { String::new() },
        count(Judgement::Fails),
        count(Judgement::NotYetMeasured)
    );
    println!("{}", sentences(&checks));
    Ok(())
}

/// How many of the paper's sentences hold wherever they were measured, fail somewhere, or are not measured. (A sentence is checked on
/// every data set and number of images that has results of it.)
fn sentences(checks: &[Check]) -> String {
    let mut of: BTreeMap<&str, Vec<Judgement>> = BTreeMap::new();
    for check in checks {
        of.entry(check.id).or_default().push(check.verdict);
    }
    let count = |is: &dyn Fn(&[Judgement]) -> bool| of.values().filter(|verdicts| is(verdicts)).count();
    let fails = |verdicts: &[Judgement]| verdicts.contains(&Judgement::Fails);
    let holds = |verdicts: &[Judgement]| verdicts.contains(&Judgement::Holds) && !fails(verdicts);
    let (holding, failing) = (count(&holds), count(&fails));
    format!(
        "of {}: {holding} hold wherever they were judged, {failing} fail somewhere, {} are not yet measured",
        counted(of.len(), "sentence"),
        of.len() - holding - failing
    )
}

/// The verdict and what it was measured on, on one line.
pub fn summary(check: &Check) -> String {
    let Some(scale) = check.scale else { return check.title().to_uppercase() };
    // One network of a comparison may have more seeds than another.
    let fewest = match check.fewest_seeds {
        0 => String::new(),
        fewest if fewest == check.seeds => String::new(),
        fewest => format!("{fewest} to "),
    };
    format!(
        "{} on {}, n = {}, scale {scale}, {fewest}{}",
        check.title().to_uppercase(),
        check.data,
        thousands(check.n),
        counted(check.seeds, "seed")
    )
}
