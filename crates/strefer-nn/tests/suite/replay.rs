//! Work that is done again and again, against work that is done each time.
//! On a card: `cargo test -p strefer-nn --features cuda --test suite replay -- --ignored`

use std::cell::Cell;

use candle_core::{DType, Device, Result, Tensor};
use strefer_nn::Replay;
use strefer_nn::ops;
use strefer_nn::testing::randn;

/// From two inputs to a result.
type Work<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Result<Tensor>;

/// A few layers with everything but candle's own operations.
struct Layers {
    first: Tensor,
    second: Tensor,
    weight: Tensor,
}

impl Layers {
    fn new(device: &Device) -> Result<Self> {
        let there = |xs: Tensor| xs.to_dtype(DType::BF16)?.to_device(device);
        let (first, second) = (randn(1, &[96, 64]), randn(2, &[64, 96]));
        Ok(Self { first: there(first)?, second: there(second)?, weight: there(randn(3, &[64]))? })
    }

    fn run(&self, xs: &Tensor, added: &Tensor) -> Result<Tensor> {
        let (sum, normed) = ops::sum_rms_norm(xs, added, &self.weight, 1e-6)?;
        let wide = ops::silu(&ops::linear(&normed, &self.first, None)?)?;
        ops::rms_norm(&ops::linear(&wide, &self.second, None)?, &sum.get(0)?, 1e-6)
    }
}

/// The inputs of one turn, different from those of any other.
fn inputs(device: &Device, turn: u64, rows: usize) -> Result<[Tensor; 2]> {
    let there = |seed: u64| randn(seed, &[rows, 64]).to_dtype(DType::BF16)?.to_device(device);
    Ok([there(10 + 2 * turn)?, there(11 + 2 * turn)?])
}

fn numbers(xs: &Tensor) -> Vec<f32> {
    xs.to_dtype(DType::F32).and_then(|xs| xs.flatten_all()?.to_vec1()).unwrap()
}

/// Runs `work` for so many turns, and says how often it was really done. Every result is compared with the work's own.
fn turns(
    replay: &mut Replay,
    device: &Device,
    [key, rows]: [usize; 2],
    turns: std::ops::Range<u64>,
    work: Work<'_>,
) -> usize {
    let done = Cell::new(0);
    for turn in turns {
        let [xs, added] = inputs(device, turn, rows).unwrap();
        let found = replay.run(key, &[&xs, &added], |inputs| {
            done.set(done.get() + 1);
            work(inputs[0], inputs[1])
        });
        assert_eq!(numbers(&found.unwrap()), numbers(&work(&xs, &added).unwrap()), "turn {turn}");
    }
    done.get()
}

#[test]
fn a_processor_does_all_work_each_time() {
    let layers = Layers::new(&Device::Cpu).unwrap();
    let work = |xs: &Tensor, added: &Tensor| layers.run(xs, added);
    assert_eq!(turns(&mut Replay::new(()), &Device::Cpu, [0, 3], 0..5, &work), 5);
}

#[cfg(feature = "cuda")]
mod on_card {
    use strefer_nn::ops::Kernels;

    use super::*;
    use crate::card::{ONE_AT_A_TIME, by, card};

    /// Does `work` on a card by kernels, while no other test does.
    fn alone(work: impl FnOnce(&Device)) {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let card = card();
        by(Kernels::Fused, || work(&card));
    }

    #[test]
    #[ignore = "needs a card"]
    fn card_work_that_is_known_is_launched_as_one() {
        alone(|device| {
            let layers = Layers::new(device).unwrap();
            let work = |xs: &Tensor, added: &Tensor| layers.run(xs, added);
            let mut replay = Replay::new(());
            assert_eq!(turns(&mut replay, device, [0, 3], 0..9, &work), 3);
            // Other shapes and keys are other work; what is known stays known.
            assert_eq!(turns(&mut replay, device, [0, 2], 9..14, &work), 3);
            assert_eq!(turns(&mut replay, device, [1, 2], 14..19, &work), 3);
            assert_eq!(turns(&mut replay, device, [0, 3], 19..22, &work), 0);
            // But only so much of it.
            for key in 2..6 {
                assert_eq!(turns(&mut replay, device, [key, 1], 22..27, &work), 3);
            }
            assert_eq!(turns(&mut replay, device, [0, 3], 27..28, &work), 1);
        });
    }

    #[test]
    #[ignore = "needs a card"]
    fn card_work_with_operations_of_candle_is_done_each_time() {
        alone(|device| {
            let layers = Layers::new(device).unwrap();
            let before = |xs: &Tensor, added: &Tensor| layers.run(&(xs * 0.5)?, added);
            let between = |xs: &Tensor, added: &Tensor| layers.run(&layers.run(xs, added)?.abs()?, added);
            // Of a size that nothing else has, so that nothing else comes to lie there.
            let odd = |xs: &Tensor, added: &Tensor| {
                let many = Tensor::cat(&vec![xs; 37], 0)?.abs()?;
                layers.run(&many.narrow(0, 0, 3)?, added)
            };
            let behind = |xs: &Tensor, added: &Tensor| layers.run(xs, added)?.affine(2.0, 1.0);
            let product = |xs: &Tensor, added: &Tensor| {
                layers.run(xs, added)?.matmul(&layers.second.t()?.contiguous()?.t()?)
            };
            let works: [Work<'_>; 5] = [&odd, &before, &between, &behind, &product];
            for (at, work) in works.into_iter().enumerate() {
                assert_eq!(turns(&mut Replay::new(()), device, [0, 3], 0..6, work), 6, "work {at}");
            }
            // Nor is anything lost of work that fails.
            let mut replay = Replay::new(());
            let fails = |_: &Tensor, _: &Tensor| -> Result<Tensor> { candle_core::bail!("it fails") };
            let work = |xs: &Tensor, added: &Tensor| layers.run(xs, added);
            let [xs, added] = inputs(device, 0, 3).unwrap();
            assert_eq!(turns(&mut replay, device, [0, 3], 0..1, &work), 1);
            assert!(replay.run(0, &[&xs, &added], |inputs| fails(inputs[0], inputs[1])).is_err());
            assert_eq!(turns(&mut replay, device, [0, 3], 1..7, &work), 3);
        });
    }

    #[test]
    #[ignore = "needs a card"]
    fn card_work_of_other_threads_stays_out_of_what_is_written_down() {
        alone(|device| {
            let layers = Layers::new(device).unwrap();
            let work = |xs: &Tensor, added: &Tensor| {
                let found = layers.run(xs, added)?;
                // Somebody else uses the card in between.
                std::thread::scope(|scope| {
                    let other = scope.spawn(|| {
                        let [xs, added] = inputs(device, 1000, 3)?;
                        (layers.run(&xs, &added)?.to_dtype(DType::F32)? * 2.0)?.sum_all()?.to_scalar::<f32>()
                    });
                    assert!(other.join().unwrap().unwrap().is_finite());
                });
                ops::rms_norm(&found, &layers.weight, 1e-6)
            };
            assert_eq!(turns(&mut Replay::new(()), device, [0, 3], 0..6, &work), 3);
        });
    }
}
