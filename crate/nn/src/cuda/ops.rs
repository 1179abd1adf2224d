//! The layers' operations on dfdx's tape, on any [`Backend`]. Each is that of [`crate::ops`] under the same name.

use crate::cuda::conv;
use crate::cuda::conv::Factors;
use crate::cuda::kernels::{self, ColumnSlice, Columns, Numbers, matrix, product};
use crate::cuda::{Backend, Buffer, Done, Fault, Grads, Key, failed};
use crate::ops::geometry::{Geometry, Window};
use crate::ops::linear::InputGradient;
use crate::ops::lrn::{ALPHA, RADIUS};
use crate::ops::norm::EPSILON;
use crate::ops::{ForwardContext, Size3};
use crate::optim::Rules;
use crate::precision::Precision;
use crate::{Error, Result};
use dfdx::prelude::{Gradients, PutTape, Rank0, Tape, Tensor, ZerosTensor};
use rand::RngExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A batch between two layers: `n` times height, width and channels, pixel by pixel.
pub(super) struct Value<B: Backend, T> {
    pub data: Arc<Buffer<B>>,
    /// Where it lies among others, which only [`Ops::concat`] is given.
    pub part: Option<Part<B>>,
    pub n: usize,
    pub size: Size3,
    pub key: Key<B>,
    pub tape: T,
}

/// What the branches of a network give, side by side: each writes its channels where they belong, and finds its gradient there.
pub(super) struct Concatenation<B: Backend> {
    whole: Arc<Buffer<B>>,
    /// That of the whole, when it has come back.
    gradient: Arc<OnceLock<Buffer<B>>>,
    /// Of each branch.
    columns: Vec<Columns>,
    n: usize,
    size: Size3,
}

/// One of the branches.
pub(super) struct Part<B: Backend> {
    whole: Arc<Buffer<B>>,
    gradient: Arc<OnceLock<Buffer<B>>>,
    columns: Columns,
}

impl<B: Backend> Concatenation<B> {
    pub fn part(&self, index: usize) -> Part<B> {
        Part { whole: self.whole.clone(), gradient: self.gradient.clone(), columns: self.columns[index] }
    }
}

/// Where a layer puts what it gives: among others, or in memory of its own.
pub(super) struct Target<B: Backend> {
    pub key: Key<B>,
    pub part: Option<Part<B>>,
}

impl<B: Backend, T> Value<B, T> {
    /// Numbers of all images.
    pub fn len(&self) -> usize {
        self.n * self.size.iter().product::<usize>()
    }

    /// How the channels lie.
    fn columns(&self) -> Columns {
        self.part.as_ref().map_or((self.size[2], 0), |part| part.columns)
    }

    fn slice(&self) -> ColumnSlice<'_, B> {
        ColumnSlice::<B>::new(&self.data, self.columns())
    }

    /// The same numbers as one pixel of many channels.
    pub fn rows(self) -> Value<B, T> {
        Value { size: [1, 1, self.size.iter().product()], ..self }
    }

    fn geometry(&self, operation: &'static str, window: Window, outputs: usize) -> Result<Geometry> {
        let [height, width, channels] = self.size;
        let g = Geometry::new(operation, (self.n, height, width, channels), window, outputs)?;
        // The kernels count in 32 bits, and cuBLAS in 31.
        let of_image = (g.pixels() * channels).max(g.out_pixels() * outputs.max(channels));
        let most = self.n.saturating_mul(of_image).max(g.inner() * outputs).max(g.out_pixels() * g.inner());
        if most > i32::MAX as usize {
            let problem =
                format!("{} images of {height}x{width}x{channels} are too many numbers at once", self.n);
            return Err(Error::argument(operation, problem));
        }
        Ok(g)
    }
}

/// A normalised batch, and in training what it had for the running statistics.
type Normalised<B, T> = (Value<B, T>, Option<Buffer<B>>);
/// dfdx's number, and the sums of [`Ops::loss`].
type Loss<B, T> = (Tensor<Rank0, f32, <B as Backend>::Store, T>, Buffer<B>);

/// What the operations of one network share.
#[derive(Clone)]
pub(super) struct Ops<B: Backend> {
    pub backend: B,
    /// Of products.
    pub precision: Precision,
    /// Names for values, the same ones at each step.
    keys: Arc<Mutex<Vec<Key<B>>>>,
}

