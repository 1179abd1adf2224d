//! F(4x4, 3x3) and F(2x2, 5x5).
//!
//! An output of 4x4 pixels of a 3x3 kernel needs 6x6 pixels of input, and so does one of 2x2 of a 5x5 kernel. Input and weights are
//! transformed to 36 numbers a channel (`V = B' d B`, `U = G g G'`), and products back by `Y = A' M A`. `B` is the same for both. The
//! weights' gradient is `G' [sum of V (A dY A')] G`. Interpolation points 0, 3/4, -3/4, 3/2, -3/2 and infinity.

#![expect(clippy::needless_range_loop, reason = "indices run along columns of small matrices, not rows")]

use super::{Filter, Form, MOST_OUT, MOST_POINTS, PLAIN, Places, elements, put};
use crate::instructions::{arch, bf16};
use crate::ops::matrix::Shared;
use crate::ops::simd::load_at;
use crate::threads;
use pulp::Simd;

/// Pixels a side of the input that a tile of output needs.
const IN: usize = 6;
/// Most pixels a side of a tile of output.
const MOST: usize = 4;
/// Transformed numbers of a tile and channel.
const POINTS: usize = IN * IN;

/// Tiles of `OUT` pixels a side of a kernel of `K`.
pub(super) struct Square<const OUT: usize, const K: usize>;

impl<const OUT: usize, const K: usize> Filter for Square<OUT, K> {
    const IN: (usize, usize) = (IN, IN);
    const OUT: (usize, usize) = (OUT, OUT);
    // Two rows of the products' tiles.
    const TILES: usize = 28;
    const TILES_OF_GRADIENT: usize = 56;

