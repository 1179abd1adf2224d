//! The operations on dfdx's tape, forward and backward.
//!
//! `fixtures/ops.json` was made with PyTorch by `fixtures/ops.py`.

use dfdx::prelude::*;
use rethink_nn::ops::activation::Activation;
use rethink_nn::ops::concat::{Part, concat};
use rethink_nn::ops::conv::{Conv2d, Padding, Window, conv2d};
use rethink_nn::ops::conv_norm::conv_norm;
use rethink_nn::ops::dropout::dropout;
use rethink_nn::ops::gemm::{Matrix, product};
use rethink_nn::ops::lanes::{self, LANES, Order, arrange};
use rethink_nn::ops::linear::InputGradient;
use rethink_nn::ops::lrn::local_response_norm;
use rethink_nn::ops::norm::{BatchNorm, batch_norm};
use rethink_nn::ops::pool::{avg_pool, global_avg_pool, max_pool};
use rethink_nn::ops::{DynSize, ForwardContext, Image, Rows, elements, elements_mut};
use rethink_tests::{compare, formula};
use serde_json::Value;

/// Of the norm, and of a value against the root mean square of all.
const TOLERANCE: f64 = 1e-4;

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures/ops.json")).unwrap()
}

fn image(n: usize, h: usize, w: usize, c: usize, scale: f64) -> Image {
    Cpu::default().tensor_from_vec(formula(n * h * w * c, 6007, scale), (n, h, w, c))
}

fn fill<S: Shape>(tensor: &mut Tensor<S, f32, Cpu>, multiplier: usize, base: f32, scale: f64) {
    let values = elements_mut(tensor).unwrap();
    let from = formula(values.len(), multiplier, scale);
    values.iter_mut().zip(from).for_each(|(v, f)| *v = base + f);
}

/// The gradients of the sum of `y` times a formula of its index.
fn backward<S: Shape>(y: Tensor<S, f32, Cpu, OwnedTape<f32, Cpu>>) -> Gradients<f32, Cpu> {
    let count = y.shape().num_elements();
    let weights = Cpu::default().tensor_from_vec(formula(count, 4447, 1.0), *y.shape());
    (y * weights).sum::<Rank0, _>().backward()
}

fn check(case: &Value, what: &str, values: &[f32], name: &str) {
    if let Err(problem) = compare(values, &case[what], TOLERANCE) {
        panic!("{name}, {what}: {problem}");
    }
}

fn gradient<S: Shape>(gradients: &Gradients<f32, Cpu>, tensor: &Tensor<S, f32, Cpu>) -> Vec<f32> {
    gradients.get(tensor).as_vec()
}

#[test]
fn convolutions_equal_pytorch() {
    let fixtures = fixtures();
    use Padding::{Same, Valid};
    for (name, (n, h, w, c, o), kernel, stride, padding, relu) in [
        ("conv 1x1", (3, 5, 6, 20, 33), (1, 1), 1, Same, true),
        ("conv 1x1 stride 2", (2, 7, 6, 20, 16), (1, 1), 2, Same, false),
        ("conv 3x3 few channels", (2, 9, 8, 3, 20), (3, 3), 1, Same, true),
        ("conv 3x3 same", (3, 14, 13, 24, 33), (3, 3), 1, Same, true),
        ("conv 3x3 valid", (2, 11, 9, 40, 18), (3, 3), 1, Valid, false),
        ("conv 3x3 stride 2 same, even", (2, 14, 12, 17, 20), (3, 3), 2, Same, true),
        ("conv 3x3 stride 2 same, odd", (2, 7, 9, 17, 20), (3, 3), 2, Same, true),
        ("conv 3x3 stride 2 valid", (2, 10, 9, 17, 20), (3, 3), 2, Valid, true),
        ("conv 5x5 same", (2, 9, 10, 7, 20), (5, 5), 1, Same, true),
        ("conv 1x7", (2, 9, 10, 18, 20), (1, 7), 1, Same, true),
        ("conv 7x1", (2, 9, 10, 18, 20), (7, 1), 1, Same, true),
        ("conv 1x3", (2, 4, 4, 18, 20), (1, 3), 1, Same, true),
        ("conv 3x1", (2, 4, 4, 18, 20), (3, 1), 1, Same, true),
    ] {
        let device = Cpu::default();
        let window = Window { kernel, stride: (stride, stride), padding };
        let mut layer = Conv2d::zeros(&device, window, c, o).unwrap();
        fill(&mut layer.weight, 7919, 0.0, 0.3);
        let mut bias: Tensor<(DynSize,), f32, Cpu> = device.zeros_like(&(DynSize(o),));
        fill(&mut bias, 3001, 0.0, 0.5);
        let activation = if relu { Activation::Relu } else { Activation::None };
        let x = image(n, h, w, c, 1.7);
        let y =
            conv2d(&layer, Some(&bias), x.leaky_trace(), activation, InputGradient::Needed, Order::Pixels)
                .unwrap();
        let case = &fixtures[name];
        check(case, "y", elements(&y).unwrap(), name);
        let gradients = backward(y);
        check(case, "dx", &gradient(&gradients, &x), name);
        check(case, "dweight", &gradient(&gradients, &layer.weight), name);
        check(case, "dbias", &gradient(&gradients, &bias), name);
    }
}

