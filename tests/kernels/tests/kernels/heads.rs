//! Rotary embedding and deformable attention.

use candle_core::{DType, Device, Result, Tensor};
use strefer_nn::kernels::{self, Deformable, Runner, Turn};
use strefer_nn::ops;

use super::compare::{FLOATS, assert_kernels, numbers, reference, rounded};

/// Batch, heads, positions, width of a head.
const HEADS: [(usize, usize, usize, usize); 7] = [
    (1, 1, 1, 2),
    (2, 3, 5, 6),
    (1, 2, 9, 16),
    (2, 1, 7, 64),
    (3, 4, 3, 32),
    (1, 14, 2, 130),
    (2, 2, 40, 96),
];

#[test]
fn rotations_and_their_gradients_equal_those_on_the_processor_in_both_layouts() {
    for dtype in FLOATS {
        for (at, (batch, heads, positions, hd)) in HEADS.into_iter().enumerate() {
            let own_tables = at % 2 == 1;
            let tables_in = if at % 3 == 0 { DType::F32 } else { dtype };
            // Tables of a whole head repeat their half.
            let half = numbers(3, &[if own_tables { batch } else { 1 }, positions, hd / 2], DType::F32);
            let angles = if at % 2 == 0 { half } else { Tensor::cat(&[&half, &half], 2).unwrap() };
            let table = |values: Tensor| rounded(&values, tables_in);
            let (cos, sin) = (table(angles.cos().unwrap()), table(angles.sin().unwrap()));
            let wide = |table: &Tensor| table.to_dtype(DType::F32).unwrap();
            let (wide_cos, wide_sin) = (wide(&cos), wide(&sin));
            let shape = [batch, heads, positions, hd];
            let (xs, grad) = (numbers(1, &shape, dtype), numbers(2, &shape, dtype));
            let wanted = reference(&[&xs], &grad, |v| ops::rotary(&v[0], &wide_cos, &wide_sin));
            for heads_first in [true, false] {
                let lay = |xs: &Tensor| -> Result<Tensor> {
                    if heads_first { Ok(xs.clone()) } else { xs.transpose(1, 2)?.contiguous() }
                };
                let what = format!("{shape:?} in {dtype:?} by {tables_in:?}, heads first {heads_first}");
                let wanted: Vec<Tensor> = wanted.iter().map(|xs| lay(xs).unwrap()).collect();
                assert_kernels(&what, 1e-6, &wanted, |processor| {
                    let mut all = [lay(&xs)?, lay(&grad)?, cos.clone(), sin.clone()]
                        .map(|xs| processor.upload(&xs).unwrap());
                    let [xs, grad, cos, sin] = all.each_mut().map(|memory| processor.values(memory));
                    let entries = angles.dim(2)?;
                    let turn =
                        Turn { batch, heads, positions, hd, heads_first, entries, own_tables, back: false };
                    let ys = kernels::rotary(processor, xs, cos, sin, turn)?;
                    let back = Turn { back: true, ..turn };
                    Ok(vec![ys, kernels::rotary(processor, grad, cos, sin, back)?])
                });
            }
        }
    }
}

/// Height and width of maps.
type Sizes = [(usize, usize)];

