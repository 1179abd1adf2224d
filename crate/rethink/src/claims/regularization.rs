//! Section 3: explicit and implicit regularisation, on small images.

use crate::claims::part::{Part, percent, points, speaking_of, within};
use crate::claims::runs::{
    ERRORS, MODELS, NORMALISED_OR_NOT, Regularized, Runs, fitted, noise, steps, test, train, went_on,
};
use crate::claims::{Checker, Claim};
use crate::data::corruption::Corruption;
use crate::paper::reported::{TABLE_1, Table1Row};
use crate::paper::{fig1a, fig2b, mean, table4};
use crate::run::appendix_a::CIFAR_TRAIN;
use crate::store::{FITTED, Run};
use rethink_nn::models::ModelKind;
use rethink_nn::text::thousands;

/// A network with a training accuracy below this "fails to converge".
const CONVERGED: f64 = 0.95;
/// With fewer images than the paper's (of which random crops make more), test accuracy without regularisers over the best with one, at least, for a network that
/// "performs well" without.
const LARGE_SHARE: f64 = 0.9;
/// Points of test accuracy that are no gain, as a fraction: two standard errors of 10,000 images, and of seeds.
const NO_GAIN: f64 = 0.02;

/// Test accuracy of a row of table 1 on true labels.
fn papers(model: ModelKind, random_crop: bool, weight_decay: bool) -> Option<f64> {
    let row = |row: &&Table1Row| {
        row.model == model.title()
            && !row.random_labels
            && (row.random_crop, row.weight_decay) == (random_crop, weight_decay)
    };
    Some(TABLE_1.iter().find(row)?.test / 100.0)
}

/// Test accuracy without regularisers over the best with one, in table 1, of the network that regularisers help most: 0.94, Alexnet's.
fn papers_ratio() -> Option<f64> {
    let with = [(true, true), (true, false), (false, true)];
    let ratio = |model: &ModelKind| {
        let best =
            with.iter().filter_map(|&(crop, decay)| papers(*model, crop, decay)).max_by(f64::total_cmp)?;
        Some(papers(*model, false, false)? / best)
    };
    MODELS.iter().filter_map(ratio).min_by(f64::total_cmp)
}

/// The best test accuracy of a model with a regulariser.
fn best_regularized<'a>(group: &Runs<'a>, model: ModelKind) -> Option<(f64, Vec<&'a Run>)> {
    let with = [Regularized::Decay, Regularized::Crop, Regularized::Both];
    let all = with.into_iter().filter_map(|with| group.tested(model, with));
    all.max_by(|a, b| a.0.total_cmp(&b.0))
}

fn generalize_without(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let (without, plain) = group.tested(model, Regularized::Not)?;
        let (best, runs) = best_regularized(group, model)?;
        let chance = group.chance()?;
        let images = plain.iter().map(|run| run.record.config.data.train).max()?;
        let (whose, ratio) = match images >= CIFAR_TRAIN {
            true => ("the paper's least", papers_ratio()?),
            false => ("at least", LARGE_SHARE),
        };
        let above = without > chance + ERRORS * group.error_of_guessing(&plain);
        let text = format!(
            "{}: {} without, at best {} with: {:.3} of it ({whose} {ratio:.3})",
            model.title(),
            percent(without),
            percent(best),
            without / best
        );
        let close = without >= ratio * best - noise(&plain, &runs);
        Some(Part::runs(text, above && close, &[&plain, &runs]))
    };
    MODELS.iter().filter_map(part).collect()
}

fn not_sufficient(group: &Runs) -> Vec<Part> {
    let mut parts = Vec::new();
    let Some(chance) = group.chance() else { return parts };
    for model in MODELS {
        for (name, with) in [
            ("weight decay", Regularized::Decay),
            ("random crop", Regularized::Crop),
            ("augmentation", Regularized::Augmented),
        ] {
            let runs = group.of(model, Corruption::RandomLabels, with);
            let (Some(train), Some(test)) = (train(&runs), test(&runs)) else { continue };
            let text = format!("{}, {name}: train {}, test {}", model.title(), percent(train), percent(test));
            let at_chance = (test - chance).abs() <= ERRORS * group.error_of_guessing(&runs);
            // Alexnet is the paper's own exception.
            let exception = model == ModelKind::Alexnet && with == Regularized::Decay;
            if !exception {
                parts.push(Part::runs(text, train >= FITTED && at_chance, &[&runs]));
            }
        }
    }
    parts
}