/// `y` and the gradients of the sum of `y` times `dy` with respect to `x` and the weights, as the definition has them, in f64.
fn plain_convolution(
    x: &Image,
    layer: &Conv2d<f32, Cpu>,
    (rows, columns): (usize, usize),
    dy: &[f32],
) -> [Vec<f32>; 3] {
    let (n, h, w, c) = *x.shape();
    let (.., DynSize(o)) = *layer.weight.shape();
    let Window { kernel, stride, padding } = layer.window;
    let before = |outputs: usize, stride: usize, kernel: usize, inputs: usize| match padding {
        Padding::Same => ((outputs - 1) * stride + kernel).saturating_sub(inputs) / 2,
        Padding::Valid => 0,
    };
    let (top, left) = (before(rows, stride.0, kernel.0, h), before(columns, stride.1, kernel.1, w));
    let (xs, ws) = (elements(x).unwrap(), elements(&layer.weight).unwrap());
    let (mut y, mut dx) = (vec![0.0f64; n * rows * columns * o], vec![0.0f64; xs.len()]);
    let mut dw = vec![0.0f64; ws.len()];
    for at in 0..n * rows * columns {
        let (image, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
        for tap in 0..kernel.0 * kernel.1 {
            let from_row = (row * stride.0 + tap / kernel.1).wrapping_sub(top);
            let from_column = (column * stride.1 + tap % kernel.1).wrapping_sub(left);
            if from_row >= h || from_column >= w {
                continue;
            }
            let pixel = ((image * h + from_row) * w + from_column) * c;
            for (i, weights) in ws[tap * c * o..][..c * o].chunks_exact(o).enumerate() {
                for (k, weight) in weights.iter().enumerate() {
                    y[at * o + k] += f64::from(xs[pixel + i]) * f64::from(*weight);
                    dx[pixel + i] += f64::from(dy[at * o + k]) * f64::from(*weight);
                    dw[(tap * c + i) * o + k] += f64::from(dy[at * o + k]) * f64::from(xs[pixel + i]);
                }
            }
        }
    }
    [y, dx, dw].map(|values| values.into_iter().map(|v| v as f32).collect())
}

/// From fourteen pixels a row on, windows are taken as they lie in the image with its zeros around it. And a gradient that is the first
/// of its input has the same bits as one that is added.
#[test]
fn wide_convolutions_equal_the_plain_sums() {
    use Padding::{Same, Valid};
    for (name, (h, w, c, o), kernel, stride, padding) in [
        ("5x5 same", (15, 17, 3, 20), (5, 5), (1, 1), Same),
        ("5x5 valid", (7, 20, 7, 33), (5, 5), (1, 1), Valid),
        ("3x3 stride 2, even", (12, 28, 20, 17), (3, 3), (2, 2), Same),
        ("3x3 stride 2, odd", (9, 29, 20, 16), (3, 3), (2, 2), Same),
        ("2x3 stride 1 and 2, valid", (5, 32, 5, 18), (2, 3), (1, 2), Valid),
        ("1x7", (3, 14, 18, 40), (1, 7), (1, 1), Same),
        ("3x3 few outputs", (6, 16, 30, 10), (3, 3), (1, 1), Same),
        ("Winograd's way", (15, 18, 17, 35), (3, 3), (1, 1), Same),
        ("Winograd's way, 5x5", (15, 18, 33, 35), (5, 5), (1, 1), Same),
        ("Winograd's way, 5x5, smaller than a tile", (1, 3, 32, 32), (5, 5), (1, 1), Same),
        ("Winograd's way, 5x5 valid", (9, 12, 40, 34), (5, 5), (1, 1), Valid),
        ("Winograd's way, 1x7", (5, 18, 64, 70), (1, 7), (1, 1), Same),
        ("Winograd's way, 7x1", (17, 6, 66, 64), (7, 1), (1, 1), Same),
        ("Winograd's way, 1x7, smaller than a tile", (2, 3, 64, 65), (1, 7), (1, 1), Same),
        ("Winograd's way, 7x1 valid", (14, 5, 64, 64), (7, 1), (1, 1), Valid),
        ("Winograd's way, 1x7, several blocks", (17, 17, 64, 64), (1, 7), (1, 1), Same),
        ("Alexnet's second layer", (14, 14, 64, 64), (5, 5), (1, 1), Same),
        ("1x1", (4, 15, 40, 48), (1, 1), (1, 1), Same),
    ] {
        let window = Window { kernel, stride, padding };
        let mut layer = Conv2d::zeros(&Cpu::default(), window, c, o).unwrap();
        fill(&mut layer.weight, 7919, 0.0, 0.3);
        let x = image(3, h, w, c, 1.7);
        let given = |input_gradient| {
            let y = conv2d(&layer, None, x.leaky_trace(), Activation::None, input_gradient, Order::Pixels)
                .unwrap();
            let (shape, values) = (*y.shape(), y.as_vec());
            let gradients = backward(y);
            (shape, values, gradient(&gradients, &x), gradient(&gradients, &layer.weight))
        };
        let (shape, y, dx, dw) = given(InputGradient::Needed);
        let dy = formula(y.len(), 4447, 1.0);
        let [plain_y, plain_dx, plain_dw] = plain_convolution(&x, &layer, (shape.1, shape.2), &dy);
        // Winograd's way, rounding errors of a weight's gradient are up to 3e-6 in the mean, and some elements' eight times that. So are
        // all errors of a line's, with its ten points.
        let bound = if kernel.0 * kernel.1 == 7 && c >= 64 { 4e-5 } else { 2e-5 };
        assert_within(&y, &plain_y, bound, name);
        assert_within(&dx, &plain_dx, bound, name);
        assert_within(&dw, &plain_dw, 4e-5, name);
        let (_, _, first_dx, first_dw) = given(InputGradient::First);
        assert!(dx == first_dx && dw == first_dw, "{name}: the first gradient is another one");
    }
}

/// Images pixel by pixel in lanes.
fn in_lanes(x: &Image) -> Image {
    let (n, h, w, c) = *x.shape();
    let mut rows = vec![0.0; n * h * w * c];
    for (i, v) in elements(x).unwrap().iter().enumerate() {
        let (image, pixel, channel) = (i / (h * w * c), i / c % (h * w), i % c);
        rows[(image * c + channel) * h * w + pixel] = *v;
    }
    let rows = Cpu::default().tensor_from_vec(rows, (n, h * w * c));
    arrange(rows, [h, w, c], Order::Lanes { images: n }).unwrap()
}

/// What is in lanes, image by image.
fn by_image(numbers: &[f32], images: usize) -> Vec<f32> {
    let blocks = images.div_ceil(LANES);
    let rows = Cpu::default().tensor_from_vec(numbers.to_vec(), (blocks, numbers.len() / blocks));
    lanes::by_image(rows, Order::Lanes { images }).unwrap().as_vec()
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_within(ours, theirs, 2e-5, what);
}

/// Each number to so much of itself, or of the root of the mean square.
fn assert_within(ours: &[f32], theirs: &[f32], bound: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = (theirs.iter().map(|v| v * v).sum::<f32>() / theirs.len() as f32).sqrt();
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= bound * scale.max(b.abs()), "{what}, element {i}: {a} and {b}");
    }
}

