//! Sections 1, 1.1 and 2.1: random labels and images are fitted.

use crate::claims::part::{Part, percent, points, speaking_of};
use crate::claims::runs::{
    ERRORS, MODELS, NOISY, Regularized, Runs, by_fit, epochs, fitted, noise, steps, test, train,
};
use crate::claims::{Checker, Claim};
use crate::data::corruption::Corruption;
use crate::paper::{fig1a, mean};
use crate::store::{FITTED, Run};
use rethink_nn::models::ModelKind;

/// Largest slowdown that is "a small constant factor"; figure 1b's axis ends at 3.5.
const SMALL_FACTOR: f64 = 5.0;
/// What is "far more": the paper's networks have 24 times as many parameters as images or more.
const FAR_MORE: usize = 5;
/// By how much labels alone raise the generalization error, at least, as a fraction; in the paper by 39 points or more.
const JUMP: f64 = 0.2;
/// A network has started to fit when its loss is below this share of the loss of guessing: for ten classes, below 2 of ln 10 nats.
const STARTED: f64 = 2.0 / std::f64::consts::LN_10;
/// Least rise of the test error between true and random labels, as a fraction.
const RISE: f64 = 0.05;

const NOISE: [Corruption; 2] = [Corruption::RandomPixels, Corruption::Gaussian { per_channel: true }];

fn more_parameters(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        // The sentence is about trained networks: one that has not fitted its labels says nothing.
        let (ended, others) = by_fit(group.of(model, Corruption::TrueLabels, Regularized::Not), FITTED);
        let Some(first) = ended.first() else {
            let accuracy = train(&others)?;
            let text = format!("{}: not fitted ({})", model.title(), percent(accuracy));
            return Some(Part::runs(text, false, &[&others]).silent());
        };
        let (p, n) = (first.record.parameters, first.record.config.data.train);
        let text = format!("{}: {p} parameters, {n} images", model.title());
        Some(Part::runs(text, p >= FAR_MORE * n, &[&ended]))
    };
    MODELS.iter().filter_map(part).collect()
}

/// Test accuracy after random labels, of the networks that fitted them: one that has learnt nothing is at chance too.
fn at_chance(group: &Runs, models: &[ModelKind]) -> Vec<Part> {
    let mut parts = Vec::new();
    for &model in models {
        let runs = group.of(model, Corruption::RandomLabels, Regularized::Not);
        let (fitted, unfitted) = by_fit(runs, FITTED);
        if let Some(accuracy) = test(&fitted) {
            let text = format!("{}: test {}", model.title(), percent(accuracy));
            let Some(chance) = group.chance() else {
                let text = format!("{text}, of an unknown number of classes");
                parts.push(Part::runs(text, false, &[&fitted]).silent());
                continue;
            };
            let holds = (accuracy - chance).abs() <= ERRORS * group.error_of_guessing(&fitted);
            let text = format!("{text}, chance {}", percent(chance));
            parts.push(Part::runs(text, holds, &[&fitted]));
        }
        if let (Some(train), Some(test)) = (train(&unfitted), test(&unfitted)) {
            let text = format!(
                "{}: test {} says nothing of a network with {} of its training labels right",
                model.title(),
                percent(test),
                percent(train)
            );
            parts.push(Part::runs(text, false, &[&unfitted]).silent());
        }
    }
    parts
}

fn labels_alone(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let gap = |runs: &[&Run]| Some(train(runs)? - test(runs)?);
        let of = |corruption| by_fit(group.of(model, corruption, Regularized::Not), FITTED).0;
        let (clean, random) = (of(Corruption::TrueLabels), of(Corruption::RandomLabels));
        let (a, b) = (gap(&clean)?, gap(&random)?);
        let text = format!(
            "{}: generalization error {} on true labels, {} on random ones",
            model.title(),
            percent(a),
            percent(b)
        );
        Some(Part::runs(text, b - a >= JUMP, &[&clean, &random]))
    };
    MODELS.iter().filter_map(part).collect()
}

