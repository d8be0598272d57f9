//! The optimiser's update.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use strefer_kernel_tests::{Memory, Processor};
use strefer_nn::kernels::{
    self, AdamMoments, AdamParameter, AdamRates, AdamStep, AdamUpdate, Runner, SCALED,
};
use strefer_nn::optim::{AdamW, AdamWConfig, Gradients, MomentType, code_values};

use super::compare::{assert_kernels, numbers, rounded};

const STEPS: usize = 3;
const RATE: f64 = 0.02;
const FACTOR: f64 = 0.25;

/// Sizes of parameters that share a launch: fewer than a pack, crooked ones, more than a chunk, none.
const COUNTS: [usize; 8] = [1, 7, 8, 31, 2048, 0, 40_001, 4099];

/// Weights and moments of one parameter after some steps of the optimiser on the processor.
fn stepped(start: &Tensor, grads: &[Tensor], cfg: AdamWConfig) -> Result<BTreeMap<String, Tensor>> {
    let var = Var::from_tensor(start)?;
    let vars = BTreeMap::from([("w".to_string(), var.clone())]);
    let mut optimiser = AdamW::new(&vars, cfg, &[])?;
    for grad in grads {
        let mut gradients = Gradients::default();
        gradients.insert("w", grad.to_dtype(DType::F32)?);
        optimiser.step_scaled(&gradients, RATE, FACTOR)?;
    }
    let mut found = optimiser.state_dict()?;
    found.insert("w".into(), var.as_detached_tensor());
    Ok(found)
}

/// What a parameter has in a runner's memory.
struct Own {
    master: Memory,
    weight: Memory,
    moments: [Memory; 2],
    scales: [Memory; 2],
}

impl Own {
    fn new(processor: &Processor, start: &Tensor, weights: DType, eight: bool) -> Result<Self> {
        let count = start.elem_count();
        let moment = |codes: u8| match eight {
            true => processor.upload(&Tensor::full(codes, count, &Device::Cpu)?),
            false => processor.upload(&Tensor::zeros(count, DType::F32, &Device::Cpu)?),
        };
        let zero = |from: usize| code_values()[from..][..256].iter().position(|x| *x == 0.0).unwrap() as u8;
        let scales = || processor.upload(&Tensor::zeros(count.div_ceil(SCALED), DType::F32, &Device::Cpu)?);
        Ok(Self {
            master: processor.upload(start)?,
            weight: processor.upload(&rounded(start, weights))?,
            moments: [moment(zero(0))?, moment(zero(256))?],
            scales: [scales()?, scales()?],
        })
    }
}

/// Runs all parameters through some steps, one launch each.
fn by_kernels(
    processor: &Processor,
    starts: &[Tensor],
    grads: &[Vec<Tensor>],
    weights: DType,
    cfg: AdamWConfig,
) -> Result<Vec<Own>> {
    let eight = cfg.moments == MomentType::EightBit;
    let mut all =
        starts.iter().map(|start| Own::new(processor, start, weights, eight)).collect::<Result<Vec<_>>>()?;
    for step in 0..STEPS {
        let mut of_step =
            grads.iter().map(|grads| processor.upload(&grads[step])).collect::<Result<Vec<_>>>()?;
        let exponent = step as i32 + 1;
        let rates = AdamRates {
            keep: (1.0 - RATE * cfg.weight_decay) as f32,
            rate: (RATE / (1.0 - cfg.beta1.powi(exponent))) as f32,
            second_scale: (1.0 / (1.0 - cfg.beta2.powi(exponent)).sqrt()) as f32,
        };
        let parameters: Vec<AdamParameter> = all
            .iter_mut()
            .zip(&mut of_step)
            .map(|(own, grad)| {
                let moments = own.moments.each_mut().map(|moment| processor.values(moment));
                let scales = own.scales.each_mut().map(|scales| processor.values(scales));
                AdamParameter {
                    master: processor.values(&mut own.master),
                    weight: (weights != DType::F32).then(|| processor.values(&mut own.weight)),
                    grad: processor.values(grad),
                    moments: match eight {
                        true => AdamMoments::Eight { codes: moments, scales },
                        false => AdamMoments::Wide(moments),
                    },
                    rates,
                }
            })
            .collect();
        let (beta1, beta2, eps) = (cfg.beta1 as f32, cfg.beta2 as f32, cfg.eps as f32);
        let step = AdamStep { factor: FACTOR as f32, beta1, beta2, eps };
        let update = AdamUpdate::new(step, &parameters, &code_values())?;
        let mut list = processor.upload(&Tensor::new(update.list(), &Device::Cpu)?)?;
        let mut numbers = processor.upload(&Tensor::new(update.numbers(), &Device::Cpu)?)?;
        let (list, numbers) = (processor.values(&mut list), processor.values(&mut numbers));
        kernels::adamw(processor, &update, list, numbers)?;
    }
    Ok(all)
}

