//! The optimiser's update.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::card::{Card, in_place, with_tensors};
use super::{applies, is_float};
use crate::kernels::{self, AdamUpdate, Values};

/// Moves a parameter, its f32 master where it is narrower, and its moments in place. False, with nothing done, where the kernel
/// does not apply.
pub(crate) fn adamw(
    var: &Tensor,
    master: Option<&Tensor>,
    [first, second]: [&Tensor; 2],
    grad: &Tensor,
    update: AdamUpdate,
) -> Result<bool> {
    let plain =
        [Some(var), master, Some(first), Some(second)].into_iter().flatten().all(Tensor::is_contiguous);
    if !applies([var]) || !plain || !is_float(grad) || !grad.device().is_cuda() {
        return Ok(false);
    }
    let grad = match grad.dtype() {
        dtype if dtype == var.dtype() => grad.clone(),
        _ => grad.to_dtype(candle_core::DType::F32)?,
    };
    with_tensors(&[&grad], |_, grads| {
        lent(first, |first| {
            lent(second, |second| {
                lent(var, |own| match master {
                    None => run(var, own, None, grads[0], [first, second], update),
                    Some(master) => {
                        lent(master, |master| run(var, master, Some(own), grads[0], [first, second], update))
                    }
                })
            })
        })
    })?;
    Ok(true)
}

/// Values that change while `work` runs, whose kernels are then waited for by other streams.
fn lent(tensor: &Tensor, work: impl FnOnce(Values) -> Result<()>) -> Result<()> {
    in_place(tensor, |storage: &mut CudaStorage, layout: &Layout| {
        let device = storage.device.clone();
        let card = Card::new(&device);
        work(card.lend_mut(storage, layout)?)?;
        card.written(storage)
    })
}

fn run(
    var: &Tensor,
    master: Values,
    weight: Option<Values>,
    grad: Values,
    moments: [Values; 2],
    update: AdamUpdate,
) -> Result<()> {
    let device = var.device().as_cuda_device()?;
    kernels::adamw(&Card::new(device), master, weight, grad, moments, update)
}
