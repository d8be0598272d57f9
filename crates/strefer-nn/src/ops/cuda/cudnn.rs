//! Attention by cuDNN: a handle and the newest plans of each card.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, DType, Result};

use super::card::Card;
use crate::cudnn::{Handle, Part, Plan, Shape, Target};
use crate::kernels::{Attention, List, Ragged, RaggedPass, Runner, Values};

/// Plans that a card keeps: making one takes half a second.
const MOST_PLANS: usize = 64;

/// What has been used of each card. Whoever asks for attention holds the card's library until its kernels are in the stream.
static CARDS: Mutex<Vec<(DeviceId, Arc<Mutex<OnCard>>)>> = Mutex::new(Vec::new());

struct OnCard {
    handle: Handle,
    /// The newest last, each with what it is for: a shape, forward or backward.
    plans: Vec<((Shape, bool), Plan)>,
}

impl OnCard {
    fn of(device: &CudaDevice) -> Result<Arc<Mutex<Self>>> {
        let mut known = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, card)) = known.iter().find(|(id, _)| *id == device.id()) {
            return Ok(Arc::clone(card));
        }
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        // SAFETY: the stream is the card's own, and candle keeps a card that has been opened; this thread is bound to it.
        let handle = unsafe { Handle::new(stream.cu_stream().cast::<c_void>())? };
        let card = Arc::new(Mutex::new(Self { handle, plans: Vec::new() }));
        known.push((device.id(), Arc::clone(&card)));
        Ok(card)
    }

    /// The plan for a shape, and what runs it.
    fn plan(&mut self, shape: Shape, backward: bool) -> Result<(&Plan, &mut Handle)> {
        let at = match self.plans.iter().position(|(of, _)| *of == (shape, backward)) {
            Some(at) => at,
            None => {
                let target = Target::Card(&self.handle);
                let make = if backward { Plan::backward } else { Plan::forward };
                let plan = make(&shape, &target)?;
                if self.plans.len() == MOST_PLANS {
                    self.plans.remove(0);
                }
                self.plans.push(((shape, backward), plan));
                self.plans.len() - 1
            }
        };
        Ok((&self.plans[at].1, &mut self.handle))
    }
}

/// Puts a pass behind what the card does already.
pub(super) fn ragged(
    card: &Card,
    device: &CudaDevice,
    call: &Ragged,
    lists: Values,
    pass: RaggedPass,
) -> Result<()> {
    device.cuda_stream().context().bind_to_thread().w()?;
    let mut parts = of_lists(call, lists);
    let mut put = |part: Part, values: Values| parts.push((part, pointer(values)));
    let (backward, dtype) = match pass {
        RaggedPass::Forward { inputs: [q, k, v], out, sums } => {
            [(Part::Q, q), (Part::K, k), (Part::V, v), (Part::Out, out), (Part::Sums, sums)]
                .into_iter()
                .for_each(|(part, values)| put(part, values));
            (false, q.dtype)
        }
        RaggedPass::Backward { inputs: [q, k, v], out, sums, grad, grads: [dq, dk, dv] } => {
            [(Part::Q, q), (Part::K, k), (Part::V, v), (Part::Out, out), (Part::Sums, sums)]
                .into_iter()
                .chain([(Part::Grad, grad), (Part::GradQ, dq), (Part::GradK, dk), (Part::GradV, dv)])
                .for_each(|(part, values)| put(part, values));
            (true, q.dtype)
        }
    };
    let shape = Shape::new(call, dtype);
    let room = |bytes: usize| -> Result<_> {
        let mut room = card.reserve(DType::F32, bytes.div_ceil(size_of::<f32>()))?;
        let at = pointer(card.values(&mut room));
        Ok((room, at))
    };
    // Given back in the stream's order, behind the kernels.
    let mut rooms = Vec::new();
    if backward {
        let Attention { batch, queries, keys, .. } = call.call;
        for (part, bytes) in shape.rooms(batch * queries, batch * keys) {
            let (held, at) = room(bytes)?;
            rooms.push(held);
            parts.push((part, at));
        }
    }
    let on_card = OnCard::of(device)?;
    let mut on_card = on_card.lock().unwrap_or_else(PoisonError::into_inner);
    let (plan, handle) = on_card.plan(shape, backward)?;
    let (_workspace, at) = room(plan.workspace())?;
    // SAFETY: `kernels::ragged` has checked that all values lie as the call says; rooms are as large as the shape says. The plan is
    // for this card, whose stream the handle speaks to.
    unsafe { plan.run(handle, &parts, at) }
}

fn of_lists(call: &Ragged, lists: Values) -> Vec<(Part, *mut c_void)> {
    let at = |list: List| (lists.address + (call.start(list) * size_of::<u32>()) as u64) as *mut c_void;
    [
        (Part::Queries, List::Queries),
        (Part::Keys, List::Keys),
        (Part::QueryStarts, List::QueryStarts),
        (Part::KeyStarts, List::KeyStarts),
        (Part::ResultStarts, List::ResultStarts),
        (Part::SumStarts, List::SumStarts),
    ]
    .map(|(part, list)| (part, at(list)))
    .to_vec()
}

fn pointer(values: Values) -> *mut c_void {
    values.address as *mut c_void
}
