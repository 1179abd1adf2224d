//! Table 2 and what sections 2.1 and 3 say of it: Inception V3 on photographs.

use crate::claims::part::{Part, percent, points, within};
use crate::claims::runs::{ERRORS, Runs, by_fit, test, train};
use crate::claims::{Checker, Claim};
use crate::paper::reported::{TABLE_2, Table2Row};
use crate::paper::{fig2b, mean};
use crate::store::Run;

/// How far below the paper's training accuracy counts as reached, a fraction.
const TOLERANCE: f64 = 0.02;
/// Share of the paper's difference or gain that is enough.
const SHARE: f64 = 0.5;
/// How far from the paper's test accuracy on ImageNet counts as the same, a fraction.
const SAME: f64 = 0.03;
/// Training accuracy from which random labels count as fitted: the paper's least, 87.81 %, less [`TOLERANCE`].
const FITTED_RANDOM: f64 = 0.8581;

/// Augmentation, dropout, weight decay, random labels.
type Switches = [bool; 4];
const ALL_REGULARIZERS: Switches = [true, true, true, false];
const AUGMENTATION_ALONE: Switches = [true, false, false, false];
const DECAY_ALONE: Switches = [false, false, true, false];
const NO_REGULARIZER: Switches = [false; 4];
const RANDOM: Switches = [false, false, false, true];
const RANDOM_REGULARIZED: [Switches; 2] = [[false, true, true, true], [false, false, true, true]];

fn switches(row: &Table2Row) -> Switches {
    [row.augmented, row.dropout, row.weight_decay, row.random_labels]
}

fn row(wanted: Switches) -> Option<&'static Table2Row> {
    TABLE_2.iter().find(|row| switches(row) == wanted)
}

fn named(wanted: Switches) -> String {
    let [augmented, dropout, decay, _] = wanted;
    let on = [(augmented, "augmentation"), (dropout, "dropout"), (decay, "weight decay")];
    let on: Vec<&str> = on.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect();
    if on.is_empty() { "no regulariser".into() } else { on.join(", ") }
}

/// A row of the paper with the runs of it.
fn of<'a>(group: &Runs<'a>, wanted: Switches) -> Option<(&'static Table2Row, Vec<&'a Run>)> {
    let row = row(wanted)?;
    Some((row, group.of_table_2(row))).filter(|(_, runs)| !runs.is_empty())
}

/// Training accuracy on random labels, against the paper's of the same row.
fn fitted(group: &Runs, rows: &[Switches]) -> Vec<Part> {
    let part = |&wanted: &Switches| {
        let (row, runs) = of(group, wanted)?;
        let (accuracy, paper) = (train(&runs)?, row.train[0] / 100.0);
        let text = format!("{}: top-1 train {} (paper {})", named(wanted), percent(accuracy), percent(paper));
        Some(Part::runs(text, accuracy >= paper - TOLERANCE, &[&runs]))
    };
    rows.iter().filter_map(part).collect()
}

/// Test accuracy of one of table 2's rows less another's, against the paper's difference.
fn gain(group: &Runs, more: Switches, less: Switches) -> Vec<Part> {
    let (Some((high_row, a)), Some((low_row, b))) = (of(group, more), of(group, less)) else {
        return Vec::new();
    };
    let (Some(high), Some(low)) = (test(&a), test(&b)) else { return Vec::new() };
    let paper = (high_row.test[0] - low_row.test[0]) / 100.0;
    let text = format!(
        "{} {}, {} {}: {} (paper {})",
        named(more),
        percent(high),
        named(less),
        percent(low),
        points(high - low),
        points(paper)
    );
    vec![Part::runs(text, high - low >= SHARE * paper, &[&a, &b])]
}

fn stop_early(group: &Runs) -> Vec<Part> {
    let part = |wanted: Switches| {
        let (row, runs) = of(group, wanted)?;
        let gain = mean(runs.iter().filter_map(|run| fig2b::early_stopping_gain(run)))?;
        let paper = (row.best?[0] - row.test[0]) / 100.0;
        let text = format!("{}: {} (paper {})", named(wanted), points(gain), points(paper));
        Some(Part::runs(text, gain >= SHARE * paper, &[&runs]))
    };
    [DECAY_ALONE, NO_REGULARIZER].into_iter().filter_map(part).collect()
}

fn above_guessing(group: &Runs) -> Vec<Part> {
    let Some((row, runs)) = of(group, NO_REGULARIZER) else { return Vec::new() };
    let (Some(accuracy), Some(chance)) = (test(&runs), group.chance()) else { return Vec::new() };
    let paper = row.test[0] / 100.0;
    let above = accuracy > chance + ERRORS * group.error_of_guessing(&runs);
    let same = !group.papers_imagenet() || within(accuracy, paper, SAME);
    let text = format!("top-1 test {}, chance {}", percent(accuracy), percent(chance));
    vec![Part::runs(text, above && same, &[&runs])]
}

/// The paper's number is of 1,000 classes: five guesses among ten are another thing.
fn top_5(group: &Runs) -> Vec<Part> {
    let Some((row, runs)) = of(group, NO_REGULARIZER) else { return Vec::new() };
    let Some(accuracy) = mean(runs.iter().filter_map(|run| run.record.test_top5)) else { return Vec::new() };
    let text = format!("top-5 test {}", percent(accuracy));
    if !group.papers_imagenet() {
        let text = format!("{text}: the paper's is of all of ImageNet's 1,000 classes");
        return vec![Part::runs(text, false, &[&runs]).missing()];
    }
    let paper = row.test[1] / 100.0;
    let text = format!("{text} (paper {})", percent(paper));
    vec![Part::runs(text, within(accuracy, paper, SAME), &[&runs])]
}

