//! Section 5: kernels without regularisation, and what SGD finds of linear models.

use crate::claims::part::{Part, percent, within};
use crate::claims::{Checker, Claim};
use crate::data::shapes10;
use crate::measure::min_norm::{FORCED, LEAST};
use crate::measure::{Measured, Quantity};
use crate::paper::reported::{TABLE_3, Table3Row};
use crate::paper::table3::{Solved, solved};
use rethink_nn::text::{counted, thousands};
use rethink_plot::frames::column;

/// Test errors that differ by at most this are the same: as fractions, on MNIST and on CIFAR-10.
const SAME: [f64; 2] = [0.002, 0.02];
/// Filters of the paper's random conv-net.
const FILTERS: usize = 32_000;
/// SGD has reached the solution of least norm if it is within this distance of it, relative to its norm.
const REACHED: f64 = 0.01;
/// Largest mean squared error at which labels 1 and -1 are fitted.
const FITS: f64 = 1e-4;
/// A number that would be zero without rounding is at most this.
const ROUNDING: f64 = 1e-6;
/// Solutions of "larger norm" have at least so many times the least norm.
const LARGER: f64 = 2.0;
/// Solutions that "don't generalize" have a test error at least this much higher than that of least norm, as a fraction.
const WORSE: f64 = 0.1;
/// Share of training images that a solution which fits may miss.
const MISSED: f64 = 0.001;
/// The test error "drops by a factor of 2" where it comes to at most this share of what it was.
const HALVED: f64 = 0.65;
/// The norm "jumps" (in the paper from 220 to 390) where it becomes at least so many times as large.
const JUMPED: f64 = 1.3;

/// Table 3's rows for the embedded images, to which both data sets' preprocessing is done: pixels, wavelets, the random conv-net
/// without l2 and with it. The paper has no numbers of them, but orderings are looked at.
static EMBEDDED: [Table3Row; 4] = {
    const DATA: &str = shapes10::EMBEDDED.title;
    let [pixels, wavelets, _, conv, conv_l2] = TABLE_3;
    [
        Table3Row { data: DATA, ..pixels },
        Table3Row { data: DATA, ..wavelets },
        Table3Row { data: DATA, ..conv },
        Table3Row { data: DATA, ..conv_l2 },
    ]
};

/// Whether a solution is of equation 3 itself: without l2, and without what was added to the diagonal for its solution.
fn unregularised(solution: &Solved) -> bool {
    !solution.regularised()
}

/// The row of table 3 with this data set, preprocessing and l2.
fn row(data: &str, preprocessing: &str, l2: bool) -> &'static Table3Row {
    let named = |row: &&Table3Row| (row.data, row.preprocessing, row.l2) == (data, preprocessing, l2);
    TABLE_3.iter().find(named).unwrap_or(&TABLE_3[0])
}

fn number(solution: &Solved, name: &str) -> Option<f64> {
    solution.number(name).filter(|v| v.is_finite())
}

/// Training images of the paper's row: its own numbers, whatever data sets there are.
fn whole(row: &Table3Row) -> usize {
    if row.data == "MNIST" { 60_000 } else { 50_000 }
}

/// Whether a solution is to be looked at for a row. Of those without l2 also what was solved with something added to the
/// diagonal, to be named as what it is; of those with l2 only what had a weight chosen for it.
fn is_of(solution: &Solved, row: &Table3Row) -> bool {
    let chosen = number(solution, "ridge").is_some_and(|ridge| ridge > 0.0);
    let with = Table3Row { l2: true, ..*row };
    if row.l2 {
        chosen && solution.belongs(row)
    } else {
        solution.belongs(row) || !chosen && solution.belongs(&with)
    }
}

/// The solution of a row with the most images, then filters; one without regularisation before others.
fn largest<'a>(solutions: &[Solved<'a>], row: &Table3Row) -> Option<Solved<'a>> {
    let size = |s: &Solved| (s.images(), s.filters(), unregularised(s));
    solutions.iter().filter(|s| is_of(s, row)).max_by_key(|s| size(s)).copied()
}

