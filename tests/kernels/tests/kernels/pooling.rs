//! Mask pooling.

use candle_core::{DType, Device, Result, Tensor};
use strefer_nn::kernels::{self, Runner};
use strefer_nn::ops::{self, Pooled};

use super::compare::{FLOATS, assert_kernels, numbers, reference};

/// Masks with soft edges, one of them empty, several in one frame and frames without any.
fn masks(frames: usize, patches: usize, count: usize) -> Pooled {
    let mut pooled = Pooled::over(patches);
    for nth in 0..count {
        let share = |patch: usize| {
            if (patch + nth).is_multiple_of(3) { 0.0 } else { ((patch * 7 + nth) % 5) as f32 / 4.0 }
        };
        let mask: Vec<f32> = (0..patches).map(|patch| if nth == 1 { 0.0 } else { share(patch) }).collect();
        pooled.push((nth * nth % frames) as u32, &mask);
    }
    pooled
}

#[test]
fn mask_pooling_and_its_gradient_equal_those_on_the_processor() {
    for dtype in FLOATS {
        for (frames, patches, d, count) in
            [(1, 1, 1, 1), (3, 10, 7, 5), (2, 27, 64, 4), (4, 9, 300, 2), (2, 5, 520, 3), (5, 33, 8, 20)]
        {
            let what = format!("{count} masks over {frames} frames of {patches} x {d} in {dtype:?}");
            let pooled = masks(frames, patches, count);
            let (feats, grad) = (numbers(1, &[frames, patches, d], dtype), numbers(2, &[count, d], dtype));
            let wanted = reference(&[&feats], &grad, |v| ops::mask_pool(&v[0], pooled.clone()));
            let shares: Vec<f32> = pooled.shares();
            let list = |values: &[u32]| Tensor::new(values, &Device::Cpu);
            let (starts, order) = pooled.of_frames(frames);
            let run = |processor: &strefer_kernel_tests::Processor| -> Result<Vec<_>> {
                let shares = Tensor::new(&shares[..], &Device::Cpu)?;
                let tensors = [&feats, &grad, &list(&pooled.rows)?, &shares, &list(&starts)?, &list(&order)?];
                let mut all = tensors.map(|xs| processor.upload(xs).unwrap());
                let [feats, grad, rows, shares, starts, order] =
                    all.each_mut().map(|memory| processor.values(memory));
                let ys = kernels::mask_pool(processor, feats, rows, shares, patches, d)?;
                let back = kernels::mask_pool_back(processor, grad, (starts, order), shares, patches, d)?;
                Ok(vec![ys, back])
            };
            assert_kernels(&what, 2e-6, &wanted, run);
        }
    }
}

#[test]
fn no_masks_pool_to_nothing() {
    let processor = strefer_kernel_tests::Processor::default();
    let feats = numbers(1, &[2, 3, 4], DType::F32);
    let nothing = |dtype: DType| Tensor::zeros(0, dtype, &Device::Cpu).unwrap();
    let mut all =
        [&feats, &nothing(DType::U32), &nothing(DType::F32)].map(|xs| processor.upload(xs).unwrap());
    let [feats, rows, shares] = all.each_mut().map(|memory| processor.values(memory));
    let ys = kernels::mask_pool(&processor, feats, rows, shares, 3, 4).unwrap();
    assert_eq!(processor.download(&ys).unwrap().elem_count(), 0);
}