/// Full sixteens, some lanes empty, and fewer images than lanes; what is compared is compared with PyTorch above.
#[test]
fn images_in_lanes_give_what_pixels_give() {
    use Padding::{Same, Valid};
    let device = Cpu::default();
    for (images, (h, w, c, o), kernel, stride, padding) in [
        (32, (5, 6, 3, 4), (1, 1), (1, 1), Same),
        (19, (9, 8, 3, 13), (3, 3), (1, 1), Same),
        (35, (7, 7, 7, 6), (3, 3), (1, 1), Same),
        (16, (5, 4, 20, 18), (3, 3), (1, 1), Valid),
        // More sixteens, and rows, than are taken together.
        (70, (15, 17, 5, 9), (3, 3), (1, 1), Same),
        (17, (2, 3, 1, 2), (3, 3), (1, 1), Same),
        (19, (9, 8, 3, 13), (5, 5), (1, 1), Same),
        (35, (14, 11, 7, 6), (5, 5), (1, 1), Same),
        (16, (8, 7, 18, 20), (5, 5), (1, 1), Valid),
        (70, (15, 17, 4, 5), (5, 5), (1, 1), Same),
        (17, (2, 3, 1, 2), (5, 5), (1, 1), Same),
        (18, (14, 12, 5, 7), (3, 3), (2, 2), Same),
        (5, (7, 9, 5, 7), (3, 3), (2, 2), Same),
        (17, (10, 9, 5, 7), (3, 3), (2, 2), Valid),
        (17, (9, 10, 6, 2), (1, 7), (1, 1), Same),
        (17, (9, 10, 1, 8), (7, 1), (1, 1), Same),
        (3, (8, 7, 4, 5), (5, 5), (3, 2), Same),
        (3, (8, 7, 4, 5), (1, 1), (2, 2), Same),
    ] {
        let name = format!("{images} images, {h}x{w}x{c} to {o}, {kernel:?}, {stride:?}, {padding:?}");
        let order = Order::Lanes { images };
        let mut layer = Conv2d::zeros(&device, Window { kernel, stride, padding }, c, o).unwrap();
        fill(&mut layer.weight, 7919, 0.0, 0.3);
        let mut bias: Tensor<(DynSize,), f32, Cpu> = device.zeros_like(&(DynSize(o),));
        fill(&mut bias, 3001, 0.0, 0.5);
        let norm = norm_layer(o);
        let x = image(images, h, w, c, 1.7);
        let sixteens = in_lanes(&x);
        assert_eq!(by_image(elements(&sixteens).unwrap(), images), elements(&x).unwrap(), "{name}");
        for normalised in [false, true] {
            let run = |x: &Image, order: Order| {
                let (mut pass, needed) = (ForwardContext::training_step(0, 0), InputGradient::Needed);
                pass.set_order(order);
                let y = if normalised {
                    conv_norm(&layer, &norm, x.leaky_trace(), needed, &mut pass).unwrap()
                } else {
                    conv2d(&layer, Some(&bias), x.leaky_trace(), Activation::Relu, needed, order).unwrap()
                };
                let made = elements(&y).unwrap().to_vec();
                let (blocks, size) = (y.shape().0, made.len() / y.shape().0);
                let rows = lanes::by_image(y.reshape_like(&(blocks, size)), order).unwrap();
                let gradients = backward(rows);
                let shift = if normalised { &norm.shift } else { &bias };
                let of = [gradient(&gradients, &layer.weight), gradient(&gradients, shift)];
                (made, gradient(&gradients, x), of)
            };
            let (theirs, ours) = (run(&x, Order::Pixels), run(&sixteens, order));
            assert_close(&by_image(&ours.0, images), &theirs.0, &format!("{name}: y"));
            assert_close(&by_image(&ours.1, images), &theirs.1, &format!("{name}: dx"));
            assert_close(&ours.2[0], &theirs.2[0], &format!("{name}: dweight"));
            assert_close(&ours.2[1], &theirs.2[1], &format!("{name}: dshift"));
            // Whatever is in lanes without an image is passed on to nobody.
            let empty = |lanes: &[f32]| {
                lanes[LANES - (images.next_multiple_of(LANES) - images)..].iter().all(|&v| v == 0.0)
            };
            let block = ours.1.len() / images.div_ceil(LANES);
            assert!(ours.1[ours.1.len() - block..].chunks_exact(LANES).all(empty), "{name}: empty lanes");
        }
    }
    for (images, channels) in [(16, 30), (19, 3)] {
        let x = image(images, 3, 4, channels, 68.0);
        let run = |x: &Image, order: Order| {
            let y = local_response_norm(x.leaky_trace(), order).unwrap();
            let made = elements(&y).unwrap().to_vec();
            let blocks = y.shape().0;
            let rows = y.reshape_like(&(blocks, made.len() / blocks));
            (made, gradient(&backward(lanes::by_image(rows, order).unwrap()), x))
        };
        let (theirs, ours) = (run(&x, Order::Pixels), run(&in_lanes(&x), Order::Lanes { images }));
        assert_eq!(by_image(&ours.0, images), theirs.0, "response norm, {channels} channels: y");
        assert_eq!(by_image(&ours.1, images), theirs.1, "response norm, {channels} channels: dx");
    }
    let one = Cpu::default().tensor_from_vec(vec![0.0; 32], (1, 32));
    assert!(lanes::by_image(one, Order::Lanes { images: 17 }).is_err());
}

