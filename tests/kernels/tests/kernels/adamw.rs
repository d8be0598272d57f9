//! The optimiser's update.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, Var};
use strefer_nn::kernels::{self, AdamUpdate, Runner};
use strefer_nn::optim::{AdamW, AdamWConfig, Gradients};

use super::compare::{assert_kernels, numbers, rounded};

const STEPS: usize = 3;
const RATE: f64 = 0.02;

/// Weights and moments after some steps of the optimiser on the processor.
fn stepped(start: &Tensor, grads: &[Tensor], cfg: AdamWConfig) -> Result<[Tensor; 3]> {
    let var = Var::from_tensor(start)?;
    let vars = BTreeMap::from([("w".to_string(), var.clone())]);
    let mut optimiser = AdamW::new(&vars, cfg, &[])?;
    for grad in grads {
        let loss = (var.as_tensor() * grad.to_dtype(DType::F32)?)?.sum_all()?;
        optimiser.step(&Gradients::collect(&vars, &loss.backward()?), RATE)?;
    }
    let state = optimiser.state_dict()?;
    Ok([var.as_detached_tensor(), state["w.exp_avg"].clone(), state["w.exp_avg_sq"].clone()])
}

#[test]
fn updates_equal_those_on_the_processor() {
    let cfg = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let types = [
        (DType::F32, DType::F32),
        (DType::BF16, DType::BF16),
        (DType::BF16, DType::F32),
        (DType::F16, DType::F16),
        (DType::F16, DType::F32),
    ];
    for (weights, of_grads) in types {
        for count in [1, 7, 8, 31, 2048, 4099] {
            let what = format!("{count} weights in {weights:?} by gradients in {of_grads:?}");
            let start = numbers(1, &[count], DType::F32);
            let grads: Vec<Tensor> =
                (0..STEPS).map(|step| numbers(2 + step as u64, &[count], of_grads)).collect();
            let [moved, first, second] = stepped(&start, &grads, cfg).unwrap();
            let mut wanted = vec![moved.clone(), first, second];
            let narrow = weights != DType::F32;
            if narrow {
                wanted.push(moved);
            }
            assert_kernels(&what, 1e-6, &wanted, |processor| {
                let zeros = Tensor::zeros(count, DType::F32, start.device())?;
                let mut master = processor.upload(&start)?;
                let (mut first, mut second) = (processor.upload(&zeros)?, processor.upload(&zeros)?);
                let mut weight = processor.upload(&rounded(&start, weights))?;
                for (step, grad) in grads.iter().enumerate() {
                    let mut grad = processor.upload(grad)?;
                    let exponent = step as i32 + 1;
                    let update = AdamUpdate {
                        beta1: cfg.beta1 as f32,
                        beta2: cfg.beta2 as f32,
                        eps: cfg.eps as f32,
                        keep: (1.0 - RATE * cfg.weight_decay) as f32,
                        rate: (RATE / (1.0 - cfg.beta1.powi(exponent))) as f32,
                        second_scale: (1.0 / (1.0 - cfg.beta2.powi(exponent)).sqrt()) as f32,
                    };
                    let weight = narrow.then(|| processor.values(&mut weight));
                    let moments = [&mut first, &mut second].map(|moment| processor.values(moment));
                    let (master, grad) = (processor.values(&mut master), processor.values(&mut grad));
                    kernels::adamw(processor, master, weight, grad, moments, update)?;
                }
                let mut all = vec![master, first, second];
                if narrow {
                    all.push(weight);
                }
                Ok(all)
            });
        }
    }
}
