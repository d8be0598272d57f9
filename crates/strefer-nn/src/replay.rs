//! Work on a card that is done again and again on other values: launched as one, once it is known.

use std::any::Any;

use candle_core::{Result, Tensor};

/// Launches of work that is done again and again, such as a step of answers: a card that is asked for hundreds of small kernels
/// waits for each to be asked for, and not if all are asked for by one call (a CUDA graph).
///
/// Work is done as always when it comes for the first time, written down the second time, compared with what is written down the third
/// time, and launched as one from then on. What gave other bits than the work itself is not used: so it is where candle launched something
/// on the way, which cannot be written down. On a processor all is done as always.
///
/// Four kinds of work are known at a time, and each keeps the memory of all that it computes on the way: for a step of a model of 7
/// billion parameters some megabytes a row.
pub struct Replay {
    #[cfg(feature = "cuda")]
    known: Vec<on_card::Known>,
    replayed: usize,
    /// What is written down reads it.
    _kept: Box<dyn Any + Send>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

impl Replay {
    /// One that knows nothing yet. `kept` is whatever the work reads besides its inputs, such as a model: clones of its tensors, whose
    /// memory must stay where it is ([`crate::let_go`] and [`crate::refill`] move it).
    pub fn new(kept: impl Any + Send) -> Self {
        Self {
            #[cfg(feature = "cuda")]
            known: Vec::new(),
            replayed: 0,
            _kept: Box::new(kept),
        }
    }

    /// How often work was not done, but what is written down of it launched.
    pub fn replayed(&self) -> usize {
        self.replayed
    }

    /// What `work` gives for these inputs. Work of the same `key`, on inputs of the same shapes and types, has to differ by nothing but
    /// the values of the inputs, to read nothing but these and what is kept, and to write to nothing but its result and to memory whose places the inputs say.
    ///
    /// # Errors
    /// Those of `work`, and of the card.
    pub fn run(
        &mut self,
        key: usize,
        inputs: &[&Tensor],
        work: impl FnOnce(&[&Tensor]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if let Some(card) = on_card::of(inputs) {
            return self.on_card(&card, key, inputs, work);
        }
        // Only cards tell one kind of work from another.
        let _ = key;
        work(inputs)
    }
}

#[cfg(feature = "cuda")]
mod on_card {
    use candle_core::{CudaDevice, DType, Device, Result, Shape, Tensor};

    use super::Replay;
    use crate::ops::{Recorded, has_kernels};

    /// So many kinds of work are known at a time: each keeps the memory of what it computes on the way.
    const MOST: usize = 4;

    /// The card that all inputs lie on, if kernels are used there.
    pub(super) fn of(inputs: &[&Tensor]) -> Option<CudaDevice> {
        let first = *inputs.first()?;
        let Device::Cuda(card) = first.device() else { return None };
        let all_here = inputs.iter().all(|xs| xs.device().same_device(first.device()) && !xs.track_op());
        (has_kernels(first.device()) && all_here).then(|| card.clone())
    }

    /// A kind of work, and how far it is known.
    pub(super) struct Known {
        key: usize,
        inputs: Vec<(Shape, DType)>,
        stage: Stage,
    }

    enum Stage {
        New,
        Seen,
        Written(Kept),
        /// What is written down gave the same bits.
        Trusted(Kept),
        Refused,
    }

    /// Work that is written down, with what it reads and its result.
    struct Kept {
        inputs: Vec<Tensor>,
        found: Tensor,
        recorded: Recorded,
    }

    impl Replay {
        pub(super) fn on_card(
            &mut self,
            card: &CudaDevice,
            key: usize,
            inputs: &[&Tensor],
            work: impl FnOnce(&[&Tensor]) -> Result<Tensor>,
        ) -> Result<Tensor> {
            let shapes: Vec<(Shape, DType)> =
                inputs.iter().map(|xs| (xs.shape().clone(), xs.dtype())).collect();
            let at = self.known.iter().position(|known| known.key == key && known.inputs == shapes);
            let mut known = match at {
                Some(at) => self.known.remove(at),
                None => Known { key, inputs: shapes, stage: Stage::New },
            };
            let is_trusted = matches!(known.stage, Stage::Trusted(_));
            // What fails is not known any longer.
            let (found, stage) = known.stage.next(card, inputs, work)?;
            known.stage = stage;
            self.replayed += usize::from(is_trusted);
            self.known.insert(0, known);
            self.known.truncate(MOST);
            Ok(found)
        }
    }

    impl Stage {
        /// The result, and how far the work is known then.
        fn next(
            self,
            card: &CudaDevice,
            inputs: &[&Tensor],
            work: impl FnOnce(&[&Tensor]) -> Result<Tensor>,
        ) -> Result<(Tensor, Self)> {
            match self {
                Self::New => Ok((work(inputs)?, Self::Seen)),
                Self::Seen => {
                    let own = inputs.iter().map(|xs| own(xs)).collect::<Result<Vec<_>>>()?;
                    let lent: Vec<&Tensor> = own.iter().collect();
                    let (found, recorded) = Recorded::of(card, || work(&lent))?;
                    let Some(recorded) = recorded else { return Ok((found, Self::Refused)) };
                    let kept = Kept { inputs: own, found, recorded };
                    Ok((kept.found.copy()?, Self::Written(kept)))
                }
                Self::Written(mut kept) => {
                    // First, so that nothing the work leaves behind is taken for what was written down.
                    let again = kept.again(inputs).and_then(|again| bits(&again));
                    let found = work(inputs)?;
                    let wanted = bits(&found)?;
                    let is_same = again.is_ok_and(|again| again == wanted);
                    Ok((found, if is_same { Self::Trusted(kept) } else { Self::Refused }))
                }
                Self::Trusted(mut kept) => Ok((kept.again(inputs)?, Self::Trusted(kept))),
                Self::Refused => Ok((work(inputs)?, Self::Refused)),
            }
        }
    }

    impl Kept {
        fn again(&mut self, inputs: &[&Tensor]) -> Result<Tensor> {
            for (own, xs) in self.inputs.iter().zip(inputs) {
                own.slice_set(&xs.contiguous()?, 0, 0)?;
            }
            self.recorded.launch()?;
            // The next one writes to the same place.
            self.found.copy()
        }
    }

    /// A copy that nobody else has, in one run.
    fn own(xs: &Tensor) -> Result<Tensor> {
        let own = Tensor::zeros(xs.shape(), xs.dtype(), xs.device())?;
        own.slice_set(&xs.contiguous()?, 0, 0)?;
        Ok(own)
    }

    fn bits(xs: &Tensor) -> Result<Vec<u32>> {
        let values = xs.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    }
}