/// Where the gradient of a value of `length` numbers belongs, and whether something is there to be added to. What
/// stands under a key before is nothing.
fn slot<'g, B: Backend>(
    b: &B,
    gradients: &'g mut Grads<B>,
    key: &Key<B>,
    length: usize,
) -> std::result::Result<(&'g mut Buffer<B>, bool), Fault<B>> {
    let slot = gradients.get_or_alloc_mut(key)?;
    let there = kernels::length(b, slot) >= length;
    if !there {
        *slot = kernels::alloc(b, length)?;
    }
    Ok((slot, there))
}

/// The gradient of a value, taken out: it is needed once. Zeros where nothing has come back.
pub(super) fn take<B: Backend>(
    b: &B,
    gradients: &mut Grads<B>,
    key: &Key<B>,
    length: usize,
) -> std::result::Result<Buffer<B>, Fault<B>> {
    let slot = gradients.get_or_alloc_mut(key)?;
    if kernels::length(b, slot) < length {
        return kernels::zeros(b, length);
    }
    Ok(std::mem::replace(slot, kernels::zeros(b, 0)?))
}

/// What begins with the gradient of a shift or bias becomes it: a layer has its own.
fn give<B: Backend>(gradients: &mut Grads<B>, key: &Key<B>, sums: Buffer<B>) -> Done<B> {
    *gradients.get_or_alloc_mut(key)? = sums;
    Ok(())
}

impl<B: Backend> Ops<B> {
    pub fn new(backend: B) -> Ops<B> {
        Ops { backend, precision: Precision::Float32, keys: Arc::default() }
    }

