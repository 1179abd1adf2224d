//! The paper's findings and sentences beside what the study's results say.

use crate::Result;
use crate::claims::{self, Check};
use crate::measure::Measurement;
use crate::paper::{self, Results, Verdict};
use crate::run::config::RunConfig;
use crate::run::row::StopReason;
use crate::study::Study;
use rethink_nn::text::thousands;
use rethink_plot::tables::{Align, Table};
use std::collections::HashSet;

impl Study {
    /// The paper's finding of recipe `id` beside that of `results`.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown recipe, or results of the other kind.
    pub fn finding(&self, id: &str, results: impl Into<Results>) -> Result<Table> {
        let verdict = paper::find(id)?.verdict(&results.into())?;
        self.findings(&[(id, verdict)])
    }

    fn findings(&self, all: &[(&str, Verdict)]) -> Result<Table> {
        let columns = [("item", Align::Left), ("the paper", Align::Left), ("ours", Align::Left)];
        let mut table = Table::new("verdicts", "The paper's findings and ours", &columns);
        for (id, verdict) in all {
            table.push(vec![id.to_string(), verdict.paper.clone(), verdict.ours().into()])?;
        }
        table.notes = vec![format!("{}, scale {}", self.title(), self.scale_title())];
        Ok(table)
    }

    /// The claims named in `only`, checked over `results` alone. Claims are of runs in the recipes' own setting: of a changed
    /// experiment they say "not yet measured" wherever the change matters.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown name.
    pub fn check(&self, results: impl Into<Results>, only: &[&str]) -> Result<Table> {
        let checks = match results.into() {
            Results::Runs(mut runs) => {
                runs.retain(|run| run.record.ending != StopReason::Interrupted);
                claims::check_named(&runs, &[], only)?
            }
            Results::Measured(measured) => claims::check_named(&[], &measured, only)?,
        };
        self.claims_table(&checks)
    }

    /// The paper's finding beside ours.
    ///
    /// Errors: as for [`Study::results`].
    pub fn verdict(&self, id: &str) -> Result<Verdict> {
        let recipe = paper::find(id)?;
        recipe.verdict(&self.results(recipe, &mut |_| {})?)
    }

    /// One line per recipe: the paper's finding, and ours.
    ///
    /// Errors: as for [`Study::results`].
    pub fn verdicts(&self, ids: &[&str]) -> Result<Table> {
        let verdicts: Result<Vec<_>> = ids.iter().map(|id| Ok((*id, self.verdict(id)?))).collect();
        self.findings(&verdicts?)
    }

    /// The claims named in `only` (all where empty), checked over the store's runs and measurements with this study's data
    /// sets and scale and as many images as this study's recipes take; of a study that replaces values ([`Study::set`]) over its own
    /// runs alone. Claims are of runs in the recipes' own setting: there they say "not yet measured" wherever the
    /// values matter.
    ///
    /// Errors: [`crate::Error::Argument`] for an unknown name, those of [`crate::store::Store::all`].
    pub fn claims(&self, only: &[&str]) -> Result<Vec<Check>> {
        let mut runs = self.store().all()?;
        runs.retain(|run| run.record.config.data.is_comparable());
        let own: Vec<RunConfig> = paper::ALL.iter().flat_map(|recipe| self.configs_of(recipe)).collect();
        // Runs of another number of images were made for another study.
        let sizes: HashSet<(usize, usize)> =
            own.iter().map(|config| (config.data.train, config.data.test)).collect();
        let keys: HashSet<String> = own.iter().map(RunConfig::key).collect();
        runs.retain(|run| {
            let (data, scale) = (&run.record.config.data, run.record.scale);
            data.fingerprint == self.data.fingerprint
                && scale == self.scale
                && sizes.contains(&(data.train, data.test))
                && (self.overrides.is_empty() || keys.contains(&run.record.config.key()))
        });
        let planned: Vec<Measurement> = paper::suiting(&self.data)
            .iter()
            .flat_map(|recipe| recipe.measurements(&self.setting()))
            .collect();
        let sizes: HashSet<(&str, usize, usize)> =
            planned.iter().map(|m| (m.data.fingerprint.as_str(), m.data.train, m.data.test)).collect();
        let mut measured = self.store().measurements()?;
        measured.retain(|measured| {
            let data = &measured.record.measurement.data;
            measured.record.scale == self.scale
                && sizes.contains(&(data.fingerprint.as_str(), data.train, data.test))
        });
        claims::check_named(&runs, &measured, only)
    }

    /// One line per check: the sentence, the verdict, the measured numbers and what is lacking.
    ///
    /// Errors: those of [`Table::push`].
    pub fn claims_table(&self, checks: &[Check]) -> Result<Table> {
        let columns = [("claim", Align::Left), ("the paper", Align::Left), ("verdict", Align::Left)];
        let columns = [&columns[..], &[("n", Align::Right), ("measured", Align::Left)]].concat();
        let mut table = Table::new("claims", "The paper's sentences as checks", &columns);
        for check in checks {
            let n = if check.n == 0 { "-".into() } else { thousands(check.n) };
            let lacking = check.lacking.iter().map(|text| format!("lacking: {text}"));
            let measured: Vec<String> = check.measured.iter().cloned().chain(lacking).collect();
            let (verdict, measured) = (check.title().into(), measured.join("; "));
            table.push(vec![check.id.into(), check.quote.into(), verdict, n, measured])?;
        }
        table.notes = vec![format!("{}, scale {}", self.data.title, self.scale_title())];
        Ok(table)
    }
}