fn small_factor(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let [clean, random] = [0.0, 1.0].map(|p| group.noisy(model, p));
        let clean_epochs = epochs(&clean)?;
        let told = random.iter().any(|run| run.record.config.hyper.stop_when_fitted);
        let (text, holds) = match epochs(&random) {
            Some(epochs) => {
                let factor = epochs / clean_epochs;
                (
                    format!("{factor:.2} times ({clean_epochs:.1} and {epochs:.1} epochs)"),
                    factor <= SMALL_FACTOR,
                )
            }
            None if told => ("random labels were not fitted".into(), false),
            None => return None,
        };
        Some(Part::runs(format!("{}: {text}", model.title()), holds, &[&clean, &random]))
    };
    MODELS.iter().filter_map(part).collect()
}

fn settings_fit(group: &Runs, settings: &[Corruption]) -> Vec<Part> {
    let model = ModelKind::Inception;
    let part = |setting: &Corruption| {
        let tables = group.of(model, *setting, Regularized::Not);
        let runs = if tables.is_empty() { group.curves(*setting) } else { tables };
        let accuracy = train(&runs)?;
        let text = format!("{}, {}: train {}", model.title(), setting.title(), percent(accuracy));
        Some(Part::runs(text, accuracy >= FITTED, &[&runs]))
    };
    let (mut parts, mut absent) = (Vec::new(), Vec::new());
    for setting in settings {
        match part(setting) {
            Some(part) => parts.push(part),
            None => absent.push(Part::absent(&format!("{}, {}", model.title(), setting.title()))),
        }
    }
    if !parts.is_empty() {
        parts.extend(absent);
    }
    parts
}

fn deterioration(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let levels = group.levels(model);
        if levels.len() < 3 {
            return None;
        }
        let runs: Vec<Vec<&Run>> = levels.iter().map(|&p| group.noisy(model, p)).collect();
        let errors: Vec<f64> = runs.iter().filter_map(|runs| test(runs)).map(|a| 1.0 - a).collect();
        let whole = errors.len() == levels.len();
        let rises =
            whole && (1..errors.len()).all(|i| errors[i] >= errors[i - 1] - noise(&runs[i - 1], &runs[i]));
        let grows = errors.last()? - errors.first()? > RISE;
        let list: Vec<String> = errors.iter().map(|e| format!("{:.1}", 100.0 * e)).collect();
        let text = format!("{}: test error {} %", model.title(), list.join(", "));
        let all: Vec<&[&Run]> = runs.iter().map(Vec::as_slice).collect();
        Some(Part::runs(text, rises && grows, &all))
    };
    MODELS.iter().filter_map(part).collect()
}

fn remaining_signal(group: &Runs) -> Vec<Part> {
    let mut parts = Vec::new();
    let Some(chance) = group.chance() else { return parts };
    for model in MODELS {
        // Half of the labels or fewer redrawn: most are still right.
        for p in group.levels(model).into_iter().filter(|p| *p > 0.0 && *p <= 0.5) {
            let runs = group.noisy(model, p);
            let (Some(train), Some(test)) = (train(&runs), test(&runs)) else { continue };
            let above = test > chance + ERRORS * group.error_of_guessing(&runs);
            let text =
                format!("{}, p = {p}: train {}, test {}", model.title(), percent(train), percent(test));
            parts.push(Part::runs(text, train >= FITTED && above, &[&runs]));
        }
    }
    parts
}

fn partial_fitted(group: &Runs) -> Vec<Part> {
    let mut parts = Vec::new();
    for model in NOISY {
        for p in group.levels(model).into_iter().filter(|p| *p > 0.0 && *p < 1.0) {
            let runs = group.noisy(model, p);
            let Some(train) = train(&runs) else { continue };
            let text = format!("{}, p = {p}: train {}", model.title(), percent(train));
            parts.push(Part::runs(text, train >= FITTED, &[&runs]));
        }
    }
    parts
}

