//! The chunked loss over a large vocabulary.

use candle_core::{D, Tensor, Var};
use strefer_nn::ops::{CrossEntropy, composed, linear_cross_entropy};
use strefer_nn::testing::{assert_close, device, randn};

const IGNORE: i64 = -100;

fn labels(values: &[i64]) -> Tensor {
    Tensor::new(values, device()).unwrap()
}

/// The loss by way of all logits.
fn whole(
    hidden: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    kept: &[(u32, u32)],
) -> candle_core::Result<Tensor> {
    let logits = hidden.matmul(&weight.t()?)?.broadcast_add(bias)?;
    let logs = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
    let mut sum = Tensor::zeros((), logs.dtype(), logs.device())?;
    for &(row, label) in kept {
        sum = (sum - logs.get(row as usize)?.get(label as usize)?)?;
    }
    Ok(sum)
}

#[test]
fn the_chunked_loss_and_its_gradients_equal_the_whole_for_every_chunk_size() {
    let make = |seed, dims: &[usize]| Var::from_tensor(&randn(seed, dims)).unwrap();
    let (hidden, weight, bias) = (make(1, &[7, 6]), make(2, &[11, 6]), make(3, &[11]));
    let ids = labels(&[3, IGNORE, 10, 0, IGNORE, 3, 5]);
    let kept = [(0, 3), (2, 10), (3, 0), (5, 3), (6, 5)];
    let wanted = whole(&hidden, &weight, &bias, &kept).unwrap();
    let wanted_grads = wanted.backward().unwrap();
    for chunk in [1, 2, 3, 5, 100] {
        let CrossEntropy { sum: loss, count, each } =
            linear_cross_entropy(&hidden, &weight, Some(&bias), &ids, IGNORE, chunk).unwrap();
        assert_eq!(count, 5);
        assert_close(&loss, &wanted, 1e-6);
        for ((row, label), found) in kept.into_iter().zip(each.to_vec1::<f32>().unwrap()) {
            let alone = whole(&hidden, &weight, &bias, &[(row, label)]).unwrap();
            assert_close(&Tensor::new(found, device()).unwrap(), &alone, 1e-5);
        }
        let of = Tensor::new(&[3u32, 10, 0, 3, 5], device()).unwrap();
        let rows = Tensor::new(&[0u32, 2, 3, 5, 6], device()).unwrap();
        let rows = hidden.index_select(&rows, 0).unwrap();
        let (_, composed) = composed::linear_cross_entropy(&rows, &weight, Some(&bias), &of, chunk).unwrap();
        assert_close(&composed, &each, 1e-5);
        let grads = (loss * 0.25).unwrap().backward().unwrap();
        for var in [&hidden, &weight, &bias] {
            let wanted = (wanted_grads.get(var).unwrap() * 0.25).unwrap();
            assert_close(grads.get(var).unwrap(), &wanted, 1e-5);
        }
    }
}

#[test]
fn a_batch_without_labels_has_no_loss_and_no_gradient() {
    let hidden = Var::from_tensor(&randn(1, &[2, 4])).unwrap();
    let loss =
        linear_cross_entropy(&hidden, &randn(2, &[5, 4]), None, &labels(&[IGNORE; 2]), IGNORE, 8).unwrap();
    assert_eq!((loss.sum.to_scalar::<f32>().unwrap(), loss.count, loss.each.dims()), (0.0, 0, &[0][..]));
}

#[test]
fn a_label_outside_the_vocabulary_is_an_error() {
    let (hidden, weight) = (randn(1, &[2, 4]), randn(2, &[5, 4]));
    for bad in [5, -1] {
        let error = linear_cross_entropy(&hidden, &weight, None, &labels(&[0, bad]), IGNORE, 8).unwrap_err();
        assert!(error.to_string().contains("outside the vocabulary"), "{error}");
    }
}

#[test]
fn huge_logits_give_a_finite_loss() {
    let hidden = Var::from_tensor(&(randn(1, &[3, 4]) * 1e4).unwrap()).unwrap();
    let loss =
        linear_cross_entropy(&hidden, &randn(2, &[6, 4]), None, &labels(&[1, 2, 3]), IGNORE, 2).unwrap();
    assert!(loss.sum.to_scalar::<f32>().unwrap().is_finite());
}