/// That Alexnet fails with weight decay says something of weight decay where it does not fail without, and where no other
/// coefficient lets it fit. That it fits says something where weight decay has had the steps that it takes to act.
fn alexnet_decay(group: &Runs) -> Vec<Part> {
    let of = |with| group.of(ModelKind::Alexnet, Corruption::RandomLabels, with);
    let (decayed, mut plain) = (of(Regularized::Decay), of(Regularized::Not));
    // Those that had no more epochs than the others were given.
    let given = decayed.iter().map(|run| run.record.config.hyper.epochs).min().unwrap_or(0);
    plain.retain(|run| run.record.epochs as usize <= given);
    let Some(accuracy) = train(&decayed) else { return Vec::new() };
    let mut parts = Vec::new();
    let text = format!("Alexnet: train {}", percent(accuracy));
    let steps: Option<Vec<usize>> = decayed.iter().map(|run| table4::too_few_steps(run)).collect();
    if let (true, Some(steps)) = (accuracy >= CONVERGED, steps.and_then(|steps| steps.into_iter().max())) {
        let needed = table4::decay_steps(&decayed[0].record.config).round() as usize;
        let text = format!(
            "{text} after {} steps; not at this scale: alone, this weight decay takes {} to bring a weight down to 1 / e",
            thousands(steps),
            thousands(needed)
        );
        return vec![Part::runs(text, false, &[&decayed]).missing()];
    }
    match train(&plain) {
        Some(without) if without >= FITTED => {
            let text = format!("{text}, without weight decay {}", percent(without));
            parts.push(Part::runs(text, accuracy < CONVERGED, &[&decayed, &plain]));
        }
        Some(without) => {
            let text = format!(
                "{text} with weight decay, but {} without, which has to fit ({} or more) for the comparison",
                percent(without),
                percent(FITTED)
            );
            parts.push(Part::runs(text, false, &[&decayed, &plain]).missing());
        }
        None => {
            let text = format!("{text} with weight decay; the same without it has not been run");
            parts.push(Part::runs(text, false, &[&decayed]).missing());
        }
    }
    for (what, runs) in group.controls(ModelKind::Alexnet, Corruption::RandomLabels, Regularized::Decay) {
        let Some(accuracy) = train(&runs) else { continue };
        let text = format!("Alexnet, control ({what}): train {}", percent(accuracy));
        parts.push(Part::runs(text, accuracy < CONVERGED, &[&runs]));
    }
    parts
}

/// Steps within which weight decay does next to nothing, as a share of those in which it brings a weight down to 1 / e: a weight
/// has lost a tenth.
const BEFORE_IT_ACTS: f64 = 0.1;

/// What is said of runs with weight decay that ended before it acts, whatever came of them; `None` of others.
fn too_short(runs: &[&Run]) -> Option<String> {
    let most = runs.iter().map(|run| table4::steps(run)).max()?;
    let needed = runs.iter().map(|run| table4::decay_steps(&run.record.config)).fold(f64::INFINITY, f64::min);
    (needed.is_finite() && (most as f64) < BEFORE_IT_ACTS * needed).then(|| {
        format!(
            "not at this scale: {} steps, of {} in which weight decay alone brings a weight down to 1 / e",
            thousands(most),
            thousands(needed.round() as usize)
        )
    })
}