fn slowdown(group: &Runs) -> Vec<Part> {
    let part = |&model: &ModelKind| {
        let levels = group.levels(model);
        let runs: Vec<Vec<&Run>> = levels.iter().map(|&p| group.noisy(model, p)).collect();
        let times: Vec<f64> = runs.iter().filter_map(|runs| epochs(runs)).collect();
        if levels.len() < 3 || times.len() < 2 || levels.first() != Some(&0.0) || epochs(&runs[0]).is_none() {
            return None;
        }
        // Of all pairs of levels, the share in the right order, equal ones counting half.
        let pairs = (0..times.len()).flat_map(|i| (i + 1..times.len()).map(move |j| (i, j)));
        let order = mean(pairs.map(|(i, j)| match times[j].total_cmp(&times[i]) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        }))?;
        let unfitted = levels.len() - times.len();
        let list: Vec<String> = times.iter().map(|t| format!("{:.2}", t / times[0])).collect();
        let more = if unfitted > 0 { format!(", {unfitted} levels not fitted") } else { String::new() };
        let text = format!("{}: {} times{more}", model.title(), list.join(", "));
        let all: Vec<&[&Run]> = runs.iter().map(Vec::as_slice).collect();
        Some(Part::runs(text, times.last()? > &times[0] && order >= 0.75, &all))
    };
    NOISY.iter().filter_map(part).collect()
}

fn slow_start(group: &Runs) -> Vec<Part> {
    let (clean, random) = (group.curves(Corruption::TrueLabels), group.curves(Corruption::RandomLabels));
    let start = |runs: &[&Run]| steps(runs, STARTED * group.loss_of_guessing()?);
    let (Some(a), Some(b)) = (start(&clean), start(&random)) else { return Vec::new() };
    let text = format!("steps until the loss falls: true labels {a:.0}, random labels {b:.0}");
    vec![Part::runs(text, b > a, &[&clean, &random])]
}

fn quick_convergence(group: &Runs) -> Vec<Part> {
    let (clean, random) = (group.curves(Corruption::TrueLabels), group.curves(Corruption::RandomLabels));
    let fall = |runs: &[&Run]| {
        Some(steps(runs, fig1a::FITTED_LOSS)? - steps(runs, STARTED * group.loss_of_guessing()?)?)
    };
    let (Some(a), Some(b)) = (fall(&clean), fall(&random)) else { return Vec::new() };
    let text = format!(
        "steps from the first fall to a loss of {}: true labels {a:.0}, random labels {b:.0}",
        fig1a::FITTED_LOSS
    );
    vec![Part::runs(text, b <= 2.0 * a, &[&clean, &random])]
}

fn noise_first(group: &Runs) -> Vec<Part> {
    let random = group.curves(Corruption::RandomLabels);
    let half = |runs: &[&Run]| steps(runs, 0.5 * group.loss_of_guessing()?);
    let Some(labels) = half(&random) else { return Vec::new() };
    let part = |setting: Corruption| {
        let runs = group.curves(setting);
        let noise = half(&runs)?;
        let text =
            format!("steps to half the loss: {} {noise:.0}, random labels {labels:.0}", setting.title());
        Some(Part::runs(text, noise < labels, &[&runs, &random]))
    };
    NOISE.into_iter().filter_map(part).collect()
}

/// Training accuracies on true and on random labels, with other batch sizes too where they were tried.
fn alexnet_and_mlps(group: &Runs) -> Vec<Part> {
    let models = [ModelKind::Alexnet, ModelKind::Mlp3x512, ModelKind::Mlp1x512];
    let of = |labels| speaking_of(&models, fitted(group, &models, labels, Regularized::Not));
    let mut parts = of(Corruption::TrueLabels);
    for part in of(Corruption::RandomLabels) {
        parts.push(Part { text: format!("{} (random labels)", part.text), ..part });
    }
    parts
}

