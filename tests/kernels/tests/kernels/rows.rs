//! Norms and softmax.

use candle_core::{DType, Device, Result, Tensor};
use strefer_kernel_tests::Processor;
use strefer_nn::kernels::{self, Norm, Runner};
use strefer_nn::ops;

use super::compare::{FLOATS, ROWS, assert_kernels, assert_near, numbers, reference, rounded};

fn assert_norm(norm: Norm, rows: usize, d: usize, dtype: DType, bias: bool) {
    let what = format!("{norm:?} of {rows} rows of {d} in {dtype:?}, bias {bias}");
    let (xs, grad) = (numbers(1, &[rows, d], dtype), numbers(2, &[rows, d], dtype));
    let parameters = [numbers(3, &[d], dtype), numbers(4, &[d], dtype)];
    let eps = 1e-5;
    let wanted = match (norm, bias) {
        (Norm::Rms, _) => reference(&[&xs, &parameters[0]], &grad, |v| ops::rms_norm(&v[0], &v[1], eps)),
        (Norm::Layer, false) => {
            reference(&[&xs, &parameters[0]], &grad, |v| ops::layer_norm(&v[0], &v[1], None, eps))
        }
        (Norm::Layer, true) => reference(&[&xs, &parameters[0], &parameters[1]], &grad, |v| {
            ops::layer_norm(&v[0], &v[1], Some(&v[2]), eps)
        }),
    };
    assert_kernels(&what, 1e-5, &wanted, |processor| {
        let mut all = [&xs, &parameters[0], &parameters[1], &grad].map(|xs| processor.upload(xs).unwrap());
        let [x, w, b, g] = all.each_mut().map(|memory| processor.values(memory));
        let ys = kernels::norm(processor, norm, x, w, bias.then_some(b), eps as f32)?;
        let grads = kernels::norm_back(processor, norm, x, w, g, [true, true, bias], eps as f32)?;
        let grads = [grads.input, grads.weight, grads.bias].into_iter().flatten();
        Ok(std::iter::once(ys).chain(grads).collect())
    });
}

#[test]
fn norms_and_their_gradients_equal_those_on_the_processor() {
    for dtype in FLOATS {
        for (rows, d) in ROWS {
            if rows == 0 {
                continue;
            }
            assert_norm(Norm::Rms, rows, d, dtype, false);
            assert_norm(Norm::Layer, rows, d, dtype, true);
        }
        assert_norm(Norm::Layer, 9, 40, dtype, false);
        // More rows than a part of the weight's gradient has at least; then more than such parts.
        assert_norm(Norm::Layer, 700, 8, dtype, true);
    }
    assert_norm(Norm::Rms, 9000, 2, DType::F32, false);
}

#[test]
fn a_sum_and_its_norm_come_together() {
    for dtype in FLOATS {
        for (rows, d) in ROWS {
            let what = format!("a sum of {rows} rows of {d} in {dtype:?}");
            let (xs, added) = (numbers(1, &[rows, d], dtype), numbers(2, &[rows, d], dtype));
            let weight = numbers(3, &[d], dtype);
            let wide = |xs: &Tensor| xs.to_dtype(DType::F32).unwrap();
            let sum = rounded(&(wide(&xs) + wide(&added)).unwrap(), dtype);
            let wanted = [wide(&sum), ops::rms_norm(&wide(&sum), &wide(&weight), 1e-5).unwrap()];
            assert_kernels(&what, 1e-6, &wanted, |processor| {
                let mut all = [&xs, &added, &weight].map(|xs| processor.upload(xs).unwrap());
                let [xs, added, weight] = all.each_mut().map(|memory| processor.values(memory));
                Ok(kernels::sum_norm(processor, [xs, added], weight, 1e-5)?.into())
            });
        }
    }
}

