//! The optimiser's update.

use candle_core::{CudaStorage, DType, Layout, Result, Tensor};

use super::card::{Card, in_place, with_tensors};
use super::{applies, is_float};
use crate::kernels::{self, AdamMoments, AdamParameter, AdamRates, AdamStep, AdamUpdate, Values};
use crate::optim::Kept;

/// A parameter of a card that the kernel moves.
pub(crate) struct Moved<'a> {
    pub var: &'a Tensor,
    /// In f32, where the parameter is narrower.
    pub master: Option<&'a Tensor>,
    pub moments: [&'a Kept; 2],
    pub grad: &'a Tensor,
    pub rates: AdamRates,
}

/// Whether the kernel moves a parameter like this one.
pub(crate) fn takes_update(var: &Tensor) -> bool {
    applies([var]) && var.is_contiguous()
}

impl Moved<'_> {
    /// Whether the kernel moves it.
    pub(crate) fn is_taken(&self) -> bool {
        takes_update(self.var) && is_float(self.grad) && self.grad.device().same_device(self.var.device())
    }

    /// Parameters of one kind share a launch.
    fn is_like(&self, other: &Self) -> bool {
        let kind = |one: &Self| (one.var.dtype(), one.grad.dtype(), one.moments[0].is_packed());
        kind(self) == kind(other) && self.var.device().same_device(other.var.device())
    }

    /// All that changes.
    fn changed(&self) -> impl Iterator<Item = &Tensor> {
        [self.var].into_iter().chain(self.master).chain(self.moments.into_iter().flat_map(Kept::tensors))
    }

    fn lent(&self, grad: Values) -> Result<AdamParameter> {
        let own = lent(self.var)?;
        let (master, weight) = match self.master {
            Some(master) => (lent(master)?, Some(own)),
            None => (own, None),
        };
        let moments = match self.moments {
            [Kept::Packed { codes: a, scales: b }, Kept::Packed { codes: c, scales: d }] => {
                AdamMoments::Eight { codes: [lent(a)?, lent(c)?], scales: [lent(b)?, lent(d)?] }
            }
            [first, second] => AdamMoments::Wide([lent(first.values())?, lent(second.values())?]),
        };
        Ok(AdamParameter { master, weight, grad, moments, rates: self.rates })
    }
}

/// Moves parameters, their masters and their moments in place, those of one kind in one launch. `table`: the values that codes of
/// moments name.
pub(crate) fn adamw(mut all: Vec<Moved>, step: AdamStep, table: &[f32]) -> Result<()> {
    while let Some(first) = all.pop() {
        let (mut alike, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|other| other.is_like(&first));
        all = others;
        alike.push(first);
        let var = alike[0].var;
        let grad = |moved: &Moved| match moved.grad.dtype() {
            dtype if dtype == var.dtype() => moved.grad.contiguous(),
            _ => moved.grad.to_dtype(DType::F32)?.contiguous(),
        };
        let grads = alike.iter().map(grad).collect::<Result<Vec<_>>>()?;
        with_tensors(&grads.iter().collect::<Vec<_>>(), |card, grads| {
            let lent = alike.iter().zip(grads).map(|(moved, grad)| moved.lent(*grad));
            let update = AdamUpdate::new(step, &lent.collect::<Result<Vec<_>>>()?, table)?;
            let list = Tensor::new(update.list(), var.device())?;
            let numbers = Tensor::new(update.numbers(), var.device())?;
            with_tensors(&[&list, &numbers], |_, lists| kernels::adamw(card, &update, lists[0], lists[1]))
        })?;
        for tensor in alike.iter().flat_map(Moved::changed) {
            in_place(tensor, |storage: &mut CudaStorage, _: &Layout| {
                Card::new(&storage.device.clone()).written(storage)
            })?;
        }
    }
    Ok(())
}

/// Values that kernels change; they are the caller's to tell other streams of.
fn lent(tensor: &Tensor) -> Result<Values> {
    in_place(tensor, |storage: &mut CudaStorage, layout: &Layout| {
        Card::new(&storage.device.clone()).lend_mut(storage, layout)
    })
}
