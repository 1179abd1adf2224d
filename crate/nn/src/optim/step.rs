//! What a step does with a gradient `g` of weights `w`.
//!
//! SGD is dfdx's `Sgd` with classic momentum and L2 weight decay, to the bit:
//! `g += wd * w; v = g + mu * v; w -= lr * v`. dfdx's own kernel is single-threaded and leaves the
//! gradients to be cleared by another pass; here each tensor is divided among the threads, and
//! the gradient is cleared while it is in the cache.
//!
//! RMSProp is TensorFlow's (`tf.train.RMSPropOptimizer`, not centred), as its Inception V3 was trained: with
//! `g += wd * w`, `s += (1 - decay) (g^2 - s)` from 1 on, `v = mu * v + lr * g / sqrt(s + epsilon); w -= v`.
//!
//! Adam is Kingma and Ba's (algorithm 1), as PyTorch has it: with `g += wd * w`, `m += (1 - mu) (g - m)` and
//! `s += (1 - decay) (g^2 - s)` from 0 on, and after `t` steps, this one among them,
//! `w -= lr * m / (1 - mu^t) / (sqrt(s / (1 - decay^t)) + epsilon)`. AdamW (Loshchilov and Hutter) leaves `g` as it is and takes
//! `w -= lr * wd * w` first.

use super::Optimizer;

/// Coefficients of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Step size.
    pub learning_rate: f32,
    /// Share of the last velocity that is kept.
    pub momentum: f32,
    /// L2 coefficient on what [`super::Rules::decay_on`] names.
    pub weight_decay: f32,
}

/// An [`Optimizer`] at one of its steps, in the type that it computes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    Sgd,
    RmsProp {
        /// Share of the mean squares that is kept.
        kept: f32,
        epsilon: f32,
    },
    Adam(Moments),
}

/// Adam at one of its steps. The velocity is its mean gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moments {
    /// Share of the mean squares that is kept.
    pub kept: f32,
    pub epsilon: f32,
    /// `1 / (1 - mu^t)`: means that begin with 0 are too small at first.
    pub mean_correction: f32,
    /// `1 / (1 - decay^t)`.
    pub square_correction: f32,
    /// AdamW.
    pub decoupled: bool,
}

impl Rule {
    /// After `steps` earlier steps.
    pub fn at(optimizer: Optimizer, steps: u64, step: SgdStep) -> Rule {
        match optimizer {
            Optimizer::Sgd => Rule::Sgd,
            Optimizer::RmsProp { decay, epsilon } => {
                Rule::RmsProp { kept: decay as f32, epsilon: epsilon as f32 }
            }
            Optimizer::Adam { decay, epsilon, decoupled } => {
                let number = i32::try_from(steps + 1).unwrap_or(i32::MAX);
                let correction = |kept: f64| (1.0 / (1.0 - kept.powi(number))) as f32;
                Rule::Adam(Moments {
                    kept: decay as f32,
                    epsilon: epsilon as f32,
                    mean_correction: correction(f64::from(step.momentum)),
                    square_correction: correction(f64::from(decay as f32)),
                    decoupled,
                })
            }
        }
    }
}

impl SgdStep {
    /// Moves `weights` and their `velocity`.
    pub(crate) fn apply(self, weights: &mut [f32], velocity: &mut [f32], gradient: &[f32]) {
        let SgdStep { learning_rate, momentum, weight_decay } = self;
        for ((w, v), g) in weights.iter_mut().zip(velocity).zip(gradient) {
            *v = (*g + weight_decay * *w) + momentum * *v;
            *w -= *v * learning_rate;
        }
    }

    /// Moves `weights`, their `velocity` and their mean `squares` by RMSProp.
    pub(super) fn rms_prop(
        self,
        weights: &mut [f32],
        velocity: &mut [f32],
        squares: &mut [f32],
        gradient: &[f32],
        (kept, epsilon): (f32, f32),
    ) {
        let SgdStep { learning_rate, momentum, weight_decay } = self;
        for (((w, v), s), g) in weights.iter_mut().zip(velocity).zip(squares).zip(gradient) {
            let g = *g + weight_decay * *w;
            *s += (1.0 - kept) * (g * g - *s);
            *v = momentum * *v + learning_rate * g / (*s + epsilon).sqrt();
            *w -= *v;
        }
    }

    /// Moves `weights`, their mean gradients and their mean `squares` by Adam.
    pub(super) fn adam(
        self,
        weights: &mut [f32],
        means: &mut [f32],
        squares: &mut [f32],
        gradient: &[f32],
        moments: Moments,
    ) {
        let SgdStep { learning_rate, momentum, weight_decay } = self;
        let Moments { kept, epsilon, mean_correction, square_correction, decoupled } = moments;
        let (in_gradient, in_weight) =
            if decoupled { (0.0, learning_rate * weight_decay) } else { (weight_decay, 0.0) };
        let rate = learning_rate * mean_correction;
        for (((w, m), s), g) in weights.iter_mut().zip(means).zip(squares).zip(gradient) {
            let g = *g + in_gradient * *w;
            *m += (1.0 - momentum) * (g - *m);
            *s += (1.0 - kept) * (g * g - *s);
            *w -= in_weight * *w + rate * *m / ((*s * square_correction).sqrt() + epsilon);
        }
    }
}