/// A solution of a row with as many images and filters as `other` has.
fn beside<'a>(solutions: &[Solved<'a>], row: &Table3Row, other: &Solved) -> Option<Solved<'a>> {
    let alike = |s: &&Solved| {
        is_of(s, row)
            && s.images() == other.images()
            && (s.filters() == other.filters() || s.filters() == 0 || other.filters() == 0)
    };
    solutions.iter().filter(alike).max_by_key(|s| (s.filters(), unregularised(s))).copied()
}

fn named(solution: &Solved, row: &Table3Row) -> String {
    let filters = match solution.filters() {
        0 => String::new(),
        filters => format!(", {}", counted(filters, "filter")),
    };
    let l2 = if row.l2 { ", l2" } else { "" };
    let what = if row.preprocessing == "none" { "pixels" } else { row.preprocessing };
    format!("{}, {what}{filters}{l2}, n = {}", row.data, thousands(solution.images()))
}

/// What to say of a solution that ought to be unregularised and is not.
fn floored(solution: &Solved, row: &Table3Row) -> Option<Part> {
    if row.l2 || unregularised(solution) {
        return None;
    }
    let floor = number(solution, "floor").unwrap_or(0.0);
    let text = format!(
        "{}: {floor:.0e} of the mean diagonal was added: not without regularisation",
        named(solution, row)
    );
    Some(Part::measured(text, false, &[solution.measured]).missing())
}

/// The paper's number beside ours, on the whole of its data set.
fn papers(measured: &[Measured], row: &'static Table3Row) -> Vec<Part> {
    let solutions = solved(measured);
    let Some(solution) = largest(&solutions, row) else { return Vec::new() };
    let Some(error) = number(&solution, "test_error") else { return Vec::new() };
    if let Some(part) = floored(&solution, row) {
        return vec![part];
    }
    let same = SAME[usize::from(row.data != "MNIST")];
    let text = format!(
        "{}: {}, {:+.2} points from the paper's {} % (at most {:.1})",
        named(&solution, row),
        percent(error),
        100.0 * error - row.test_error,
        row.test_error,
        100.0 * same
    );
    let part = Part::measured(text, within(error, row.test_error / 100.0, same), &[solution.measured]);
    let short = |what: &str, of: usize| {
        let text = format!("{}: the paper's is of {} {what}", part.text, thousands(of));
        Part::measured(text, false, &[solution.measured])
    };
    if solution.images() != whole(row) {
        return vec![short("images", whole(row)).missing()];
    }
    if row.preprocessing == "random conv-net" && solution.filters() != FILTERS {
        return vec![short("filters", FILTERS).missing()];
    }
    vec![part]
}

/// Two rows of as many images: `judge` says from their solutions, first to second, whether what is said of them holds, and in
/// what words.
fn pairs(
    measured: &[Measured],
    pairs: &[(&'static Table3Row, &'static Table3Row)],
    judge: fn(&Solved, &Solved) -> Option<(String, bool)>,
) -> Vec<Part> {
    let solutions = solved(measured);
    let mut parts = Vec::new();
    for (first_row, second_row) in pairs {
        let Some(second) = largest(&solutions, second_row) else { continue };
        let Some(first) = beside(&solutions, first_row, &second) else { continue };
        if let Some(part) = floored(&first, first_row).or_else(|| floored(&second, second_row)) {
            parts.push(part);
            continue;
        }
        let Some((text, holds)) = judge(&first, &second) else { continue };
        let text = format!("{} to {}: {text}", named(&first, first_row), named(&second, second_row));
        parts.push(Part::measured(text, holds, &[first.measured, second.measured]));
    }
    parts
}

/// The test error falls by more than noise.
fn falls(first: &Solved, second: &Solved) -> Option<(String, bool)> {
    let (a, b) = (number(first, "test_error")?, number(second, "test_error")?);
    Some((format!("{} to {}", percent(a), percent(b)), a - b > noise(first, second)?))
}

/// The test error does not fall by more than noise.
fn does_not_fall(first: &Solved, second: &Solved) -> Option<(String, bool)> {
    let (a, b) = (number(first, "test_error")?, number(second, "test_error")?);
    Some((format!("{} to {}", percent(a), percent(b)), a - b <= noise(first, second)?))
}