fn at_chance(group: &Runs) -> Vec<Part> {
    let mut parts = Vec::new();
    let Some(chance) = group.chance() else { return parts };
    for wanted in RANDOM_REGULARIZED.into_iter().chain([RANDOM]) {
        let Some((_, runs)) = of(group, wanted) else { continue };
        let (fitted, unfitted) = by_fit(runs, FITTED_RANDOM);
        let name = named(wanted);
        if let Some(top_1) = test(&fitted) {
            // Of so many guesses.
            let near = |accuracy: f64, chance: f64| {
                let images: usize = fitted.iter().map(|run| run.record.config.data.test).sum();
                let error = (chance * (1.0 - chance) / images.max(1) as f64).sqrt();
                (accuracy - chance).abs() <= ERRORS * error
            };
            let text = format!("{name}: top-1 test {}, chance {}", percent(top_1), percent(chance));
            parts.push(Part::runs(text, near(top_1, chance), &[&fitted]));
            let top_5 = mean(fitted.iter().filter_map(|run| run.record.test_top5));
            if let Some(top_5) = top_5.filter(|_| chance < 0.2) {
                let text = format!("{name}: top-5 test {}, chance {}", percent(top_5), percent(5.0 * chance));
                parts.push(Part::runs(text, near(top_5, 5.0 * chance), &[&fitted]));
            }
        }
        if let (Some(train), Some(test)) = (train(&unfitted), test(&unfitted)) {
            let text = format!(
                "{name}: top-1 test {} says nothing of a network with {} of its training labels right",
                percent(test),
                percent(train)
            );
            parts.push(Part::runs(text, false, &[&unfitted]).silent());
        }
    }
    parts
}

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        id: "imagenet-random-labels-fitted",
        section: "2.1",
        quote: "95.20% accuracy is still very surprising for a million random labels from 1000 categories.",
        criterion: "Inception V3's top-1 training accuracy on random labels without regularisers at least 93.2 % (table 2's \
                    95.20 % less 2 points)",
        recipes: &["table2"],
        check: Checker::Runs(|group| fitted(group, &[RANDOM])),
    },
    Claim {
        id: "imagenet-random-labels-regularized",
        section: "2.1",
        quote: "The network also manages to reach \u{223c}90% top-1 accuracy even with explicit regularizers turned on.",
        criterion: "top-1 training accuracy on random labels with weight decay at least 85.8 %, with dropout too at least 89.2 % \
                    (table 2's 87.81 and 91.18 % less 2 points)",
        recipes: &["table2"],
        check: Checker::Runs(|group| fitted(group, &RANDOM_REGULARIZED)),
    },
    Claim {
        id: "imagenet-random-labels-at-chance",
        section: "B, table 2",
        quote: "Table 2 shows the performance on Imagenet with true labels and random labels, respectively.",
        criterion: "after random labels (fitted to at least 85.8 %), top-1 test accuracy within 3 standard errors of \
                    1 / classes and top-5 of 5 / classes (the paper: 0.09 to 0.12 and 0.49 to 0.56 %)",
        recipes: &["table2"],
        check: Checker::Runs(at_chance),
    },
    Claim {
        id: "imagenet-drop-without-regularizers",
        section: "3",
        quote: "A 18% top-1 accuracy drop is observed when we turn off all the regularizers.",
        criterion: "top-1 test accuracy with all regularisers at least 9 points, half of the paper's 18.04, above that without \
                    any",
        recipes: &["table2"],
        check: Checker::Runs(|group| gain(group, ALL_REGULARIZERS, NO_REGULARIZER)),
    },
    Claim {
        id: "imagenet-above-guessing",
        section: "3",
        quote: "the top-1 accuracy without regularization is 59.80%, while random guessing only achieves 0.1% top-1 \
                accuracy on ImageNet.",
        criterion: "top-1 test accuracy without regularisers more than 3 standard errors above 1 / classes; on all of ImageNet \
                    within 3 points of 59.80 %",
        recipes: &["table2"],
        check: Checker::Runs(above_guessing),
    },
    Claim {
        id: "augmentation-beats-weight-decay",
        section: "3",
        quote: "the ability to augment the data using known symmetries is significantly more powerful than just tuning \
                weight decay or preventing low training error.",
        criterion: "top-1 test accuracy with augmentation alone at least 2.9 points, half of table 2's difference, above that \
                    with weight decay alone",
        recipes: &["table2"],
        check: Checker::Runs(|group| gain(group, AUGMENTATION_ALONE, DECAY_ALONE)),
    },
    Claim {
        id: "imagenet-top-5-without-regularizers",
        section: "3",
        quote: "Inception achieves 80.38% top-5 accuracy without regularization, while the reported number of the winner of \
                ILSVRC 2012 (Krizhevsky et al., 2012) achieved 83.6%.",
        criterion: "top-5 test accuracy on all of ImageNet within 3 points of 80.38 %",
        recipes: &["table2"],
        check: Checker::Runs(top_5),
    },
    Claim {
        id: "early-stopping-could-help-imagenet",
        section: "3.1, figure 2",
        quote: "early stopping could potentially improve generalization when other regularizers are absent.",
        criterion: "without augmentation and dropout, the best test accuracy along the training at least half as far above the \
                    last as in table 2: 2.7 points with weight decay, 1.7 without",
        recipes: &["table2", "fig2a"],
        check: Checker::Runs(stop_early),
    },
];