fn norm_layer(channels: usize) -> BatchNorm<f32, Cpu> {
    let mut layer = BatchNorm::new(&Cpu::default(), channels).unwrap();
    fill(&mut layer.shift, 3001, 0.0, 0.5);
    fill(&mut layer.mean, 1003, 0.0, 0.4);
    fill(&mut layer.variance, 1503, 1.0, 0.4);
    layer
}

#[test]
fn batch_norm_equals_pytorch() {
    let fixtures = fixtures();
    for (name, training, scaled, relu) in [
        ("norm", true, false, true),
        ("norm, scaled", true, true, false),
        ("norm, evaluation", false, false, true),
    ] {
        let layer = norm_layer(24);
        let mut scale: Tensor<(DynSize,), f32, Cpu> = Cpu::default().zeros_like(&(DynSize(24),));
        fill(&mut scale, 2003, 1.0, 0.5);
        let activation = if relu { Activation::Relu } else { Activation::None };
        let x = image(3, 5, 6, 24, 1.7);
        let mut pass =
            if training { ForwardContext::training_step(0, 0) } else { ForwardContext::evaluation() };
        let given = scaled.then_some(&scale);
        let y = batch_norm(&layer, given, x.leaky_trace(), activation, &mut pass).unwrap();
        let case = &fixtures[name];
        check(case, "y", elements(&y).unwrap(), name);
        let gradients = backward(y);
        check(case, "dx", &gradient(&gradients, &x), name);
        check(case, "dshift", &gradient(&gradients, &layer.shift), name);
        if scaled {
            check(case, "dscale", &gradient(&gradients, &scale), name);
        }
    }
}