/// Two standard errors of the difference of two test errors.
fn noise(first: &Solved, second: &Solved) -> Option<f64> {
    let variance = |s: &Solved| {
        let error = number(s, "test_error")?;
        Some(error * (1.0 - error) / number(s, "test")?.max(1.0))
    };
    Some(2.0 * (variance(first)? + variance(second)?).sqrt())
}

fn norm_jumps(first: &Solved, second: &Solved) -> Option<(String, bool)> {
    let (norm, larger) = (number(first, "norm")?, number(second, "norm")?);
    let (error, smaller) = (number(first, "test_error")?, number(second, "test_error")?);
    let whole = first.images() == 60_000;
    let holds = if whole {
        larger >= JUMPED * norm && smaller <= HALVED * error
    } else {
        larger > norm && smaller < error
    };
    let text = format!("norm {norm:.0} to {larger:.0}, error {} to {}", percent(error), percent(smaller));
    Some((text, holds))
}

/// MNIST's rows without l2 beside the same with it, of which the paper gives no number.
fn no_help_on_mnist(measured: &[Measured]) -> Vec<Part> {
    const WITH: [Table3Row; 2] = [Table3Row { l2: true, ..TABLE_3[0] }, Table3Row { l2: true, ..TABLE_3[1] }];
    static ROWS: [Table3Row; 2] = WITH;
    let rows = [(row(MNIST, "none", false), &ROWS[0]), (row(MNIST, GABOR, false), &ROWS[1])];
    let mut parts = pairs(measured, &rows, does_not_fall);
    // "Either model".
    if let [only] = &parts[..] {
        let text =
            format!("only one of the two preprocessings has been solved with l2 and without ({})", only.text);
        parts.push(Part::measured(text, false, &[]).missing());
    }
    parts
}

/// Kernel solutions that fit their labels exactly, and test far above guessing among ten classes.
fn generalize(measured: &[Measured]) -> Vec<Part> {
    let solutions = solved(measured);
    let mut parts = Vec::new();
    for row in TABLE_3.iter().chain(&EMBEDDED).filter(|row| !row.l2) {
        let Some(solution) = largest(&solutions, row) else { continue };
        if let Some(part) = floored(&solution, row) {
            parts.push(part.silent());
            continue;
        }
        let (Some(train), Some(test)) = (number(&solution, "train_error"), number(&solution, "test_error"))
        else {
            continue;
        };
        let text = format!(
            "{}: training error {}, test error {}",
            named(&solution, row),
            percent(train),
            percent(test)
        );
        // The paper's worst is 46 %, where guessing is wrong in 90 %.
        parts.push(Part::measured(text, train <= MISSED && test <= 0.6, &[solution.measured]));
    }
    parts
}

/// The rows of one start of SGD's path: the values of a column, in order.
fn path(measured: &Measured, start: &str, name: &str) -> Vec<f64> {
    let values = || {
        let starts = column(&measured.frame, "start").ok()?.str().ok()?.clone();
        let numbers = column(&measured.frame, name).ok()?.f64().ok()?.clone();
        let rows = starts.iter().zip(numbers.iter()).filter(|(s, _)| *s == Some(start));
        Some(rows.filter_map(|(_, v)| v).collect::<Vec<f64>>())
    };
    values().unwrap_or_default()
}

fn of_paths(measured: &[Measured], part: impl Fn(&Measured) -> Option<Part>) -> Vec<Part> {
    let path = |m: &&Measured| matches!(m.record.measurement.what, Quantity::SgdPath { .. });
    measured.iter().filter(path).filter_map(part).collect()
}

fn last(measured: &Measured, start: &str, name: &str) -> Option<f64> {
    path(measured, start, name).last().copied()
}