#[test]
fn norms_of_no_rows_are_empty_and_their_weights_gradients_zero() {
    let processor = Processor::default();
    let mut all = [&[0usize, 16][..], &[16], &[16], &[0, 16]]
        .map(|dims| processor.upload(&numbers(1, dims, DType::F32)).unwrap());
    let [x, w, b, g] = all.each_mut().map(|memory| processor.values(memory));
    let ys = kernels::norm(&processor, Norm::Layer, x, w, Some(b), 1e-5).unwrap();
    assert_eq!(processor.download(&ys).unwrap().elem_count(), 0);
    let grads = kernels::norm_back(&processor, Norm::Layer, x, w, g, [true; 3], 1e-5).unwrap();
    for grad in [grads.weight.unwrap(), grads.bias.unwrap()] {
        assert_eq!(processor.download(&grad).unwrap().to_vec1::<f32>().unwrap(), [0.0; 16]);
    }
}

#[test]
fn only_the_gradients_that_are_wanted_are_made() {
    let processor = Processor::default();
    let mut all = [&[3usize, 20][..], &[20], &[3, 20]]
        .map(|dims| processor.upload(&numbers(1, dims, DType::F32)).unwrap());
    let [x, w, g] = all.each_mut().map(|memory| processor.values(memory));
    for wanted in [[false, true, false], [true, false, false], [false, false, true], [false; 3]] {
        let grads = kernels::norm_back(&processor, Norm::Rms, x, w, g, wanted, 1e-5).unwrap();
        assert_eq!([grads.input.is_some(), grads.weight.is_some(), grads.bias.is_some()], wanted);
    }
}

#[test]
fn softmax_and_its_gradient_equal_those_on_the_processor() {
    for dtype in FLOATS {
        for (rows, d) in ROWS.into_iter().filter(|(rows, _)| *rows > 0) {
            let what = format!("softmax of {rows} rows of {d} in {dtype:?}");
            let (xs, grad) = (numbers(1, &[rows, d], dtype), numbers(2, &[rows, d], dtype));
            let wide = (xs.to_dtype(DType::F32).unwrap() * 3.0).unwrap().to_dtype(dtype).unwrap();
            let wanted = reference(&[&wide], &grad, |v| ops::softmax_last(&v[0]));
            // The backward reads the forward's rounded result, so it is compared on its own.
            assert_kernels(&what, 2e-6, &wanted[..1], |processor| {
                let mut xs = processor.upload(&wide)?;
                Ok(vec![kernels::softmax(processor, processor.values(&mut xs), d)?])
            });
            let ys = wanted[0].to_dtype(dtype).unwrap();
            assert_kernels(&what, 2e-6, &[back(&ys, &grad).unwrap()], |processor| {
                let (mut ys, mut grad) = (processor.upload(&ys)?, processor.upload(&grad)?);
                let (ys, grad) = (processor.values(&mut ys), processor.values(&mut grad));
                Ok(vec![kernels::softmax_back(processor, ys, grad, d)?])
            });
            if dtype == DType::F32 {
                assert_near(&what, &back(&wanted[0], &grad).unwrap(), &wanted[1], 2e-6);
            }
        }
    }
}

/// The gradient of softmax by its formula.
fn back(ys: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (ys, grad) = (ys.to_dtype(DType::F64)?, grad.to_dtype(DType::F64)?);
    let mean = (&ys * &grad)?.sum_keepdim(1)?;
    ys * grad.broadcast_sub(&mean)?
}

#[test]
fn rows_that_are_hidden_or_no_numbers_are_those_of_the_processor() {
    let hidden = f32::NEG_INFINITY;
    for d in [5, 700] {
        let mut scores = vec![0.5f32; 4 * d];
        scores[..d].fill(hidden);
        scores[d..2 * d].fill(hidden);
        scores[d + 3] = f32::NAN;
        scores[2 * d..2 * d + 4].fill(hidden);
        scores[3 * d + 1] = f32::NAN;
        let xs = Tensor::from_vec(scores, (4, d), &Device::Cpu).unwrap();
        let wanted = ops::softmax_last(&xs).unwrap();
        assert_kernels("hidden scores", 1e-6, &[wanted], |processor| {
            let mut xs = processor.upload(&xs)?;
            Ok(vec![kernels::softmax(processor, processor.values(&mut xs), d)?])
        });
    }
}