    /// The name number `index`.
    pub fn key(&self, index: usize) -> Result<Key<B>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        while keys.len() <= index {
            keys.push(self.backend.store().try_zeros_like(&(0,)).map_err(failed::<B>("names of values"))?);
        }
        Ok(keys[index].clone())
    }

    fn alloc(&self, operation: &'static str, length: usize) -> Result<Buffer<B>> {
        kernels::alloc(&self.backend, length).map_err(failed::<B>(operation))
    }

    /// Where a layer puts what it gives.
    fn room(
        &self,
        operation: &'static str,
        Target { key, part }: Target<B>,
        n: usize,
        size: Size3,
    ) -> Result<Value<B, ()>> {
        let data = match &part {
            Some(part) => part.whole.clone(),
            None => Arc::new(self.alloc(operation, n * size.iter().product::<usize>())?),
        };
        Ok(Value { data, part, n, size, key, tape: () })
    }

    /// Images as they are read (`n x C x H x W`), pixel by pixel.
    pub fn arrange<T>(&self, x: Value<B, T>, key: Key<B>) -> Result<Value<B, T>> {
        let operation = "order of the pixels";
        let [height, width, channels] = x.size;
        let mut to = self.alloc(operation, x.len())?;
        kernels::pixels(&self.backend, &x.data, &mut to, [x.n, height * width, channels])
            .map_err(failed::<B>(operation))?;
        Ok(Value { data: Arc::new(to), key, ..x })
    }

    /// Adds to the gradients of weights and input.
    fn conv_back(
        &self,
        g: &Geometry,
        factors: &Factors<B>,
        (weight_key, x_key): (&Key<B>, Option<&Key<B>>),
        dy: &Numbers<B>,
        gradients: &mut Grads<B>,
    ) -> Done<B> {
        let b = &self.backend;
        let (dw, there) = slot(b, gradients, weight_key, g.inner() * g.outputs)?;
        conv::weight_gradient(b, g, factors, dy, dw, there)?;
        let Some(x_key) = x_key else { return Ok(()) };
        let (dx, there) = slot(b, gradients, x_key, g.images * g.pixels() * g.channels)?;
        conv::input_gradient(b, g, factors, dy, dx, there)
    }

    /// [`crate::ops::conv::conv2d`] with a bias and ReLU.
    pub fn conv<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        window: Window,
        [weight, shift]: [&crate::cuda::weight::Weight<B>; 2],
        input_gradient: InputGradient,
        target: Target<B>,
    ) -> Result<Value<B, T>> {
        let operation = "convolution";
        let o = shift.length;
        let g = x.geometry(operation, window, o)?.rounded(self.precision);
        let rows = g.images * g.out_pixels();
        let mut made = self.alloc(operation, rows * o)?;
        let y = self.room(operation, target, x.n, [g.out_height, g.out_width, o])?;
        let factors = conv::forward(&self.backend, &g, &x.data, &weight.values, &mut made)
            .and_then(|factors| {
                kernels::bias(&self.backend, &made, y.slice(), &shift.values, [rows, o], true)?;
                Ok(factors)
            })
            .map_err(failed::<B>(operation))?;
        let y = y.with(x.tape);
        let (ops, x_key) = (self.clone(), x.key);
        let (weight_key, shift_key) = (weight.key.clone(), shift.key.clone());
        Ok(y.recorded(&self.backend, move |y, dy, gradients| {
            let b = &ops.backend;
            let dy = kernels::relu_back(b, y, dy, [rows, o])?;
            give::<B>(gradients, &shift_key, kernels::sum_rows(b, &dy, rows, o)?)?;
            let dy = Numbers::new(b, conv::of_gradient(&g), Arc::new(dy), rows * o)?;
            let x_key = (input_gradient != InputGradient::Skipped).then_some(&x_key);
            ops.conv_back(&g, &factors, (&weight_key, x_key), &dy, gradients)
        }))
    }

    /// [`crate::ops::conv_norm::conv_norm`]. The second result is what the batch had for the running statistics, in
    /// training.
    pub fn conv_norm<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        window: Window,
        [weight, shift, mean, variance]: [&crate::cuda::weight::Weight<B>; 4],
        input_gradient: InputGradient,
        training: bool,
        target: Target<B>,
    ) -> Result<Normalised<B, T>> {
        let operation = "convolution with batch normalisation";
        let (b, o) = (&self.backend, shift.length);
        let g = x.geometry(operation, window, o)?.rounded(self.precision);
        let rows = g.images * g.out_pixels();
        let mut middle = self.alloc(operation, rows * o)?;
        let y = self.room(operation, target, x.n, [g.out_height, g.out_width, o])?;
        let made = conv::forward(b, &g, &x.data, &weight.values, &mut middle).and_then(|factors| {
            let (channels, noted) = if training {
                let (channels, noted) =
                    kernels::batch_channels(b, &middle, &shift.values, [rows, o], EPSILON)?;
                (channels, Some(noted))
            } else {
                let (mean, variance) = (&mean.values, &variance.values);
                (kernels::running_channels(b, mean, variance, &shift.values, o, EPSILON)?, None)
            };
            kernels::normalise(b, &middle, y.slice(), &channels, [rows, o])?;
            Ok((factors, channels, noted))
        });
        let (factors, channels, noted) = made.map_err(failed::<B>(operation))?;
        let y = y.with(x.tape);
        let (ops, x_key) = (self.clone(), x.key);
        let (weight_key, shift_key) = (weight.key.clone(), shift.key.clone());
        let y = y.recorded(&self.backend, move |_, dy, gradients| {
            let b = &ops.backend;
            let precision = conv::of_gradient(&g);
            let (dy, sums) =
                kernels::normalise_back(b, &middle, dy, &channels, [rows, o], training, precision)?;
            drop(middle);
            give::<B>(gradients, &shift_key, sums)?;
            let x_key = (input_gradient != InputGradient::Skipped).then_some(&x_key);
            ops.conv_back(&g, &factors, (&weight_key, x_key), &dy, gradients)
        });
        Ok((y, noted))
    }

    /// [`crate::ops::linear::linear`].
    pub fn linear<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        [weight, bias]: [&crate::cuda::weight::Weight<B>; 2],
        relu: bool,
        input_gradient: InputGradient,
        key: Key<B>,
    ) -> Result<Value<B, T>> {
        let operation = "fully connected layer";
        let (b, n, i, o) = (&self.backend, x.n, x.size[2], bias.length);
        let mut y = self.alloc(operation, n * o)?;
        let numbers = |of: &Arc<Buffer<B>>, all| {
            Numbers::new(b, self.precision, of.clone(), all).map_err(failed::<B>(operation))
        };
        let (inputs, weights) = (numbers(&x.data, n * i)?, numbers(&weight.values, o * i)?);
        product(b, (&mut y, 0), inputs.matrix(0, n, i), weights.matrix(0, o, i).t(), false)
            .and_then(|()| {
                kernels::bias(b, &y, ColumnSlice::<B>::new(&y, (o, 0)), &bias.values, [n, o], relu)
            })
            .map_err(failed::<B>(operation))?;
        let y = alone(y, n, [1, 1, o], key).with(x.tape);
        let (ops, x_key) = (self.clone(), x.key);
        let (weight_key, bias_key) = (weight.key.clone(), bias.key.clone());
        Ok(y.recorded(&self.backend, move |y, dy, gradients| {
            let b = &ops.backend;
            let stopped = if relu { Some(kernels::relu_back(b, y, dy, [n, o])?) } else { None };
            let dy = stopped.as_ref().unwrap_or(dy.alone());
            give::<B>(gradients, &bias_key, kernels::sum_rows(b, dy, n, o)?)?;
            let rounded = kernels::rounded(b, ops.precision, dy, n * o)?;
            let left = rounded.as_ref().map_or(matrix(b, dy, 0, n, o), |dy| dy.matrix(0, n, o));
            let (dw, there) = slot(b, gradients, &weight_key, o * i)?;
            product(b, (dw, 0), left.t(), inputs.matrix(0, n, i), there)?;
            if input_gradient != InputGradient::Skipped {
                let (dx, there) = slot(b, gradients, &x_key, n * i)?;
                product(b, (dx, 0), left, weights.matrix(0, o, i), there)?;
            }
            Ok(())
        }))
    }

    /// [`crate::ops::pool::max_pool`].
    pub fn max_pool<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        window: Window,
        target: Target<B>,
    ) -> Result<Value<B, T>> {
        let operation = "max pooling";
        let g = x.geometry(operation, window, x.size[2])?;
        let y = self.room(operation, target, x.n, [g.out_height, g.out_width, g.channels])?;
        let mut which = self.alloc(operation, y.len())?;
        kernels::max_pool(&self.backend, &g, &x.data, y.slice(), &mut which)
            .map_err(failed::<B>(operation))?;
        Ok(self.pooled(x, y, g, Some(which)))
    }

    /// [`crate::ops::pool::avg_pool`].
    pub fn avg_pool<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        window: Window,
        target: Target<B>,
    ) -> Result<Value<B, T>> {
        let operation = "mean pooling";
        let g = x.geometry(operation, window, x.size[2])?;
        let y = self.room(operation, target, x.n, [g.out_height, g.out_width, g.channels])?;
        kernels::avg_pool(&self.backend, &g, &x.data, y.slice()).map_err(failed::<B>(operation))?;
        Ok(self.pooled(x, y, g, None))
    }

    fn pooled<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        y: Value<B, ()>,
        g: Geometry,
        which: Option<Buffer<B>>,
    ) -> Value<B, T> {
        let (b, x_key, length) = (self.backend.clone(), x.key, g.images * g.pixels() * g.channels);
        y.with(x.tape).recorded(&self.backend, move |_, dy, gradients| {
            let (dx, there) = slot(&b, gradients, &x_key, length)?;
            kernels::pool_back(&b, &g, dy, which.as_ref(), dx, there)
        })
    }

    /// [`crate::ops::pool::global_avg_pool`].
    pub fn global_avg_pool<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        key: Key<B>,
    ) -> Result<Value<B, T>> {
        let operation = "mean over the image";
        let [height, width, channels] = x.size;
        let sizes = [x.n, height * width, channels];
        let mut y = self.alloc(operation, x.n * channels)?;
        kernels::global_avg_pool(&self.backend, &x.data, &mut y, sizes).map_err(failed::<B>(operation))?;
        let y = alone(y, x.n, [1, 1, channels], key).with(x.tape);
        let (b, x_key) = (self.backend.clone(), x.key);
        Ok(y.recorded(&self.backend, move |_, dy, gradients| {
            let (dx, there) = slot(&b, gradients, &x_key, sizes.iter().product())?;
            kernels::global_mean_back(&b, dy.alone(), dx, sizes, there)
        }))
    }

    /// [`crate::ops::lrn::local_response_norm`].
    pub fn local_response_norm<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        key: Key<B>,
    ) -> Result<Value<B, T>> {
        let operation = "local response normalisation";
        let (channels, all) = (x.size[2], x.len());
        let (sizes, window) = ([all / channels.max(1), channels], (RADIUS, ALPHA));
        let mut y = self.alloc(operation, all)?;
        kernels::lrn(&self.backend, &x.data, &mut y, sizes, window).map_err(failed::<B>(operation))?;
        let y = alone(y, x.n, x.size, key).with(x.tape);
        let (b, x, x_key) = (self.backend.clone(), x.data, x.key);
        Ok(y.recorded(&self.backend, move |_, dy, gradients| {
            let (dx, there) = slot(&b, gradients, &x_key, all)?;
            kernels::lrn_back(&b, &x, dy.alone(), dx, sizes, window, there)
        }))
    }

    /// [`crate::ops::dropout::dropout`], with its draws.
    pub fn dropout<T: Tape<f32, B::Store>>(
        &self,
        x: Value<B, T>,
        kept: f32,
        pass: &mut ForwardContext,
        key: Key<B>,
    ) -> Result<Value<B, T>> {
        let operation = "dropout";
        if !(kept > 0.0 && kept <= 1.0) {
            return Err(Error::argument(operation, format!("units kept with probability {kept}")));
        }
        if !pass.training() || kept == 1.0 {
            return Ok(x);
        }
        let all = x.len();
        let draws = pass.draws();
        let factors: Vec<f32> =
            (0..all).map(|_| if draws.random::<f32>() < kept { 1.0 / kept } else { 0.0 }).collect();
        let mut y = self.alloc(operation, all)?;
        let factors = kernels::upload(&self.backend, &factors).map_err(failed::<B>(operation))?;
        kernels::times(&self.backend, &x.data, &factors, &mut y, all, false)
            .map_err(failed::<B>(operation))?;
        let y = alone(y, x.n, x.size, key).with(x.tape);
        let (b, x_key) = (self.backend.clone(), x.key);
        Ok(y.recorded(&self.backend, move |_, dy, gradients| {
            let (dx, there) = slot(&b, gradients, &x_key, all)?;
            kernels::times(&b, dy.alone(), &factors, dx, all, there)
        }))
    }

    /// Room for what branches give of `n` images, each with so many channels.
    pub fn concatenation(
        &self,
        n: usize,
        [height, width]: [usize; 2],
        channels: &[usize],
    ) -> Result<Concatenation<B>> {
        let all = channels.iter().sum();
        let whole = self.alloc("concatenation of channels", n * height * width * all)?;
        let mut first = 0;
        let columns = channels.iter().map(|own| {
            first += own;
            (all, first - own)
        });
        let (columns, gradient) = (columns.collect(), Arc::default());
        Ok(Concatenation { whole: Arc::new(whole), gradient, columns, n, size: [height, width, all] })
    }

    /// [`crate::ops::concat::concat`]: of `parts`, one after the other with its name, made on `tape`. What is not where it
    /// belongs is copied there.
    pub fn concat<T: Tape<f32, B::Store>>(
        &self,
        parts: Vec<Value<B, ()>>,
        Concatenation { whole, gradient, columns, n, size }: Concatenation<B>,
        tape: T,
        key: Key<B>,
    ) -> Result<Value<B, T>> {
        let rows = n * size[0] * size[1];
        let mut copied = Vec::new();
        for (part, columns) in parts.into_iter().zip(columns).filter(|(part, _)| part.part.is_none()) {
            let own = part.size[2];
            kernels::columns(
                &self.backend,
                ColumnSlice::<B>::new(&part.data, (own, 0)),
                ColumnSlice::<B>::new(&whole, columns),
                [rows, own],
                false,
            )
            .map_err(failed::<B>("concatenation of channels"))?;
            copied.push((part.key, own, columns));
        }
        let mut y = Value { data: whole, part: None, n, size, key, tape };
        let (b, key, length) = (self.backend.clone(), y.key.clone(), y.len());
        y.tape.add_backward_op(move |gradients| {
            let dy = take(&b, gradients, &key, length)?;
            for (key, own, columns) in &copied {
                let (dx, there) = slot(&b, gradients, key, rows * own)?;
                kernels::columns(
                    &b,
                    ColumnSlice::<B>::new(&dy, *columns),
                    ColumnSlice::<B>::new(dx, (*own, 0)),
                    [rows, *own],
                    there,
                )?;
            }
            // For the branches' last layers, which are gone back through next.
            let _ = gradient.set(dy);
            Ok(())
        });
        Ok(y)
    }

    /// The mean cross-entropy of `scores`, each list with its weight, as dfdx's number on `tape`; and, of the first, the
    /// sums over the batch of the cross-entropies and of the hits.
    pub fn loss<T: Tape<f32, B::Store>>(
        &self,
        scores: &[(Value<B, ()>, f32)],
        labels: &Buffer<B>,
        rules: &Rules,
        mut tape: T,
    ) -> Result<Loss<B, T>> {
        let operation = "cross-entropy";
        let b = &self.backend;
        let mut sums = None;
        let made = (|| {
            let mut total = kernels::alloc(b, 1)?;
            let mut back = Vec::new();
            for (index, (scores, weight)) in scores.iter().enumerate() {
                let (n, classes) = (scores.n, scores.size[2]);
                let (rows, gradient) = kernels::cross_entropy(
                    b,
                    &scores.data,
                    labels,
                    [n, classes],
                    *weight,
                    rules.targets(classes),
                )?;
                let own = kernels::sum_rows(b, &rows, n, 2)?;
                kernels::weigh(b, &own, &mut total, weight / n as f32, index > 0)?;
                sums.get_or_insert(own);
                back.push((scores.key.clone(), gradient, n * classes));
            }
            // A number of dfdx's own around the memory: see the module.
            let loss: Tensor<Rank0, f32, B::Store> = b.store().try_zeros_like(&())?;
            let mut holder = Gradients::leaky();
            *holder.get_or_alloc_mut(&loss)? = total;
            Ok((holder.get(&loss), back))
        })();
        let (loss, back): (Tensor<Rank0, f32, B::Store>, _) = made.map_err(failed::<B>(operation))?;
        let Some(sums) = sums else { return Err(Error::argument(operation, "no scores")) };
        let (b, named) = (b.clone(), loss.clone());
        tape.add_backward_op(move |gradients| {
            // One, unless something was made of the loss.
            let upstream = gradients.get_or_alloc_mut(&named)?.clone();
            for (key, gradient, length) in &back {
                let (dx, there) = slot(&b, gradients, key, *length)?;
                kernels::scaled(&b, gradient, &upstream, dx, *length, there)?;
            }
            Ok(())
        });
        Ok((loss.put_tape(tape), sums))
    }
}