#[test]
fn fused_convolution_and_norm_equal_the_two() {
    let device = Cpu::default();
    for (kernel, stride) in [(3, 1), (1, 1), (3, 2)] {
        let window = Window::square(kernel, stride, Padding::Same);
        let mut conv = Conv2d::zeros(&device, window, 20, 24).unwrap();
        fill(&mut conv.weight, 7919, 0.0, 0.3);
        let norm = norm_layer(24);
        let x = image(3, 9, 8, 20, 1.7);
        let (mut one, mut two) = (ForwardContext::training_step(0, 0), ForwardContext::training_step(0, 0));
        let fused = conv_norm(&conv, &norm, x.leaky_trace(), InputGradient::Needed, &mut one).unwrap();
        let middle =
            conv2d(&conv, None, x.leaky_trace(), Activation::None, InputGradient::Needed, Order::Pixels)
                .unwrap();
        let apart = batch_norm(&norm, None, middle, Activation::Relu, &mut two).unwrap();
        assert_eq!(elements(&fused).unwrap(), elements(&apart).unwrap());
        let (fused, apart) = (backward(fused), backward(apart));
        assert_eq!(gradient(&fused, &x), gradient(&apart, &x));
        assert_eq!(gradient(&fused, &conv.weight), gradient(&apart, &conv.weight));
        assert_eq!(gradient(&fused, &norm.shift), gradient(&apart, &norm.shift));
    }
}