/// Each technique: no model of the paper's is hurt by it beyond noise, and some model gains beyond it.
fn regularizers_help(group: &Runs) -> Vec<Part> {
    let mut parts = Vec::new();
    for (name, with, (crop, decay)) in [
        ("weight decay", Regularized::Decay, (false, true)),
        ("random crop", Regularized::Crop, (true, false)),
    ] {
        let mut gained = false;
        let (mut of_technique, mut lacking, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for model in MODELS.into_iter().filter(|&model| papers(model, crop, decay).is_some()) {
            let (plain, regularized) = (group.tested(model, Regularized::Not), group.tested(model, with));
            let (Some((without, plain)), Some((accuracy, runs))) = (plain, regularized) else {
                lacking.push(model.title());
                continue;
            };
            let (gain, noise) = (accuracy - without, noise(&plain, &runs));
            let text = format!("{}, {name}: {} (noise {:.1})", model.title(), points(gain), 100.0 * noise);
            if let Some(why) = too_short(&runs) {
                short.push(Part::runs(format!("{text}; {why}"), false, &[&plain, &runs]).missing());
                continue;
            }
            gained |= gain > noise;
            of_technique.push(Part::runs(text, gain >= -noise, &[&plain, &runs]));
        }
        let of_one = !of_technique.is_empty();
        parts.extend(of_technique);
        let unjudged = !short.is_empty();
        parts.extend(short);
        if gained || unjudged {
            continue;
        }
        let none = Part::runs(format!("{name}: no gain beyond noise"), false, &[]);
        if lacking.is_empty() {
            parts.push(none);
        } else {
            let found = if of_one { "no gain beyond noise; " } else { "" };
            let text = format!("{name}: {found}not run: {}", lacking.join(", "));
            parts.push(Part { text, ..none.missing() });
        }
    }
    // Where no regulariser was run there is nothing to say.
    if parts.iter().all(|part| part.keys.is_empty()) { Vec::new() } else { parts }
}

fn crops_beat_decay(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let (without, plain) = group.tested(model, Regularized::Not)?;
        let (decay, a) = group.tested(model, Regularized::Decay)?;
        let (crop, b) = group.tested(model, Regularized::Crop)?;
        let text = format!(
            "{}: random crop {}, weight decay {}",
            model.title(),
            points(crop - without),
            points(decay - without)
        );
        Some(Part::runs(text, crop - decay > noise(&a, &b), &[&plain, &a, &b]))
    };
    MODELS.iter().filter_map(part).collect()
}

fn architecture(group: &Runs) -> Vec<Part> {
    let plain: Vec<_> =
        MODELS.iter().filter_map(|&m| Some((m, group.tested(m, Regularized::Not)?))).collect();
    let gain = |(model, (without, _)): &(ModelKind, (f64, Vec<&Run>))| {
        best_regularized(group, *model).map(|(best, _)| best - without)
    };
    let Some(regularizers) = plain.iter().filter_map(gain).max_by(f64::total_cmp) else { return Vec::new() };
    let best = plain.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let worst = plain.iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let (Some((high, (a, high_runs))), Some((low, (b, low_runs)))) = (best, worst) else { return Vec::new() };
    if high == low {
        return Vec::new();
    }
    let text = format!(
        "from {} to {}: {}; regularisers at most {}",
        low.title(),
        high.title(),
        points(a - b),
        points(regularizers)
    );
    let mut parts = vec![Part::runs(text, a - b > regularizers, &[high_runs, low_runs])];
    // The paper's largest gain is that of Inception's crops.
    if group.tested(ModelKind::Inception, Regularized::Crop).is_none() {
        parts.push(Part::absent("Inception with random crops"));
    }
    parts
}

fn model_order(group: &Runs) -> Vec<Part> {
    let plain: Vec<_> =
        MODELS.iter().filter_map(|&m| Some((m, group.tested(m, Regularized::Not)?))).collect();
    let pairs = plain.windows(2).map(|pair| {
        let ((a, (first, runs)), (b, (second, others))) = (&pair[0], &pair[1]);
        let text = format!("{} {}, {} {}", a.title(), percent(*first), b.title(), percent(*second));
        Part::runs(text, first >= &(second - NO_GAIN / 2.0), &[runs, others])
    });
    pairs.collect()
}

fn early_stopping(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let all = group.of(model, Corruption::TrueLabels, Regularized::Not);
        // A run that was ended by its first fit has not gone on to where stopping early could have won.
        let (runs, ended): (Vec<&Run>, Vec<&Run>) = all.into_iter().partition(|run| went_on(run));
        let gain = mean(runs.iter().filter_map(|run| fig2b::early_stopping_gain(run)));
        match gain {
            // Before a network has fitted, its last accuracy is one on the way.
            Some(gain) if train(&runs).is_none_or(|accuracy| accuracy < FITTED) => {
                let text = format!("{}: {}, but not fitted at its end", model.title(), points(gain));
                Some(Part::runs(text, false, &[&runs]).silent())
            }
            Some(gain) => {
                let text = format!("{}: {}", model.title(), points(gain));
                Some(Part::runs(text, gain <= NO_GAIN, &[&runs]))
            }
            None if ended.is_empty() => None,
            None => {
                let text = format!("{}: its runs ended at their first fit", model.title());
                Some(Part::runs(text, false, &[&ended]).silent())
            }
        }
    };
    MODELS.iter().filter_map(part).collect()
}