fn minimum_norm(measured: &[Measured]) -> Vec<Part> {
    of_paths(measured, |m| {
        let at = |start: &str, name: &str| last(m, start, name);
        let (distance, loss) = (at("zero", "distance")?, at("zero", "loss")?);
        let elsewhere = at("random", "distance")?;
        let text = format!(
            "loss {loss:.0e}, distance to the solution of least norm {distance:.0e} from zero, {elsewhere:.2} from a random \
             start"
        );
        let holds = loss <= FITS && distance <= REACHED && elsewhere > REACHED;
        Some(Part::measured(text, holds, &[m]))
    })
}

fn in_span(measured: &[Measured]) -> Vec<Part> {
    of_paths(measured, |m| {
        let off = path(m, "zero", "off_span").into_iter().reduce(f64::max)?;
        let elsewhere = last(m, "random", "off_span")?;
        let text = format!("outside of the span: {off:.0e} from zero, {elsewhere:.2} from a random start");
        Some(Part::measured(text, off <= ROUNDING && elsewhere > REACHED, &[m]))
    })
}

fn equal_curvature(measured: &[Measured]) -> Vec<Part> {
    of_paths(measured, |m| {
        let at = |start: &str, name: &str| last(m, start, name);
        let (a, b) = (at("zero", "hessian")?, at("random", "hessian")?);
        let apart = at("random", "distance")?;
        let losses = at("zero", "loss")?.max(at("random", "loss")?);
        let text = format!(
            "Hessians depart by {a:.0e} and {b:.0e} from that of the least norm at two solutions (loss {losses:.0e}) that are \
             {apart:.2} apart"
        );
        let part = Part::measured(text, a.max(b) <= REACHED, &[m]);
        // Of one solution, or none, nothing can be said.
        Some(if losses > FITS || apart <= REACHED { part.missing() } else { part })
    })
}

/// The dimensions of which the frame tells follow from the sizes, and say nothing of what was found. That there are two
/// solutions was measured: were the Hessian not degenerate, there would be one.
fn degenerate(measured: &[Measured]) -> Vec<Part> {
    of_paths(measured, |m| {
        let at = |name: &str| last(m, "random", name);
        let (nullity, apart, loss) = (at("nullity")?, at("distance")?, at("loss")?);
        let text = format!(
            "a solution (loss {loss:.0e}) is {apart:.2} from that of least norm; by the sizes, the Hessian is zero in {nullity} \
             dimensions"
        );
        let part = Part::measured(text, nullity > 0.0 && apart > REACHED, &[m]);
        // Where SGD came to no solution, nothing can be said.
        Some(if loss > FITS { part.missing() } else { part })
    })
}

/// A solution that fits its training images: its norm, and errors as fractions, on the training images, on test images, and on
/// those test images whose labels one solution was forced to get wrong.
struct Interpolator<'a> {
    name: &'a str,
    norm: f64,
    train: f64,
    test: f64,
    forced: f64,
}

/// A number with so many decimals; of a large one, which is that of a nearly singular matrix, the order of magnitude.
fn magnitude(value: f64, decimals: usize) -> String {
    if value < 1e4 { format!("{value:.decimals$}") } else { format!("{value:.0e}") }
}

fn larger_norms(measured: &[Measured]) -> Vec<Part> {
    let mut parts = Vec::new();
    for m in measured.iter().filter(|m| m.record.measurement.what == Quantity::Interpolators) {
        let values = |name: &str| Some(column(&m.frame, name).ok()?.f64().ok()?.iter().collect::<Vec<_>>());
        let Some(names) = column(&m.frame, "solution").ok().and_then(|c| c.str().ok().cloned()) else {
            continue;
        };
        let (Some(norms), Some(train), Some(test), Some(forced)) =
            (values("norm"), values("train_error"), values("test_error"), values("forced_error"))
        else {
            continue;
        };
        let row = |i: usize| {
            let (norm, train, test, forced) = (norms[i]?, train[i]?, test[i]?, forced[i]?);
            Some(Interpolator { name: names.get(i)?, norm, train, test, forced })
        };
        let rows: Vec<_> = (0..names.len()).filter_map(row).collect();
        let Some(least) = rows.iter().find(|row| row.name == LEAST) else { continue };
        for other in rows.iter().filter(|row| row.name != LEAST) {
            let forced = other.name == FORCED;
            let errors = if forced { [other.forced, least.forced] } else { [other.test, least.test] };
            let (whose, beside) = if forced {
                (" on the images with forced labels", format!(" ({} on others)", percent(other.test)))
            } else {
                ("", String::new())
            };
            let text = format!(
                "{}: training error {}, {} times the least norm ({} and {}), test error{whose} {}{beside}; of least norm {}",
                other.name,
                percent(other.train),
                magnitude(other.norm / least.norm, 2),
                magnitude(other.norm, 0),
                magnitude(least.norm, 0),
                percent(errors[0]),
                percent(errors[1])
            );
            let holds =
                other.train <= MISSED && other.norm >= LARGER * least.norm && errors[0] >= errors[1] + WORSE;
            parts.push(Part::measured(text, holds, &[m]));
        }
    }
    parts
}

