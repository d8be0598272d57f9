//! Cross-entropy of rows of scores.

use candle_core::{DType, Device, Result, Tensor};
use strefer_nn::kernels::{self, Runner};

use super::compare::{FLOATS, ROWS, assert_kernels, numbers, rounded};

/// Losses, and the gradients of their sum, by the formula.
fn losses(scores: &Tensor, labels: &[u32]) -> Result<[Tensor; 2]> {
    let scores = scores.to_dtype(DType::F64)?;
    let labels = Tensor::from_slice(labels, (labels.len(), 1), &Device::Cpu)?;
    let shifted = scores.broadcast_sub(&scores.max_keepdim(1)?)?;
    let exps = shifted.exp()?;
    let sums = exps.sum_keepdim(1)?;
    let each = (sums.log()? - shifted.gather(&labels, 1)?)?;
    let ones = Tensor::ones(labels.shape(), DType::F64, &Device::Cpu)?;
    let target = exps.zeros_like()?.scatter_add(&labels, &ones, 1)?;
    Ok([each, (exps.broadcast_div(&sums)? - target)?])
}

#[test]
fn losses_and_gradients_of_scores_are_those_of_the_formula() {
    for dtype in FLOATS {
        for (rows, v) in ROWS.into_iter().filter(|(rows, _)| *rows > 0) {
            let scores = (numbers(1, &[rows, v], DType::F32) * 4.0).unwrap();
            let scores = rounded(&scores, dtype);
            let labels: Vec<u32> = (0..rows).map(|row| ((row * 13 + v / 2) % v) as u32).collect();
            let [each, grads] = losses(&scores, &labels).unwrap();
            let given = Tensor::new(&labels[..], &Device::Cpu).unwrap();
            let what = format!("{rows} rows of {v} in {dtype:?}");
            assert_kernels(&what, 2e-6, &[each.clone(), grads], |processor| {
                let (mut scores, mut labels) = (processor.upload(&scores)?, processor.upload(&given)?);
                let (of_scores, labels) = (processor.values(&mut scores), processor.values(&mut labels));
                let each = kernels::cross_entropy(processor, of_scores, labels, true)?;
                Ok(vec![each, scores])
            });
            // Without gradients the scores stay.
            assert_kernels(&what, 2e-6, &[each, scores.clone()], |processor| {
                let (mut held, mut labels) = (processor.upload(&scores)?, processor.upload(&given)?);
                let (of_scores, labels) = (processor.values(&mut held), processor.values(&mut labels));
                let each = kernels::cross_entropy(processor, of_scores, labels, false)?;
                Ok(vec![each, held])
            });
        }
    }
}

#[test]
fn scores_of_minus_infinity_count_nothing() {
    for v in [40, 3000] {
        let mut scores = numbers(1, &[2, v], DType::F32).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Whole threads see nothing else.
        scores[..v - 3].fill(f32::NEG_INFINITY);
        let scores = Tensor::from_vec(scores, (2, v), &Device::Cpu).unwrap();
        let labels = [v as u32 - 1, 0];
        let [each, grads] = losses(&scores, &labels).unwrap();
        assert_kernels("hidden scores", 2e-6, &[each, grads], |processor| {
            let given = Tensor::new(&labels, &Device::Cpu)?;
            let (mut scores, mut labels) = (processor.upload(&scores)?, processor.upload(&given)?);
            let (of_scores, labels) = (processor.values(&mut scores), processor.values(&mut labels));
            let each = kernels::cross_entropy(processor, of_scores, labels, true)?;
            Ok(vec![each, scores])
        });
    }
}