#[test]
fn pooling_and_response_norm_equal_pytorch() {
    let fixtures = fixtures();
    use Padding::{Same, Valid};
    for (name, h, w, window, max) in [
        ("max 3x3 stride 2 same", 14, 9, Window::square(3, 2, Same), true),
        ("max 3x3 stride 2 valid", 9, 10, Window::square(3, 2, Valid), true),
        ("mean 3x3 same", 7, 6, Window::square(3, 1, Same), false),
        ("mean 5x5 stride 3 valid", 11, 8, Window::square(5, 3, Valid), false),
    ] {
        let x = image(2, h, w, 20, 1.7);
        let y = if max { max_pool(x.leaky_trace(), window) } else { avg_pool(x.leaky_trace(), window) };
        let y = y.unwrap();
        check(&fixtures[name], "y", elements(&y).unwrap(), name);
        check(&fixtures[name], "dx", &gradient(&backward(y), &x), name);
    }
    let x = image(2, 7, 6, 20, 1.7);
    let y = global_avg_pool(x.leaky_trace()).unwrap();
    check(&fixtures["mean of all"], "y", elements(&y).unwrap(), "mean of all");
    check(&fixtures["mean of all"], "dx", &gradient(&backward(y), &x), "mean of all");
    let x = image(2, 3, 4, 30, 68.0);
    let y = local_response_norm(x.leaky_trace(), Order::Pixels).unwrap();
    check(&fixtures["lrn"], "y", elements(&y).unwrap(), "lrn");
    check(&fixtures["lrn"], "dx", &gradient(&backward(y), &x), "lrn");
}

#[test]
fn of_equal_pixels_one_wins() {
    let x: Image = Cpu::default().tensor_from_vec(vec![1.0; 2 * 5 * 5 * 3], (2, 5, 5, 3));
    let y = max_pool(x.leaky_trace(), Window::square(3, 2, Padding::Valid)).unwrap();
    let windows = y.shape().num_elements() as f32;
    let dx = gradient(&y.sum::<Rank0, _>().backward(), &x);
    // The first pixel under a window gets all of it: whole numbers, as many as there are windows.
    assert!(dx.iter().all(|v| v.fract() == 0.0));
    assert_eq!(dx.iter().sum::<f32>(), windows);
    assert_eq!(dx[..3], [1.0; 3]);
}

#[test]
fn channels_side_by_side() {
    let (a, b) = (image(2, 3, 4, 5, 1.0), image(2, 3, 4, 2, 2.0));
    let (a_traced, tape) = a.leaky_trace().split_tape();
    let y = concat(
        vec![Part::Image(a_traced, InputGradient::First), Part::Image(b.clone(), InputGradient::First)],
        tape,
    )
    .unwrap();
    assert_eq!(*y.shape(), (2, 3, 4, 7));
    for pixel in 0..24 {
        let row = &elements(&y).unwrap()[pixel * 7..][..7];
        assert_eq!(row[..5], elements(&a).unwrap()[pixel * 5..][..5]);
        assert_eq!(row[5..], elements(&b).unwrap()[pixel * 2..][..2]);
    }
    let weights = formula(24 * 7, 4447, 1.0);
    let gradients = backward(y);
    let (da, db) = (gradient(&gradients, &a), gradient(&gradients, &b));
    for pixel in 0..24 {
        assert_eq!(da[pixel * 5..][..5], weights[pixel * 7..][..5]);
        assert_eq!(db[pixel * 2..][..2], weights[pixel * 7 + 5..][..2]);
    }
    assert!(
        concat(
            [a, image(2, 4, 4, 1, 1.0)].map(|part| Part::Image(part, InputGradient::First)).into(),
            NoneTape
        )
        .unwrap_err()
        .to_string()
        .contains("expected shape")
    );
    assert!(concat(vec![], NoneTape).is_err());
}