const MNIST: &str = "MNIST";
const CIFAR: &str = "CIFAR10";
const GABOR: &str = "gabor filters";
const CONV: &str = "random conv-net";

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        id: "equal-curvature",
        section: "5",
        quote: "But in the linear case, the curvature of all optimal solutions is the same (Choromanska et al., 2015).",
        criterion: "the Hessian of a linear model's loss at two solutions that SGD came to (mean squared error at most 1e-4) and \
                    that are apart (more than 1 % of the norm) within 1 % of that at the solution of least norm",
        recipes: &["min-norm"],
        check: Checker::Measured(equal_curvature),
    },
    Claim {
        id: "hessian-degenerate",
        section: "5",
        quote: "Moreover, the Hessian is degenerate at all global optimal solutions.",
        criterion: "a solution that SGD came to from a random start (mean squared error at most 1e-4) is apart from that of least \
                    norm (by more than 1 % of it): on the line between them the loss, which is convex, has no curvature; it \
                    also follows from the sizes, fewer images than dimensions, which is not measured",
        recipes: &["min-norm"],
        check: Checker::Measured(degenerate),
    },
    Claim {
        id: "sgd-stays-in-the-span",
        section: "5",
        quote: "if we run SGD we have that w = X\u{1d40} \u{3b1} lies in the span of the data points.",
        criterion: "from zero, at most a millionth of the weights' length is outside of the span at every epoch; from a random \
                    start, more than 1 %",
        recipes: &["min-norm"],
        check: Checker::Measured(in_span),
    },
    Claim {
        id: "kernels-generalize",
        section: "1.1, 5",
        quote: "Quite surprisingly, fitting the training labels exactly yields excellent performance for convex models.",
        criterion: "without regularisation, at most 0.1 % of training images missed, and a test error of at most 60 % (in the \
                    paper 46 % at most; guessing: 90 %)",
        recipes: &["table3"],
        check: Checker::Measured(generalize),
    },
    Claim {
        id: "kernel-mnist-1.2",
        section: "5, table 3",
        quote: "On MNIST with no preprocessing, we are able to achieve a test error of 1.2% by simply solving (3).",
        criterion: "within 0.2 points on all of MNIST, without regularisation",
        recipes: &["table3"],
        check: Checker::Measured(|m| papers(m, row(MNIST, "none", false))),
    },
    Claim {
        id: "kernel-mnist-gabor-0.6",
        section: "5, table 3",
        quote: "By first applying a Gabor wavelet transform to the data and then solving (3), the error on MNIST drops to 0.6%.",
        criterion: "within 0.2 points on all of MNIST, without regularisation",
        recipes: &["table3"],
        check: Checker::Measured(|m| papers(m, row(MNIST, GABOR, false))),
    },
    Claim {
        id: "l2-no-help-on-mnist",
        section: "5",
        quote: "Surprisingly, adding regularization does not improve either model's performance!",
        criterion: "with l2, whose weight is chosen on held-out images, the test error on MNIST is not lower by more than noise \
                    (two standard errors), with pixels and with wavelets",
        recipes: &["table3"],
        check: Checker::Measured(no_help_on_mnist),
    },
    Claim {
        id: "kernel-cifar10-46",
        section: "5, table 3",
        quote: "Simply applying a Gaussian kernel on pixels and using no regularization achieves 46% test error.",
        criterion: "within 2 points on all of CIFAR-10, without regularisation",
        recipes: &["table3"],
        check: Checker::Measured(|m| papers(m, row(CIFAR, "none", false))),
    },
    Claim {
        id: "kernel-cifar10-conv-net-17",
        section: "5, table 3",
        quote: "By preprocessing with a random convolutional neural net with 32,000 random filters, this test error drops to \
                17% error.",
        criterion: "within 2 points on all of CIFAR-10 with 32,000 filters, without regularisation",
        recipes: &["table3"],
        check: Checker::Measured(|m| papers(m, row(CIFAR, CONV, false))),
    },
    Claim {
        id: "kernel-cifar10-conv-net-l2-15",
        section: "5",
        quote: "Adding l2 regularization further reduces this number to 15% error.",
        criterion: "within 2 points on all of CIFAR-10 with 32,000 filters and l2",
        recipes: &["table3"],
        check: Checker::Measured(|m| papers(m, row(CIFAR, CONV, true))),
    },
    Claim {
        id: "preprocessing-lowers-the-error",
        section: "5, table 3",
        quote: "Note that changing the preprocessing can significantly change the resulting test error.",
        criterion: "without regularisation, on as many images: wavelets lower MNIST's test error, the random conv-net \
                    CIFAR-10's, both that of the embedded images, by more than noise",
        recipes: &["table3"],
        check: Checker::Measured(|m| {
            let rows = [
                (row(MNIST, "none", false), row(MNIST, GABOR, false)),
                (row(CIFAR, "none", false), row(CIFAR, CONV, false)),
                (&EMBEDDED[0], &EMBEDDED[1]),
                (&EMBEDDED[0], &EMBEDDED[2]),
            ];
            pairs(m, &rows, falls)
        }),
    },
    Claim {
        id: "l2-helps-the-conv-net",
        section: "5",
        quote: "Adding l2 regularization further reduces this number [...]",
        criterion: "with as many images and filters, the random conv-net's test error is lower with l2 by more than noise",
        recipes: &["table3"],
        check: Checker::Measured(|m| {
            let rows = [(row(CIFAR, CONV, false), row(CIFAR, CONV, true)), (&EMBEDDED[2], &EMBEDDED[3])];
            pairs(m, &rows, falls)
        }),
    },
    Claim {
        id: "sgd-finds-the-minimum-norm",
        section: "5",
        quote: "out of all models that exactly fit the data, SGD will often converge to the solution with minimum norm.",
        criterion: "from zero, mean squared error at most 1e-4 and within 1 % of the solution of least norm; from a random start, \
                    farther",
        recipes: &["min-norm"],
        check: Checker::Measured(minimum_norm),
    },
    Claim {
        id: "larger-norms-elsewhere",
        section: "5",
        quote: "It is very easy to construct solutions of Xw = y that don't generalize: [...] In both cases, the norm of the \
                solution is significantly larger than the minimum norm solution.",
        criterion: "random centres, and random labels forced on test images: at most 0.1 % of training images missed, at least \
                    twice the norm (the paper: \"significantly larger\"; more points to fit can only make it larger), and a \
                    test error at least 10 points higher, of forced labels on the images that they were forced on",
        recipes: &["min-norm"],
        check: Checker::Measured(larger_norms),
    },
    Claim {
        id: "norm-not-predictive",
        section: "5",
        quote: "With wavelet preprocessing, the norm jumps to 390. Yet the test error drops by a factor of 2.",
        criterion: "with wavelets, without regularisation, a larger norm and a smaller test error on MNIST, or on the embedded images; on all of MNIST at least \
                    1.3 times the norm and at most 0.65 of the error (the paper: 1.77 and 0.5)",
        recipes: &["norms", "table3"],
        check: Checker::Measured(|m| {
            let rows = [(row(MNIST, "none", false), row(MNIST, GABOR, false)), (&EMBEDDED[0], &EMBEDDED[1])];
            pairs(m, &rows, norm_jumps)
        }),
    },
];