/// A value in memory of its own.
fn alone<B: Backend>(data: Buffer<B>, n: usize, size: Size3, key: Key<B>) -> Value<B, ()> {
    Value { data: Arc::new(data), part: None, n, size, key, tape: () }
}

impl<B: Backend> Value<B, ()> {
    /// The same on a tape.
    pub fn with<T>(self, tape: T) -> Value<B, T> {
        let Value { data, part, n, size, key, tape: () } = self;
        Value { data, part, n, size, key, tape }
    }
}

impl<B: Backend, T: Tape<f32, B::Store>> Value<B, T> {
    /// Puts the way back on the tape, if there is one. It gets what was given, and its gradient, which lies in the same way.
    fn recorded(
        mut self,
        b: &B,
        back: impl FnOnce(ColumnSlice<B>, ColumnSlice<B>, &mut Grads<B>) -> Done<B> + 'static,
    ) -> Value<B, T> {
        if T::OWNS_TAPE {
            let (b, data, key) = (b.clone(), self.data.clone(), self.key.clone());
            let (columns, length) = (self.columns(), self.len());
            let together = self.part.as_ref().map(|part| part.gradient.clone());
            self.tape.add_backward_op(move |gradients| {
                let y = ColumnSlice::<B>::new(&data, columns);
                let Some(together) = together else {
                    let dy = take(&b, gradients, &key, length)?;
                    return back(y, ColumnSlice::<B>::new(&dy, columns), gradients);
                };
                let dy = together.get().expect("the gradient of all branches, which comes before");
                back(y, ColumnSlice::<B>::new(dy, columns), gradients)
            });
        }
        self
    }
}