#[test]
fn dropout_keeps_its_share_and_the_mean() {
    let x: Rows = Cpu::default().ones_like(&(200, 300));
    let y = dropout(x.leaky_trace(), 0.8, &mut ForwardContext::training_step(1, 7)).unwrap();
    let values = elements(&y).unwrap().to_vec();
    assert!(values.iter().all(|&v| v == 0.0 || v == 1.25));
    let kept = values.iter().filter(|v| **v > 0.0).count() as f64 / 60_000.0;
    // Five standard deviations of the share.
    assert!((kept - 0.8).abs() < 5.0 * (0.16f64 / 60_000.0).sqrt(), "{kept} are kept");
    assert_eq!(gradient(&y.sum::<Rank0, _>().backward(), &x), values, "the gradient goes the same way");
    let again = |step| {
        let y = dropout(x.clone(), 0.8, &mut ForwardContext::training_step(1, step)).unwrap();
        elements(&y).unwrap().to_vec()
    };
    assert_eq!(again(7), values, "a step's draws are its own");
    assert_ne!(again(8), values);
    let same = dropout(x.clone(), 0.8, &mut ForwardContext::evaluation()).unwrap();
    assert_eq!(elements(&same).unwrap(), elements(&x).unwrap());
    assert!(dropout(x, 0.0, &mut ForwardContext::evaluation()).is_err());
}

#[test]
fn products_of_odd_shapes_are_exact_in_order() {
    // Sums of small whole numbers: any order of addition gives the same.
    for (m, k, n) in [
        (1, 1, 1),
        (1, 40, 10),
        (13, 7, 5),
        (14, 384, 32),
        (15, 385, 33),
        (70, 401, 97),
        (257, 3, 260),
        (3, 900, 2),
    ] {
        let left: Vec<f32> = (0..m * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let right: Vec<f32> = (0..k * n).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
        let turn = |from: &[f32], rows: usize, cols: usize| -> Vec<f32> {
            (0..rows * cols).map(|i| from[i % rows * cols + i / rows]).collect()
        };
        let mut expected = vec![0.0f32; m * n];
        for (i, e) in expected.iter_mut().enumerate() {
            *e = (0..k).map(|p| left[i / n * k + p] * right[p * n + i % n]).sum();
        }
        let (left_turned, right_turned) = (turn(&left, m, k), turn(&right, k, n));
        for (l, r) in [
            (Matrix::new(&left, m, k), Matrix::new(&right, k, n)),
            (Matrix::new(&left_turned, k, m).t(), Matrix::new(&right, k, n)),
            (Matrix::new(&left, m, k), Matrix::new(&right_turned, n, k).t()),
            (Matrix::new(&left_turned, k, m).t(), Matrix::new(&right_turned, n, k).t()),
        ] {
            let mut out = vec![f32::NAN; m * n];
            product(&mut out, l, r, false);
            assert_eq!(out, expected, "{m}x{k} times {k}x{n}");
            product(&mut out, l, r, true);
            assert!(out.iter().zip(&expected).all(|(o, e)| *o == 2.0 * e), "added, {m}x{k} times {k}x{n}");
        }
    }
}

#[test]
fn wrong_sizes_are_errors() {
    let device = Cpu::default();
    let conv = Conv2d::zeros(&device, Window::square(3, 1, Padding::Valid), 4, 5).unwrap();
    let call = |x: Image| conv2d(&conv, None, x, Activation::None, InputGradient::Needed, Order::Pixels);
    assert!(call(image(1, 2, 5, 4, 1.0)).unwrap_err().to_string().contains("got [2, 5]"));
    assert!(call(image(1, 5, 5, 3, 1.0)).unwrap_err().to_string().contains("got [3]"));
    assert!(max_pool(image(1, 2, 2, 1, 1.0), Window::square(3, 2, Padding::Valid)).is_err());
    let norm = norm_layer(5);
    let pass = &mut ForwardContext::evaluation();
    assert!(batch_norm(&norm, None, image(1, 2, 2, 4, 1.0), Activation::None, pass).is_err());
}