    #[inline(always)]
    unsafe fn input<S: Simd, const FORM: Form, const WHOLE: bool>(
        s: S,
        from: &[*const f32; MOST_POINTS],
        c: usize,
        many: usize,
        to: Places,
    ) {
        // Macros and not closures, which would be called, and be compiled without the vector instructions.
        macro_rules! column {
            ($($at:expr),*) => {
                // SAFETY: the caller's promise.
                input_1d(s, [$(unsafe { load_at::<S, WHOLE>(s, from[$at].add(c), many - c) }),*])
            };
        }
        macro_rules! columns {
            ($($j:literal)*) => {
                [$(column!($j, IN + $j, 2 * IN + $j, 3 * IN + $j, 4 * IN + $j, 5 * IN + $j)),*]
            };
        }
        let columns = columns!(0 1 2 3 4 5);
        for i in 0..IN {
            let row =
                [columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]];
            for (j, value) in input_1d(s, row).into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { to.store::<S, FORM, WHOLE>(s, i * IN + j, value) };
            }
        }
    }

    #[inline(always)]
    unsafe fn output_gradient<S: Simd, const FORM: Form, const WHOLE: bool>(
        s: S,
        from: &[*const f32; MOST_OUT],
        c: usize,
        many: usize,
        to: Places,
    ) {
        let none = s.splat_f32s(0.0);
        macro_rules! pixel {
            ($row:literal, $column:literal) => {
                if const { is_inside($row, $column, OUT) } {
                    // SAFETY: the caller's promise.
                    unsafe { load_at::<S, WHOLE>(s, from[$row * OUT + $column].add(c), many - c) }
                } else {
                    none
                }
            };
        }
        macro_rules! columns {
            ($($j:literal)*) => {
                [$(output_gradient_1d::<S, OUT>(s, [pixel!(0, $j), pixel!(1, $j), pixel!(2, $j), pixel!(3, $j)])),*]
            };
        }
        let columns = columns!(0 1 2 3);
        for i in 0..IN {
            let row = [columns[0][i], columns[1][i], columns[2][i], columns[3][i]];
            for (j, value) in output_gradient_1d::<S, OUT>(s, row).into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { to.store::<S, FORM, WHOLE>(s, i * IN + j, value) };
            }
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd, const WHOLE: bool>(
        s: S,
        from: *const f32,
        apart: usize,
        c: usize,
        many: usize,
        (to, row, pixel): (*mut f32, usize, usize),
        (high, wide): (usize, usize),
        add: bool,
    ) {
        macro_rules! column {
            ($($at:expr),*) => {
                // SAFETY: the caller's promise.
                output_1d::<S, OUT>(s, [$(unsafe { load_at::<S, WHOLE>(s, from.add($at * apart + c), many - c) }),*])
            };
        }
        macro_rules! columns {
            ($($j:literal)*) => {
                [$(column!($j, IN + $j, 2 * IN + $j, 3 * IN + $j, 4 * IN + $j, 5 * IN + $j)),*]
            };
        }
        let columns = columns!(0 1 2 3 4 5);
        for i in 0..OUT {
            let of =
                [columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]];
            let values = output_1d::<S, OUT>(s, of);
            if i < high {
                for (j, value) in values.into_iter().enumerate().take(OUT) {
                    if j < wide {
                        // SAFETY: the caller's promise.
                        unsafe { put::<S, WHOLE>(s, to.add(i * row + j * pixel + c), many - c, value, add) };
                    }
                }
            }
        }
    }

    fn weights<const FORM: Form>(weights: &[f32], c: usize, o: usize, to: &mut [f32]) {
        let steps = elements(FORM, c);
        if steps * 2 > c && FORM != PLAIN {
            // The last channel's pairs have no second one.
            (0..POINTS).for_each(|point| to[(point * steps + steps - 1) * o..][..o].fill(0.0));
        }
        let places = Shared(to.as_mut_ptr());
        let arch = arch();
        threads::each(c, |channel| {
            arch.dispatch(
                #[inline(always)]
                || {
                    let mut half = vec![[0.0f32; K]; IN * o];
                    let g = |i: usize, j: usize| &weights[((i * K + j) * c + channel) * o..][..o];
                    for j in 0..K {
                        let rows: [&[f32]; K] = std::array::from_fn(|i| g(i, j));
                        for k in 0..o {
                            for (i, value) in weights_1d(rows.map(|row| row[k])).into_iter().enumerate() {
                                half[i * o + k][j] = value;
                            }
                        }
                    }
                    for i in 0..IN {
                        for k in 0..o {
                            for (j, value) in weights_1d(half[i * o + k]).into_iter().enumerate() {
                                let at = places.at(((i * IN + j) * steps
                                    + if FORM == PLAIN { channel } else { channel / 2 })
                                    * o
                                    + k);
                                // SAFETY: inside `to`; each thread has channels, and their halves of pairs, of its own.
                                unsafe {
                                    match FORM {
                                        PLAIN => *at = value,
                                        _ => *at.cast::<u16>().add(channel % 2) = bf16::round(value),
                                    }
                                }
                            }
                        }
                    }
                },
            );
        });
    }

    fn weight_gradient(transformed: &[f32], c: usize, o: usize, dw: &mut [f32]) {
        let places = Shared(dw.as_mut_ptr());
        let arch = arch();
        threads::each(c, |channel| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for k in 0..o {
                        let at = |i: usize, j: usize| transformed[((i * IN + j) * c + channel) * o + k];
                        let half: [[f32; K]; IN] =
                            std::array::from_fn(|i| weight_gradient_1d(std::array::from_fn(|j| at(i, j))));
                        for j in 0..K {
                            let column: [f32; K] = weight_gradient_1d(std::array::from_fn(|i| half[i][j]));
                            for (i, value) in column.into_iter().enumerate() {
                                // SAFETY: inside `dw`; each thread has channels of its own.
                                unsafe { *places.at(((i * K + j) * c + channel) * o + k) += value };
                            }
                        }
                    }
                },
            );
        });
    }
}

const fn is_inside(row: usize, column: usize, side: usize) -> bool {
    row < side && column < side
}

/// Interpolation points beside 0 and infinity are these two and their negatives. The usual 1 and 2 have twice
/// the rounding error; squares and products of these are exact, too.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
const P4: f32 = P2 * P2;
const Q4: f32 = Q2 * Q2;

#[inline(always)]
pub(in crate::ops) fn input_1d<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let k = |v: f32| s.splat_f32s(v);
    let (even_p, odd_p) = (s.mul_add_f32s(k(-Q2), d[2], d[4]), s.mul_add_f32s(k(-Q2), d[1], d[3]));
    let (even_q, odd_q) = (s.mul_add_f32s(k(-P2), d[2], d[4]), s.mul_add_f32s(k(-P2), d[1], d[3]));
    [
        s.mul_add_f32s(k(P2 * Q2), d[0], s.mul_add_f32s(k(-P2 - Q2), d[2], d[4])),
        s.mul_add_f32s(k(P), odd_p, even_p),
        s.mul_add_f32s(k(-P), odd_p, even_p),
        s.mul_add_f32s(k(Q), odd_q, even_q),
        s.mul_add_f32s(k(-Q), odd_q, even_q),
        s.mul_add_f32s(k(P2 * Q2), d[1], s.mul_add_f32s(k(-P2 - Q2), d[3], d[5])),
    ]
}

