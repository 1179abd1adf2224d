//! The Gaussian kernel's width and the weight of l2, chosen on held-out training images.

use super::solutions::error;
use super::{Choice, KernelEquation, OPERATION, Width};
use crate::{Error, Result};
use rayon::prelude::*;
use rethink_nn::kernel_methods::choice::{self, Chosen, Free};
use rethink_nn::kernel_methods::float64::Gaussian64;
use rethink_nn::kernel_methods::solve::solve;
use rethink_nn::kernel_methods::triangle::Triangle;
use rethink_nn::models::argmax;

/// Weights of l2 that are tried, as a share of the kernel's mean diagonal.
pub const RIDGES: [f64; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1];

/// Factors of [`Width::HeldOut`].
pub const FACTORS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];

/// Weight and width are chosen on at most this many training images, the last fifth of which are held out.
pub const CHOSEN_ON: usize = 12_500;

/// Training images on which weight and width are chosen.
pub(super) fn n_chosen_on(n: usize) -> usize {
    n.min(CHOSEN_ON)
}

/// Errors: [`Error::Argument`] for a gamma that makes no kernel.
pub(super) fn check_width(width: Width) -> Result<()> {
    match width {
        Width::Gamma(gamma) if !(gamma > 0.0 && gamma.is_finite()) => {
            Err(Error::argument(OPERATION, format!("gamma {gamma}, above 0 is needed")))
        }
        _ => Ok(()),
    }
}

/// What powers of 2 are multiplied with, where the mean squared distance is `distance`.
pub(super) fn base_gamma(width: Width, distance: f64) -> f64 {
    match width {
        Width::Gamma(gamma) => gamma,
        // Images that are all alike have no distance.
        Width::HeldOut if distance > 0.0 => 1.0 / distance,
        Width::HeldOut => 1.0,
    }
}

/// What a solution is made with.
pub(super) struct Settings {
    pub(super) gamma: f64,
    pub(super) ridge: f64,
    /// Of the grids of gamma and of l2; NaN without a choice.
    pub(super) ends: [(f64, f64); 2],
}

impl Settings {
    pub(super) fn none(gamma: f64) -> Settings {
        Settings { gamma, ridge: 0.0, ends: [(f64::NAN, f64::NAN); 2] }
    }
}

/// A choice on held-out images, for the solution without l2 or with it.
pub(super) struct HeldOut<'a> {
    pub(super) what: &'a KernelEquation,
    pub(super) with_l2: bool,
    /// Of the Gaussian kernel: what powers of 2 are multiplied with.
    pub(super) base: Option<f64>,
    /// What weights of l2 are a share of.
    pub(super) mean: f64,
    pub(super) targets: &'a [f64],
    pub(super) classes: usize,
}