/// What each query reads, number by number.
fn read(
    values: &Tensor,
    sizes: &Sizes,
    places: &Tensor,
    weights: &Tensor,
    shape: Deformable,
) -> Result<Tensor> {
    let Deformable { batch, queries, cells, heads, hd, points, .. } = shape;
    let flat = |xs: &Tensor| xs.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (values, places, weights) = (flat(values)?, flat(places)?, flat(weights)?);
    let mut out = vec![0f64; batch * queries * heads * hd];
    for place in 0..batch * queries * heads {
        let (row, head) = (place / heads, place % heads);
        let (mut start, mut point) = (0, place * sizes.len() * points);
        for &(h, w) in sizes {
            for _ in 0..points {
                // As f32, so that a place falls on the same side of a map's edge.
                let (x, y) = (
                    places[2 * point] as f32 * w as f32 - 0.5,
                    places[2 * point + 1] as f32 * h as f32 - 0.5,
                );
                let (x, y) = (f64::from(x), f64::from(y));
                for (line, column) in
                    (0..h).flat_map(|line| (0..w).map(move |column| (line as f64, column as f64)))
                {
                    // A tent of one cell to each side.
                    let share = (1.0 - (x - column).abs()).max(0.0) * (1.0 - (y - line).abs()).max(0.0);
                    let cell = row / queries * cells + start + line as usize * w + column as usize;
                    for channel in 0..hd {
                        out[place * hd + channel] +=
                            share * weights[point] * values[(cell * heads + head) * hd + channel];
                    }
                }
                point += 1;
            }
            start += h * w;
        }
    }
    Tensor::from_vec(out, batch * queries * heads * hd, &Device::Cpu)
}

#[test]
fn deformable_attention_reads_what_its_formula_says_outside_of_maps_too() {
    let cases: [(&Sizes, [usize; 5]); 4] = [
        (&[(1, 1)], [1, 1, 1, 1, 1]),
        (&[(3, 4), (2, 2)], [2, 7, 3, 5, 4]),
        (&[(5, 3), (1, 6), (2, 1)], [1, 9, 2, 32, 2]),
        (&[(4, 4)], [3, 11, 4, 8, 3]),
    ];
    for dtype in FLOATS {
        for (sizes, [batch, queries, heads, hd, points]) in cases {
            let cells = sizes.iter().map(|(h, w)| h * w).sum();
            let levels = sizes.len();
            let shape = Deformable { batch, queries, cells, heads, hd, levels, points };
            let values = numbers(1, &[batch, cells, heads, hd], dtype);
            let chosen = [batch, queries, heads, levels, points];
            let places = numbers(2, &[&chosen[..], &[2]].concat(), DType::F32);
            let places = ((places * 0.6).unwrap() + 0.5).unwrap();
            let weights = numbers(3, &chosen, DType::F32);
            let wanted = read(&values, sizes, &places, &weights, shape).unwrap();
            let of_maps: Vec<u32> = sizes.iter().flat_map(|&(h, w)| [h as u32, w as u32]).collect();
            let of_maps = Tensor::new(of_maps, &Device::Cpu).unwrap();
            assert_kernels(&format!("{shape:?} in {dtype:?}"), 3e-6, &[wanted], |processor| {
                let mut all = [&values, &of_maps, &places, &weights].map(|xs| processor.upload(xs).unwrap());
                let [values, sizes, places, weights] = all.each_mut().map(|memory| processor.values(memory));
                Ok(vec![kernels::deformable(processor, values, sizes, places, weights, shape)?])
            });
        }
    }
}

#[test]
fn places_far_outside_read_nothing() {
    let values = numbers(1, &[1, 4, 1, 4], DType::F32);
    let far = [1e30f32, 0.5, -1e30, 0.5, f32::NAN, 0.5, f32::INFINITY, f32::NEG_INFINITY];
    let places = Tensor::from_slice(&far, (1, 1, 1, 1, 4, 2), &Device::Cpu).unwrap();
    let weights = Tensor::ones((1, 1, 1, 1, 4), DType::F32, &Device::Cpu).unwrap();
    let sizes = Tensor::new(&[2u32, 2], &Device::Cpu).unwrap();
    let shape = Deformable { batch: 1, queries: 1, cells: 4, heads: 1, hd: 4, levels: 1, points: 4 };
    let nothing = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
    assert_kernels("far places", 0.0, &[nothing], |processor| {
        let mut all = [&values, &sizes, &places, &weights].map(|xs| processor.upload(xs).unwrap());
        let [values, sizes, places, weights] = all.each_mut().map(|memory| processor.values(memory));
        Ok(vec![kernels::deformable(processor, values, sizes, places, weights, shape)?])
    });
}