/// Gradients of every parameter, a step each.
fn gradients(dtype: DType, counts: &[usize]) -> Vec<Vec<Tensor>> {
    let of = |(at, count): (usize, &usize)| {
        (0..STEPS).map(|step| numbers((10 * at + step) as u64, &[*count], dtype)).collect()
    };
    counts.iter().enumerate().map(of).collect()
}

fn starts(counts: &[usize]) -> Vec<Tensor> {
    counts.iter().enumerate().map(|(at, count)| numbers(500 + at as u64, &[*count], DType::F32)).collect()
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
    let starts = starts(&COUNTS);
    for (weights, of_grads) in types {
        let grads = gradients(of_grads, &COUNTS);
        let mut wanted = Vec::new();
        for (start, grads) in starts.iter().zip(&grads) {
            let found = stepped(start, grads, cfg).unwrap();
            wanted.extend([&found["w"], &found["w.exp_avg"], &found["w.exp_avg_sq"]].map(Tensor::clone));
            if weights != DType::F32 {
                wanted.push(found["w"].clone());
            }
        }
        let what = format!("weights in {weights:?} by gradients in {of_grads:?}");
        assert_kernels(&what, 1e-6, &wanted, |processor| {
            let all = by_kernels(processor, &starts, &grads, weights, cfg)?;
            let narrow = weights != DType::F32;
            let parts = |Own { master, weight, moments: [first, second], .. }| {
                [master, first, second].into_iter().chain(narrow.then_some(weight))
            };
            Ok(all.into_iter().flat_map(parts).collect())
        });
    }
}

#[test]
fn moments_in_eight_bits_are_those_of_the_processor() {
    let cfg = AdamWConfig { weight_decay: 0.1, moments: MomentType::EightBit, ..AdamWConfig::default() };
    // Fewer than 4096 numbers stay in f32 there.
    let counts = [4096, 40_001, 5003];
    let starts = starts(&counts);
    for (weights, of_grads) in
        [(DType::F32, DType::F32), (DType::BF16, DType::BF16), (DType::F16, DType::F32)]
    {
        let grads = gradients(of_grads, &counts);
        let mut wanted = Vec::new();
        for (start, grads) in starts.iter().zip(&grads) {
            let found = stepped(start, grads, cfg).unwrap();
            // Weights, where they are not the masters, and masters.
            let kinds = ["w", "w", "w.exp_avg", "w.exp_avg_sq", "w.exp_avg_scale", "w.exp_avg_sq_scale"];
            let own = &kinds[usize::from(weights == DType::F32)..];
            wanted.extend(own.iter().map(|kind| found[*kind].clone()));
        }
        let what = format!("weights in {weights:?} by gradients in {of_grads:?}");
        // Codes, too: the arithmetic is the same here, operation by operation.
        assert_kernels(&what, 1e-6, &wanted, |processor| {
            let all = by_kernels(processor, &starts, &grads, weights, cfg)?;
            let parts = |Own { master, weight, moments, scales }| {
                let weight = (weights != DType::F32).then_some(weight);
                weight.into_iter().chain([master]).chain(moments).chain(scales)
            };
            Ok(all.into_iter().flat_map(parts).collect())
        });
    }
}

#[test]
fn updates_of_two_kinds_are_refused() {
    let processor = Processor::default();
    let starts = starts(&[4096]);
    let mut own = Own::new(&processor, &starts[0], DType::BF16, false).unwrap();
    let mut wide = processor.upload(&starts[0]).unwrap();
    let moments = own.moments.each_mut().map(|moment| processor.values(moment));
    let one = AdamParameter {
        master: processor.values(&mut own.master),
        weight: Some(processor.values(&mut own.weight)),
        grad: processor.values(&mut wide),
        moments: AdamMoments::Wide(moments),
        rates: AdamRates { keep: 1.0, rate: 1.0, second_scale: 1.0 },
    };
    let step = AdamStep { factor: 1.0, beta1: 0.9, beta2: 0.99, eps: 1e-8 };
    let error = |all: &[AdamParameter]| AdamUpdate::new(step, all, &code_values()).unwrap_err().to_string();
    assert!(error(&[one, AdamParameter { weight: None, ..one }]).contains("weights of"));
    let scales = own.scales.each_mut().map(|scales| processor.values(scales));
    let eight = AdamMoments::Eight { codes: moments, scales };
    assert!(error(&[one, AdamParameter { moments: eight, ..one }]).contains("an update each"));
    assert!(error(&[AdamParameter { moments: eight, ..one }]).contains("moments"));
    assert!(error(&[]).contains("no weights"));
}
