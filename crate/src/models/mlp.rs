//! Multi-layer perceptrons 1x512 and 3x512 (appendix A: "MLP 1x512 means one hidden layer with 512
//! hidden units"; ReLU).

use super::Forward;
use crate::ops::linear::{Activation, InputGradient, Linear, linear};
use dfdx::prelude::*;

/// Units of a hidden layer.
pub const HIDDEN: usize = 512;
/// Classes of CIFAR-10, MNIST and shapes10.
pub const CLASSES: usize = 10;

/// `I -> 512 -> 10`.
#[derive(Clone, Debug)]
pub struct Mlp1<const I: usize, E: Dtype, D: Storage<E>> {
    hidden: Linear<I, HIDDEN, E, D>,
    output: Linear<HIDDEN, CLASSES, E, D>,
}

/// `I -> 512 -> 512 -> 512 -> 10`.
#[derive(Clone, Debug)]
pub struct Mlp3<const I: usize, E: Dtype, D: Storage<E>> {
    hidden1: Linear<I, HIDDEN, E, D>,
    hidden2: Linear<HIDDEN, HIDDEN, E, D>,
    hidden3: Linear<HIDDEN, HIDDEN, E, D>,
    output: Linear<HIDDEN, CLASSES, E, D>,
}

impl<const I: usize, E, D> TensorCollection<E, D> for Mlp1<I, E, D>
where
    E: Dtype,
    D: Device<E>,
{
    type To<E2: Dtype, D2: Device<E2>> = Mlp1<I, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> std::result::Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("hidden", |m| &m.hidden, |m| &mut m.hidden),
                Self::module("output", |m| &m.output, |m| &mut m.output),
            ),
            |(hidden, output)| Mlp1 { hidden, output },
        )
    }
}

impl<const I: usize, E, D> TensorCollection<E, D> for Mlp3<I, E, D>
where
    E: Dtype,
    D: Device<E>,
{
    type To<E2: Dtype, D2: Device<E2>> = Mlp3<I, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> std::result::Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("hidden1", |m| &m.hidden1, |m| &mut m.hidden1),
                Self::module("hidden2", |m| &m.hidden2, |m| &mut m.hidden2),
                Self::module("hidden3", |m| &m.hidden3, |m| &mut m.hidden3),
                Self::module("output", |m| &m.output, |m| &mut m.output),
            ),
            |(hidden1, hidden2, hidden3, output)| Mlp3 { hidden1, hidden2, hidden3, output },
        )
    }
}

impl<const I: usize> Forward<I> for Mlp1<I, f32, Cpu> {
    fn forward<T: Tape<f32, Cpu>>(
        &self,
        images: Tensor<(usize, Const<I>), f32, Cpu, T>,
    ) -> Result<Tensor<(usize, Const<CLASSES>), f32, Cpu, T>, CpuError> {
        let x = linear(&self.hidden, images, Activation::Relu, InputGradient::Skipped)?;
        linear(&self.output, x, Activation::None, InputGradient::Needed)
    }
}

impl<const I: usize> Forward<I> for Mlp3<I, f32, Cpu> {
    fn forward<T: Tape<f32, Cpu>>(
        &self,
        images: Tensor<(usize, Const<I>), f32, Cpu, T>,
    ) -> Result<Tensor<(usize, Const<CLASSES>), f32, Cpu, T>, CpuError> {
        let x = linear(&self.hidden1, images, Activation::Relu, InputGradient::Skipped)?;
        let x = linear(&self.hidden2, x, Activation::Relu, InputGradient::Needed)?;
        let x = linear(&self.hidden3, x, Activation::Relu, InputGradient::Needed)?;
        linear(&self.output, x, Activation::None, InputGradient::Needed)
    }
}
