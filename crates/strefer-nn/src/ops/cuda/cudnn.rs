//! Attention by cuDNN: a handle and the newest plans of each card.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::CudaStream;
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, DType, Device, Result, bail};

use super::card::Card;
use crate::cudnn::{Handle, Part, Plan, Shape, Target};
use crate::kernels::{Attention, List, Ragged, RaggedPass, Runner, Values};

/// Plans that a card keeps: making one takes half a second.
const MOST_PLANS: usize = 256;

/// The compute capability of cards that graphs were tried for: Hopper. What the library does with them on others is not known to be right.
const TRIED: i32 = 9;

/// Passes that have run in this process.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// How many passes cuDNN has run in this process.
pub fn cudnn_runs() -> usize {
    RUNS.load(Ordering::Relaxed)
}

/// What has been used of each card. Whoever asks for attention holds the card's library until its kernels are in the stream.
static CARDS: Mutex<Vec<(DeviceId, Arc<Mutex<OnCard>>)>> = Mutex::new(Vec::new());

struct OnCard {
    handle: Handle,
    stream: Arc<CudaStream>,
    is_tried: bool,
    /// Those used last at the end, each with what it is for: a shape, forward or backward. None where the library has no kernel.
    plans: Vec<((Shape, bool), Option<Plan>)>,
}

impl OnCard {
    fn of(device: &CudaDevice) -> Result<Arc<Mutex<Self>>> {
        let mut known = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, card)) = known.iter().find(|(id, _)| *id == device.id()) {
            return Ok(Arc::clone(card));
        }
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let is_tried = stream.context().compute_capability().w()?.0 == TRIED;
        // SAFETY: the stream is the card's own and is kept beside the handle; this thread is bound to the card.
        let handle = unsafe { Handle::new(stream.cu_stream().cast::<c_void>())? };
        let card = Arc::new(Mutex::new(Self { handle, stream, is_tried, plans: Vec::new() }));
        known.push((device.id(), Arc::clone(&card)));
        Ok(card)
    }

    /// The plan for a shape, if there is one, and what runs it.
    fn plan(&mut self, shape: Shape, backward: bool) -> Result<(Option<&Plan>, &mut Handle)> {
        let entry = match self.plans.iter().rposition(|(of, _)| *of == (shape, backward)) {
            Some(at) => self.plans.remove(at),
            None => {
                let target = Target::Card(&self.handle);
                let plan =
                    if backward { Plan::backward(&shape, &target) } else { Plan::forward(&shape, &target) };
                if self.plans.len() == MOST_PLANS {
                    // Its kernel may still be waiting for its turn.
                    self.stream.synchronize().w()?;
                    self.plans.remove(0);
                }
                ((shape, backward), plan.ok())
            }
        };
        self.plans.push(entry);
        Ok((self.plans.last().and_then(|(_, plan)| plan.as_ref()), &mut self.handle))
    }
}

/// Whether the library has kernels for this on this card, for the gradients too where they are wanted.
pub(super) fn takes(device: &Device, call: &Ragged, dtype: DType, backward: bool) -> Result<bool> {
    let Device::Cuda(device) = device else { return Ok(false) };
    let on_card = OnCard::of(device)?;
    let mut on_card = on_card.lock().unwrap_or_else(PoisonError::into_inner);
    on_card.stream.context().bind_to_thread().w()?;
    let shape = Shape::new(call, dtype);
    Ok(on_card.is_tried
        && on_card.plan(shape, false)?.0.is_some()
        && (!backward || on_card.plan(shape, true)?.0.is_some()))
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
    let (Some(plan), handle) = on_card.plan(shape, backward)? else {
        bail!("cuDNN has no kernel for {call:?}")
    };
    let (_workspace, at) = room(plan.workspace())?;
    // SAFETY: `kernels::ragged` has checked that all values lie as the call says; rooms are as large as the shape says. The plan is
    // for this card, whose stream the handle speaks to.
    unsafe { plan.run(handle, &parts, at) }?;
    RUNS.fetch_add(1, Ordering::Relaxed);
    Ok(())
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