/// How near the test error of random labels is to that of guessing, and that it came there from below.
fn converges_to_chance(group: &Runs) -> Vec<Part> {
    let mut parts = at_chance(group, &NOISY);
    for model in NOISY {
        let levels = group.levels(model);
        let Some(&before) = levels.iter().rev().find(|p| **p > 0.0 && **p < 1.0) else { continue };
        let (runs, random) = (group.noisy(model, before), group.noisy(model, 1.0));
        let (Some(a), Some(b), Some(chance)) = (test(&runs), test(&random), group.chance()) else {
            continue;
        };
        let text = format!(
            "{}: {} above chance at p = {before}, {} at p = 1",
            model.title(),
            points(a - chance),
            points(b - chance)
        );
        parts.push(Part::runs(text, a >= b - noise(&runs, &random), &[&runs, &random]));
    }
    parts
}

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        id: "more-parameters-than-samples",
        section: "1",
        quote: "Deep artificial neural networks often have far more trainable model parameters than the number of \
                samples they are trained on.",
        criterion: "every model that has fitted its training set has at least 5 times as many parameters as images (in the \
                    paper 24 times)",
        recipes: &["table1"],
        check: Checker::Runs(more_parameters),
    },
    Claim {
        id: "random-labels-fitted",
        section: "1.1",
        quote: "when trained on a completely random labeling of the true data, neural networks achieve 0 training \
                error.",
        criterion: "training accuracy on random labels at least 99 % (the paper's least: 99.34 %), with other batch sizes \
                    too where they were tried",
        recipes: &["table1"],
        check: Checker::Runs(|group| fitted(group, &MODELS, Corruption::RandomLabels, Regularized::Not)),
    },
    Claim {
        id: "random-labels-test-at-chance",
        section: "1.1",
        quote: "The test error, of course, is no better than random chance as there is no correlation between the \
                training labels and the test labels.",
        criterion: "test accuracy of networks that have fitted random labels (99 %) within 3 standard errors, of the test images and of the labels' draw, of 1 / classes",
        recipes: &["table1"],
        check: Checker::Runs(|group| at_chance(group, &MODELS)),
    },
    Claim {
        id: "labels-alone-raise-the-error",
        section: "1.1",
        quote: "by randomizing labels alone we can force the generalization of a model to jump up considerably without \
                changing the model, its size, hyperparameters, or the optimizer.",
        criterion: "training less test accuracy of fitted networks at least 20 points higher with random labels than with \
                    true ones, all else equal (in the paper 39 points or more)",
        recipes: &["table1"],
        check: Checker::Runs(labels_alone),
    },
    Claim {
        id: "small-constant-factor",
        section: "1.1",
        quote: "training time increases only by a small constant factor compared with training on the true labels.",
        criterion: "epochs to 99 % training accuracy on random labels at most 5 times those on true labels",
        recipes: &["fig1b", "table1"],
        check: Checker::Runs(small_factor),
    },
    Claim {
        id: "noise-images-fitted",
        section: "1.1",
        quote: "we also replace the true images by completely random pixels (e.g., Gaussian noise) and observe that \
                convolutional neural networks continue to fit the data with zero training error.",
        criterion: "training accuracy on random pixels and Gaussian noise at least 99 %",
        recipes: &["fig1a"],
        check: Checker::Runs(|group| settings_fit(group, &NOISE)),
    },
    Claim {
        id: "steady-deterioration",
        section: "1.1",
        quote: "We observe a steady deterioration of the generalization error as we increase the noise level.",
        criterion: "test error never falls by more than two standard errors from one level to the next, and rises in \
                    all by more than 5 points",
        recipes: &["fig1c"],
        check: Checker::Runs(|group| speaking_of(&NOISY, deterioration(group))),
    },
    Claim {
        id: "remaining-signal",
        section: "1.1",
        quote: "neural networks are able to capture the remaining signal in the data, while at the same time fit the \
                noisy part using brute-force.",
        criterion: "with at most half of the labels redrawn: training accuracy at least 99 %, test accuracy more than \
                    3 standard errors above 1 / classes",
        recipes: &["fig1c"],
        check: Checker::Runs(remaining_signal),
    },
    Claim {
        id: "unchanged-hyperparameters",
        section: "2.1",
        quote: "stochastic gradient descent with unchanged hyperparameter settings can optimize the weights to fit to \
                random labels perfectly",
        criterion: "Inception's training accuracy on random labels at least 99 %, in the setting of true labels",
        recipes: &["fig1a", "table1"],
        check: Checker::Runs(|group| settings_fit(group, &[Corruption::RandomLabels])),
    },
    Claim {
        id: "broken-images-fitted",
        section: "2.1",
        quote: "We further break the structure of the images by shuffling the image pixels, and even completely \
                re-sampling random pixels from a Gaussian distribution. But the networks we tested are still able to \
                fit.",
        criterion: "Inception's training accuracy on shuffled pixels, random pixels and Gaussian noise at least 99 %",
        recipes: &["fig1a"],
        check: Checker::Runs(|group| settings_fit(group, &[Corruption::ShuffledPixels, NOISE[0], NOISE[1]])),
    },
    Claim {
        id: "random-labels-start-later",
        section: "2.1",
        quote: "We expect the objective function to take longer to start decreasing on random labels",
        criterion: "more steps to 87 % of the loss of guessing (2 nats for ten classes) than on true labels",
        recipes: &["fig1a"],
        check: Checker::Runs(slow_start),
    },
    Claim {
        id: "quick-once-started",
        section: "2.1",
        quote: "once the fitting starts, it converges quickly",
        criterion: "from 87 % of the loss of guessing (2 nats for ten classes) to 0.1 nats in at most twice the steps that \
                    true labels take",
        recipes: &["fig1a"],
        check: Checker::Runs(quick_convergence),
    },
    Claim {
        id: "noise-before-random-labels",
        section: "2.1",
        quote: "\u{201c}random pixels\u{201d} and \u{201c}Gaussian\u{201d} start converging faster than \
                \u{201c}random labels\u{201d}.",
        criterion: "fewer steps to half the loss of guessing, ln(classes) / 2",
        recipes: &["fig1a"],
        check: Checker::Runs(noise_first),
    },
    Claim {
        id: "alexnet-and-mlps-fit",
        section: "2.1",
        quote: "On the CIFAR10 dataset, Alexnet and MLPs all converge to zero loss on the training set.",
        criterion: "training accuracy on true and on random labels at least 99 %, with other batch sizes too where they \
                    were tried",
        recipes: &["table1"],
        check: Checker::Runs(alexnet_and_mlps),
    },
    Claim {
        id: "partial-labels-fitted",
        section: "2.1",
        quote: "The networks fit the corrupted training set perfectly for all the cases.",
        criterion: "training accuracy at least 99 % at every tenth of corrupted labels that was run, three or more",
        recipes: &["fig1b"],
        check: Checker::Runs(|group| speaking_of(&NOISY, partial_fitted(group))),
    },
    Claim {
        id: "slower-with-noise",
        section: "2.1",
        quote: "Figure 1b shows the slowdown of the convergence time with increasing level of label noises.",
        criterion: "random labels take longer than true ones, and three of four pairs of levels (tenths of corrupted labels) are in order",
        recipes: &["fig1b"],
        check: Checker::Runs(|group| speaking_of(&NOISY, slowdown(group))),
    },
    Claim {
        id: "error-converges-to-chance",
        section: "2.1",
        quote: "As the noise level approaches 1, the generalization errors converge to 90%",
        criterion: "test accuracy of fitted networks at p = 1 within 3 standard errors of 1 / classes, and no higher than at \
                    the level before",
        recipes: &["fig1c"],
        check: Checker::Runs(|group| speaking_of(&NOISY, converges_to_chance(group))),
    },
];