fn batch_norm(group: &Runs) -> Vec<Part> {
    let with = group.tested(ModelKind::Inception, Regularized::Not);
    let without = group.tested(ModelKind::InceptionNoBn, Regularized::Not);
    let (Some((a, with)), Some((b, without))) = (with, without) else { return Vec::new() };
    let text = format!("{} ({} with, {} without)", points(a - b), percent(a), percent(b));
    // "3~4 %", and the standard error of a single pair of runs.
    let holds = if group.papers_cifar() { within(a - b, 0.035, 0.015) } else { a > b };
    let fitted = [&with, &without].iter().all(|runs| train(runs).is_some_and(|accuracy| accuracy >= FITTED));
    vec![match fitted {
        true => Part::runs(text, holds, &[&with, &without]),
        false => Part::runs(format!("{text}, but not both fitted"), false, &[&with, &without]).missing(),
    }]
}

/// How unsteadily test accuracy goes: the mean distance of a measurement from the middle of its neighbours, after the first
/// quarter of the run. A steady rise has none.
fn unrest(run: &Run) -> Option<f64> {
    let tests: Vec<f64> = run.column("test_accuracy").ok()?.f64().ok()?.iter().flatten().collect();
    let later = &tests[tests.len() / 4..];
    mean(later.windows(3).map(|three| (three[1] - 0.5 * (three[0] + three[2])).abs()))
}

