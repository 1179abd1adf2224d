//! `rethink claims`: the paper's sentences as checks over the store.

use crate::Result;
use crate::commands::runs::comparable;
use rethink::claims::{self, Check, Judgement};
use rethink_nn::text::thousands;
use rethink_plot::tables::{TEXT_WIDTH, wrapped};
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
    println!(
        "\n{} hold, {} fail, {} not yet measured",
        count(Judgement::Holds),
        count(Judgement::Fails),
        count(Judgement::NotYetMeasured)
    );
    Ok(())
}

/// The verdict and what it was measured on, on one line.
pub fn summary(check: &Check) -> String {
    let Some(scale) = check.scale else { return check.verdict.title().to_uppercase() };
    let seeds = if check.seeds == 1 { "seed" } else { "seeds" };
    format!(
        "{} on {}, n = {}, scale {scale}, {} {seeds}",
        check.verdict.title().to_uppercase(),
        check.data,
        thousands(check.n),
        check.seeds
    )
}
