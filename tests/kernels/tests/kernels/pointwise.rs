//! Activations, and values in another type.

use candle_core::{DType, Result};
use strefer_core::Rng;
use strefer_kernel_tests::{Memory, Processor};
use strefer_nn::Dropout;
use strefer_nn::kernels::{self, Activation, Gated, GatedGrads, Runner, Values};
use strefer_nn::ops;

use super::compare::{FLOATS, assert_kernels, numbers, reference, rounded};

/// None, one, a pack with some beside it, several blocks.
const COUNTS: [usize; 8] = [0, 1, 7, 8, 33, 255, 2048, 5003];

#[test]
fn activations_and_their_gradients_equal_those_on_the_processor() {
    for dtype in FLOATS {
        for count in COUNTS {
            let (xs, grad) = (numbers(1, &[count], DType::F32), numbers(2, &[count], dtype));
            let xs = rounded(&(xs * 3.0).unwrap(), dtype);
            for function in [Activation::GeluErf, Activation::GeluTanh, Activation::Silu] {
                let what = format!("{function:?} of {count} in {dtype:?}");
                let wanted = reference(&[&xs], &grad, |v| match function {
                    Activation::GeluErf => ops::gelu_erf(&v[0]),
                    Activation::GeluTanh => ops::gelu_tanh(&v[0]),
                    Activation::Silu => ops::silu(&v[0]),
                });
                assert_kernels(&what, 1e-6, &wanted, |processor| {
                    let (mut xs, mut grad) = (processor.upload(&xs)?, processor.upload(&grad)?);
                    let (xs, grad) = (processor.values(&mut xs), processor.values(&mut grad));
                    let ys = kernels::activation(processor, function, xs)?;
                    Ok(vec![ys, kernels::activation_back(processor, function, xs, grad)?])
                });
            }
            let up = numbers(3, &[count], dtype);
            let wanted = reference(&[&xs, &up], &grad, |v| ops::swiglu(&v[0], &v[1]));
            assert_kernels(&format!("swiglu of {count} in {dtype:?}"), 1e-6, &wanted, |processor| {
                let mut all = [&xs, &up, &grad].map(|xs| processor.upload(xs).unwrap());
                let [gate, up, grad] = all.each_mut().map(|memory| processor.values(memory));
                swiglu(processor, Gated::Apart { gate, up }, grad)
            });
        }
    }
}

/// The values, then the gradients.
fn swiglu(processor: &Processor, gated: Gated, grad: Values) -> Result<Vec<Memory>> {
    let ys = kernels::swiglu(processor, gated)?;
    let grads = match kernels::swiglu_back(processor, gated, grad)? {
        GatedGrads::Apart(grads) => Vec::from(grads),
        GatedGrads::Joined(grad) => vec![grad],
    };
    Ok(std::iter::once(ys).chain(grads).collect())
}

#[test]
fn gates_are_read_from_the_halves_of_rows() {
    for dtype in FLOATS {
        for (rows, width) in [(0, 8), (1, 1), (3, 7), (1, 8), (5, 32), (9, 40), (2, 1000), (3, 1032)] {
            let what = format!("{rows} rows of two halves of {width} in {dtype:?}");
            let (both, grad) = (numbers(1, &[rows, 2 * width], dtype), numbers(2, &[rows, width], dtype));
            let wanted = if rows == 0 {
                vec![both.flatten_all().unwrap(), both.flatten_all().unwrap()]
            } else {
                reference(&[&both], &grad, |v| ops::swiglu_joined(&v[0]))
            };
            assert_kernels(&what, 1e-6, &wanted, |processor| {
                let mut all = [&both, &grad].map(|xs| processor.upload(xs).unwrap());
                let [both, grad] = all.each_mut().map(|memory| processor.values(memory));
                swiglu(processor, Gated::Joined { both, width }, grad)
            });
        }
    }
    let processor = Processor::default();
    let mut odd = processor.upload(&numbers(1, &[9], DType::F32)).unwrap();
    let both = processor.values(&mut odd);
    assert!(kernels::swiglu(&processor, Gated::Joined { both, width: 2 }).is_err());
}

#[test]
fn values_times_a_number_are_rounded_once_to_the_other_type() {
    for from in FLOATS {
        for to in FLOATS {
            for count in COUNTS {
                let xs = numbers(1, &[count], from);
                let wanted = (xs.to_dtype(DType::F32).unwrap() * f64::from(0.3f32)).unwrap();
                let wanted = wanted.to_dtype(to).unwrap();
                assert_kernels(&format!("{count} from {from:?} to {to:?}"), 0.0, &[wanted], |processor| {
                    let mut xs = processor.upload(&xs)?;
                    Ok(vec![kernels::scale(processor, processor.values(&mut xs), to, 0.3)?])
                });
            }
        }
    }
}

#[test]
fn what_is_dropped_is_what_the_processor_drops() {
    for dtype in FLOATS {
        for count in COUNTS {
            for probability in [0.05, 0.5, 0.9] {
                let (xs, rng) = (numbers(1, &[count], dtype), Rng::new(7, "dropout"));
                let dropout = Dropout::new(probability);
                dropout.begin(Some(rng.clone()));
                let wanted = dropout.forward(&xs).unwrap();
                let what = format!("{probability} of {count} in {dtype:?}");
                assert_kernels(&what, 0.0, &[wanted], |processor| {
                    let mut xs = processor.upload(&xs)?;
                    let rng = rng.named("");
                    Ok(vec![kernels::dropout(processor, processor.values(&mut xs), &rng, probability)?])
                });
            }
        }
    }
}