fn batch_norm_steadies(group: &Runs) -> Vec<Part> {
    let going_on = |model| {
        let runs = group.of(model, Corruption::TrueLabels, Regularized::Not);
        runs.into_iter().filter(|run| went_on(run)).collect::<Vec<_>>()
    };
    let [with, without] = NORMALISED_OR_NOT.map(going_on);
    if with.is_empty() || without.is_empty() {
        return Vec::new();
    }
    let (fast, slow) = (steps(&with, fig1a::FITTED_LOSS), steps(&without, fig1a::FITTED_LOSS));
    let number = |v: Option<f64>| v.map_or("never".into(), |v| format!("{v:.0}"));
    let text =
        format!("steps to a loss of {}: {} with, {} without", fig1a::FITTED_LOSS, number(fast), number(slow));
    let sooner = fast.is_some_and(|fast| slow.is_none_or(|slow| fast < slow));
    let mut parts = vec![Part::runs(text, sooner, &[&with, &without])];
    // Between two tests that are farther apart, more happens: only the runs that were tested most often are compared.
    let every = |run: &&&Run| run.record.config.eval_every;
    let often = with.iter().chain(&without).map(|run| every(&run)).min();
    let restless = |runs: &[&Run]| {
        mean(runs.iter().filter(|run| Some(every(run)) == often).filter_map(|run| unrest(run)))
    };
    if let (Some(a), Some(b)) = (restless(&with), restless(&without)) {
        let text = format!(
            "test accuracy departs from its neighbours' middle by {:.2} points with, {:.2} without",
            100.0 * a,
            100.0 * b
        );
        parts.push(Part::runs(text, a < b, &[&with, &without]));
    }
    parts
}

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        id: "regularization-not-necessary",
        section: "1.1",
        quote: "Explicit regularization may improve generalization performance, but is neither necessary [...]",
        criterion: "test accuracy without any regulariser above chance, and with 50,000 images as large a share of the best with one \
                    as the paper's network that regularisers help most has (Alexnet, 0.94), with fewer 0.9 of it, less noise (two standard errors of the test images; of three seeds or more, a paired t test at 5 %)",
        recipes: &["table1"],
        check: Checker::Runs(generalize_without),
    },
    Claim {
        id: "regularization-not-sufficient",
        section: "1.1",
        quote: "[...] nor by itself sufficient for controlling generalization error.",
        criterion: "with a regulariser, random labels are still fitted (at least 99 %; the paper's least: 99.21 %), and test \
                    accuracy is that of guessing; Alexnet with weight decay is the paper's own exception",
        recipes: &["table4"],
        check: Checker::Runs(not_sufficient),
    },
    Claim {
        id: "fitted-with-weight-decay",
        section: "3",
        quote: "on CIFAR10, both Inception and MLPs still fit perfectly the random training set with weight decay \
                turned on.",
        criterion: "training accuracy on random labels with weight decay at least 99 %, with other coefficients and batch \
                    sizes too where they were tried",
        recipes: &["table4"],
        check: Checker::Runs(|group| {
            let models = [ModelKind::Inception, ModelKind::Mlp3x512, ModelKind::Mlp1x512];
            speaking_of(&models, fitted(group, &models, Corruption::RandomLabels, Regularized::Decay))
        }),
    },
    Claim {
        id: "alexnet-with-weight-decay-fails",
        section: "3",
        quote: "However, AlexNet with weight decay turned on fails to converge on random labels.",
        criterion: "training accuracy below 95 %, with other coefficients too where they were tried, and at least 99 % without \
                    weight decay on as many images",
        recipes: &["table4", "table1"],
        check: Checker::Runs(alexnet_decay),
    },
    Claim {
        id: "regularizers-help",
        section: "3",
        quote: "Both regularization techniques help to improve the generalization performance",
        criterion: "weight decay and random crops: each gains test accuracy beyond noise (two standard errors of the test images; of \
                    three seeds or more, a paired t test at 5 %) for some model and costs none more than noise; weight decay is not judged of runs that end before a weight would have lost a tenth by \
                    it alone",
        recipes: &["table1"],
        check: Checker::Runs(regularizers_help),
    },
    Claim {
        id: "crops-beat-weight-decay",
        section: "3",
        quote: "the ability to augment the data using known symmetries is significantly more powerful than just tuning \
                weight decay",
        criterion: "random crops gain more test accuracy than weight decay, by more than noise (said of ImageNet, measured \
                    here)",
        recipes: &["table1"],
        check: Checker::Runs(crops_beat_decay),
    },
    Claim {
        id: "architecture-over-regularizers",
        section: "3",
        quote: "while regularization is important, bigger gains can be achieved by simply changing the model \
                architecture.",
        criterion: "the best model is farther above the worst than any regulariser lifts a model (said of ImageNet, \
                    measured here)",
        recipes: &["table1"],
        check: Checker::Runs(architecture),
    },
    Claim {
        id: "order-of-models",
        section: "3, table 1",
        quote: "Table 1: The training and test accuracy (in percentage) of various models on the CIFAR10 dataset.",
        criterion: "test accuracy without regularisers falls, within a point, from Inception over Inception w/o \
                    BatchNorm, Alexnet and MLP 3x512 to MLP 1x512",
        recipes: &["table1"],
        check: Checker::Runs(|group| speaking_of(&MODELS, model_order(group))),
    },
    Claim {
        id: "early-stopping-no-help",
        section: "3.1",
        quote: "on the CIFAR10 dataset, we do not observe any potential benefit of early stopping.",
        criterion: "the best test accuracy of a run at most 2 points above its last one; runs that went on after their fit, to their \
                    last epoch or for the epochs in a row of the rule they stop by, and are fitted at their end",
        recipes: &["fig2b"],
        check: Checker::Runs(early_stopping),
    },
    Claim {
        id: "batch-norm-steadies",
        section: "3.1",
        quote: "The normalization operator helps stabilize the learning dynamics, [...]",
        criterion: "with batch norm, a loss of 0.1 after fewer steps, and test accuracies (after a quarter of the run) nearer to \
                    the middle of their neighbours, in runs that went on after their fit",
        recipes: &["fig2b"],
        check: Checker::Runs(batch_norm_steadies),
    },
    Claim {
        id: "batch-norm-worth-3-to-4",
        section: "3.1",
        quote: "[...] but the impact on the generalization performance is only 3\u{223c}4%.",
        criterion: "2 to 5 points more test accuracy with batch norm on CIFAR-10, n = 50,000; elsewhere, more; both networks fitted",
        recipes: &["fig2b", "table1"],
        check: Checker::Runs(batch_norm),
    },
];
