//! Sums of the squares of gradients.

use candle_core::{Device, Tensor};
use strefer_nn::kernels::{self, Runner, Squares};

use super::compare::{FLOATS, assert_kernels, numbers};

#[test]
fn sums_of_squares_are_those_of_each_gradient() {
    let counts = [1, 7, 0, 40_001, 8, 4096, 16_384, 100_000, 0];
    for dtype in FLOATS {
        let grads: Vec<Tensor> =
            counts.iter().enumerate().map(|(at, count)| numbers(at as u64, &[*count], dtype)).collect();
        let sum = |grad: &Tensor| strefer_nn::testing::values(grad).iter().map(|x| x * x).sum::<f64>() as f32;
        let wanted = Tensor::new(grads.iter().map(sum).collect::<Vec<_>>(), &Device::Cpu).unwrap();
        assert_kernels(&format!("squares in {dtype:?}"), 1e-6, &[wanted], |processor| {
            let mut own =
                grads.iter().map(|grad| processor.upload(grad)).collect::<candle_core::Result<Vec<_>>>()?;
            let own: Vec<_> = own.iter_mut().map(|grad| processor.values(grad)).collect();
            let squares = Squares::new(&own)?;
            let mut list = processor.upload(&Tensor::new(squares.list(), &Device::Cpu)?)?;
            Ok(vec![kernels::squares(processor, &squares, processor.values(&mut list))?])
        });
    }
}