impl HeldOut<'_> {
    /// Chooses width and weight, as far as they are free. `kernel` makes that of a gamma (NaN for the linear kernel).
    pub(super) fn choose<'a>(
        &self,
        say: &mut dyn FnMut(&str),
        mut kernel: impl FnMut(f64) -> Result<ChosenOn<'a>>,
    ) -> Result<Settings> {
        let free =
            Free { gamma: self.base.is_some() && self.what.width == Width::HeldOut, ridge: self.with_l2 };
        let base = self.base.unwrap_or(f64::NAN);
        if !free.gamma && !free.ridge {
            return Ok(Settings::none(base));
        }
        match self.what.choice {
            Choice::Fixed => self.fixed(free, base, say, &mut kernel),
            Choice::Inside => self.inside(free, base, say, &mut kernel),
        }
    }

    fn fixed<'a>(
        &self,
        free: Free,
        base: f64,
        say: &mut dyn FnMut(&str),
        kernel: &mut dyn FnMut(f64) -> Result<ChosenOn<'a>>,
    ) -> Result<Settings> {
        let mut settings = Settings::none(base);
        if free.gamma {
            let candidates = FACTORS.map(|factor| factor * base);
            let mut errors = Vec::new();
            for gamma in candidates {
                errors.push(kernel(gamma)?.held_out_error(0.0, self.targets, self.classes)?.0);
            }
            say(&listed("gamma", &candidates, &errors));
            settings.gamma = candidates[least(&errors)];
            settings.ends[0] = (candidates[0], candidates[FACTORS.len() - 1]);
        }
        if free.ridge {
            let matrix = kernel(settings.gamma)?;
            let mut errors = Vec::new();
            for share in RIDGES {
                errors.push(matrix.held_out_error(share * self.mean, self.targets, self.classes)?.0);
            }
            say(&listed("l2", &RIDGES, &errors));
            settings.ridge = RIDGES[least(&errors)];
            settings.ends[1] = (RIDGES[0], RIDGES[RIDGES.len() - 1]);
        }
        Ok(settings)
    }

    fn inside<'a>(
        &self,
        free: Free,
        base: f64,
        say: &mut dyn FnMut(&str),
        kernel: &mut dyn FnMut(f64) -> Result<ChosenOn<'a>>,
    ) -> Result<Settings> {
        let gamma = |power: i32| base * 2f64.powi(power);
        let mut made: Option<(i32, ChosenOn)> = None;
        let Chosen { place, widths, weights } = choice::search(free, |(power, half)| -> Result<f64> {
            if made.as_ref().is_none_or(|(of, _)| *of != power) {
                made = None;
                made = Some((power, kernel(gamma(power))?));
            }
            let Some((_, matrix)) = &made else { unreachable!("just made") };
            let share = if free.ridge { choice::weight(half) } else { 0.0 };
            let (error, floor) = matrix.held_out_error(share * self.mean, self.targets, self.classes)?;
            let mut text = "held-out images:".to_string();
            if self.base.is_some() {
                text += &format!(" gamma {:.3e},", gamma(power));
            }
            if free.ridge {
                text += &format!(" l2 {share:.0e},");
            }
            // What needs regularisation to be solved is no solution without.
            if floor > 0.0 {
                say(&format!("{text} singular"));
                return Ok(f64::INFINITY);
            }
            say(&format!("{text} {:.2} % wrong", 100.0 * error));
            Ok(error)
        })?;
        let mut settings = Settings::none(base);
        if free.gamma {
            settings.gamma = gamma(place.0);
            settings.ends[0] = (gamma(widths.0), gamma(widths.1));
            if [widths.0, widths.1].contains(&place.0) {
                say(
                    "the best gamma is the last that is tried: beyond, single precision does not tell kernels apart",
                );
            }
        }
        if free.ridge {
            settings.ridge = choice::weight(place.1);
            settings.ends[1] = (choice::weight(weights.0), choice::weight(weights.1));
            if place.1 == weights.0 {
                say(
                    "the best weight of l2 is the least that is tried: single precision does not tell less from none",
                );
            } else if place.1 == weights.1 {
                say(
                    "the best weight of l2 is the greatest that is tried: beyond, the outputs are weighted means of the targets",
                );
            }
        }
        Ok(settings)
    }
}

fn least(errors: &[f64]) -> usize {
    let by_value = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    errors.iter().enumerate().min_by(by_value).map_or(0, |(i, _)| i)
}

fn listed(what: &str, candidates: &[f64], errors: &[f64]) -> String {
    let pairs = candidates.iter().zip(errors).map(|(c, e)| format!("{c:.1e}: {:.2} %", 100.0 * e));
    format!("error on held-out images by {what}: {}", pairs.collect::<Vec<_>>().join(", "))
}

/// The images that choices are made on, by their kernel.
pub(super) enum ChosenOn<'a> {
    /// Its matrix.
    Matrix(Triangle),
    /// Of the Gaussian kernel in float64: features (`n x d`), and gamma.
    Points { points: &'a [f32], d: usize, gamma: f64 },
}

impl ChosenOn<'_> {
    fn n(&self) -> usize {
        match self {
            ChosenOn::Matrix(kernel) => kernel.n(),
            ChosenOn::Points { points, d, .. } => points.len() / d,
        }
    }

    /// The share of errors on the last fifth of the images, when the equation is solved on the others; and the floor of the
    /// solution.
    fn held_out_error(&self, ridge: f64, targets: &[f64], columns: usize) -> Result<(f64, f64)> {
        let n = self.n();
        let fit = n - n / 5;
        if fit == n {
            return Err(Error::argument(OPERATION, "too few images to hold some out"));
        }
        let (fitted, held_out) = targets[..n * columns].split_at(fit * columns);
        let labels: Vec<u16> =
            held_out.chunks_exact(columns).map(|row| argmax(row).unwrap_or(0) as u16).collect();
        let (outputs, floor) = match self {
            ChosenOn::Matrix(kernel) => {
                let solution = solve(&kernel.leading(fit), fitted, columns, ridge, &mut |_| ())?;
                let mut outputs = vec![0.0; held_out.len()];
                outputs.par_chunks_exact_mut(columns).enumerate().for_each(|(i, to)| {
                    for (j, weights) in solution.weights.chunks_exact(columns).enumerate() {
                        let k = f64::from(kernel.get(fit + i, j));
                        to.iter_mut().zip(weights).for_each(|(to, w)| *to += k * w);
                    }
                });
                (outputs, solution.floor)
            }
            ChosenOn::Points { points, d, gamma } => {
                let kernel = Gaussian64::new(&points[..fit * d], *d, *gamma);
                let solution = solve(&kernel, fitted, columns, ridge, &mut |_| ())?;
                (kernel.predict(&points[fit * d..], &solution.weights, columns), solution.floor)
            }
        };
        Ok((error(&outputs, &labels, columns), floor))
    }
}