/// The first `OUT` count.
#[inline(always)]
pub(in crate::ops) fn output_1d<S: Simd, const OUT: usize>(s: S, m: [S::f32s; 6]) -> [S::f32s; MOST] {
    let k = |v: f32| s.splat_f32s(v);
    let (even_p, odd_p) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
    let (even_q, odd_q) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
    if const { OUT == 2 } {
        let (none, odd) = (s.splat_f32s(0.0), s.mul_add_f32s(k(P), odd_p, m[5]));
        return [s.add_f32s(m[0], s.add_f32s(even_p, even_q)), s.mul_add_f32s(k(Q), odd_q, odd), none, none];
    }
    [
        s.add_f32s(m[0], s.add_f32s(even_p, even_q)),
        s.mul_add_f32s(k(Q), odd_q, s.mul_f32s(k(P), odd_p)),
        s.mul_add_f32s(k(Q2), even_q, s.mul_f32s(k(P2), even_p)),
        s.mul_add_f32s(k(Q * Q2), odd_q, s.mul_add_f32s(k(P * P2), odd_p, m[5])),
    ]
}

/// Of the first `OUT`.
#[inline(always)]
pub(in crate::ops) fn output_gradient_1d<S: Simd, const OUT: usize>(
    s: S,
    y: [S::f32s; MOST],
) -> [S::f32s; 6] {
    let k = |v: f32| s.splat_f32s(v);
    if const { OUT == 2 } {
        return [
            y[0],
            s.mul_add_f32s(k(P), y[1], y[0]),
            s.mul_add_f32s(k(-P), y[1], y[0]),
            s.mul_add_f32s(k(Q), y[1], y[0]),
            s.mul_add_f32s(k(-Q), y[1], y[0]),
            y[1],
        ];
    }
    let (even_p, even_q) = (s.mul_add_f32s(k(P2), y[2], y[0]), s.mul_add_f32s(k(Q2), y[2], y[0]));
    let odd_p = s.mul_add_f32s(k(P * P2), y[3], s.mul_f32s(k(P), y[1]));
    let odd_q = s.mul_add_f32s(k(Q * Q2), y[3], s.mul_f32s(k(Q), y[1]));
    [
        y[0],
        s.add_f32s(even_p, odd_p),
        s.sub_f32s(even_p, odd_p),
        s.add_f32s(even_q, odd_q),
        s.sub_f32s(even_q, odd_q),
        y[3],
    ]
}

/// What the weights' transform divides by at 0, at plus or minus [`P`], and at plus or minus [`Q`]: the
/// product of a point's distances from the others.
const AT_0: f32 = P2 * Q2;
const AT_P: f32 = 2.0 * P2 * (P2 - Q2);
const AT_Q: f32 = 2.0 * Q2 * (Q2 - P2);

#[inline(always)]
pub(in crate::ops) fn weights_1d<const K: usize>(g: [f32; K]) -> [f32; 6] {
    let (mut even_p, mut odd_p) = (g[0] + P2 * g[2], P * g[1]);
    let (mut even_q, mut odd_q) = (g[0] + Q2 * g[2], Q * g[1]);
    if const { K == 5 } {
        (even_p, odd_p) = (even_p + P4 * g[K - 1], odd_p + P * P2 * g[K - 2]);
        (even_q, odd_q) = (even_q + Q4 * g[K - 1], odd_q + Q * Q2 * g[K - 2]);
    }
    let (even_p, odd_p, even_q, odd_q) = (even_p / AT_P, odd_p / AT_P, even_q / AT_Q, odd_q / AT_Q);
    [g[0] / AT_0, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, g[K - 1]]
}

#[inline(always)]
pub(in crate::ops) fn weight_gradient_1d<const K: usize>(u: [f32; 6]) -> [f32; K] {
    let (even_p, odd_p) = ((u[1] + u[2]) / AT_P, (u[1] - u[2]) / AT_P);
    let (even_q, odd_q) = ((u[3] + u[4]) / AT_Q, (u[3] - u[4]) / AT_Q);
    let mut g = [0.0; K];
    (g[0], g[1]) = (u[0] / AT_0 + even_p + even_q, P * odd_p + Q * odd_q);
    g[2] = P2 * even_p + Q2 * even_q;
    if const { K == 5 } {
        g[K - 2] = P * P2 * odd_p + Q * Q2 * odd_q;
        g[K - 1] = P4 * even_p + Q4 * even_q;
    }
    g[K - 1] += u[5];
    g
}
