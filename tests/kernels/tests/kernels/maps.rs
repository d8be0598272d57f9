//! Depthwise convolution.

use candle_core::{DType, Result, Tensor};
use strefer_nn::kernels::{self, Maps, Runner};
use strefer_nn::ops;

use super::compare::{FLOATS, assert_kernels, numbers, reference};

#[test]
fn filters_over_maps_and_their_gradients_equal_those_on_the_processor() {
    let cases = [[1, 1, 1, 1, 1], [2, 5, 4, 3, 3], [1, 9, 2, 16, 7], [3, 6, 7, 40, 3], [1, 40, 33, 8, 3]];
    for dtype in FLOATS {
        for [batch, h, w, c, k] in cases {
            let maps = Maps { batch, h, w, c, k };
            let (xs, grad) = (numbers(1, &[batch, h, w, c], dtype), numbers(2, &[batch, h, w, c], dtype));
            let weight = numbers(3, &[c, 1, k, k], dtype);
            let by_taps =
                |weight: &Tensor| -> Result<Tensor> { weight.reshape((c, k * k))?.t()?.contiguous() };
            let wanted = reference(&[&xs, &weight], &grad, |v| ops::depthwise(&v[0], &v[1]));
            let [ys, of_maps, of_filters] =
                [&wanted[0], &wanted[1], &by_taps(&wanted[2]).unwrap()].map(Tensor::clone);
            assert_kernels(
                &format!("{maps:?} in {dtype:?}"),
                2e-6,
                &[ys, of_maps, of_filters],
                |processor| {
                    let tensors = [&xs, &grad, &by_taps(&weight)?];
                    let mut all = tensors.map(|xs| processor.upload(xs).unwrap());
                    let [xs, grad, filters] = all.each_mut().map(|memory| processor.values(memory));
                    Ok(vec![
                        kernels::depthwise(processor, xs, filters, false, maps)?,
                        kernels::depthwise(processor, grad, filters, true, maps)?,
                        kernels::depthwise_back(processor, xs, grad, maps)?,
                    ])
                },
            );
        }
    }
}

#[test]
fn filters_without_a_middle_are_refused() {
    let processor = strefer_kernel_tests::Processor::default();
    let mut all =
        [[1, 2, 2, 1], [4, 1, 1, 1]].map(|dims| processor.upload(&numbers(1, &dims, DType::F32)).unwrap());
    let [xs, filters] = all.each_mut().map(|memory| processor.values(memory));
    let maps = Maps { batch: 1, h: 2, w: 2, c: 1, k: 2 };
    let said = kernels::depthwise(&processor, xs, filters, false, maps).unwrap_err().to_string();
    assert!(said.contains("side 2"), "{said}");
}
