//! Launches that are kept to be made again, all by one call: a CUDA graph.
//!
//! Kernels of this crate are launched as always, and besides into a stream of the recording's own that only writes them down. So
//! nothing that other threads ask of the card gets into a recording. Neither does what candle launches by itself: whoever
//! records has to see that there is none of it ([`crate::Replay`] compares what both give).

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, CudaStream, result};
use candle_core::{CudaDevice, Result, Tensor};

thread_local! {
    static UNDER_WAY: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// What the thread has launched since it began to record.
struct Recording {
    device: CudaDevice,
    /// Writes down what is launched into it.
    stream: Arc<CudaStream>,
    /// Where memory was given out.
    reserved: Vec<u64>,
    /// That memory: launches will write to it again.
    held: Vec<Held>,
    launches: usize,
    whole: bool,
}

/// Memory at an address.
struct Held {
    address: u64,
    _values: Tensor,
}

/// Launches of a card, as one.
pub(crate) struct Recorded {
    graph: CudaGraph,
    /// Where it is launched.
    stream: Arc<CudaStream>,
    _held: Vec<Held>,
}

// SAFETY: a graph may be used by any thread, one at a time: launching takes it exclusively.
unsafe impl Send for Recorded {}

impl Recorded {
    /// Does `work`, and keeps what it launched on the card; nothing where a part of it cannot be kept, or where it launched nothing.
    /// Memory that it took, results included, stays with what is kept.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn of<R>(card: &CudaDevice, work: impl FnOnce() -> Result<R>) -> Result<(R, Option<Self>)> {
        if is_on() {
            return Ok((work()?, None));
        }
        let Ok(stream) = writing(card) else { return Ok((work()?, None)) };
        let recording = Recording {
            device: card.clone(),
            stream,
            reserved: Vec::new(),
            held: Vec::new(),
            launches: 0,
            whole: true,
        };
        UNDER_WAY.set(Some(recording));
        let ended = Ended;
        let found = work()?;
        let recording = UNDER_WAY.take();
        drop(ended);
        Ok((found, recording.and_then(Recording::end)))
    }

    /// Launches all of it behind what the card does already.
    ///
    /// # Errors
    /// Those of the card.
    pub(crate) fn launch(&mut self) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: both are of one context, and the memory that the launches use is held, or lent by whoever recorded them.
        unsafe { result::graph::launch(self.graph.cu_graph_exec(), self.stream.cu_stream()) }.w()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // It may be under way. A card that no longer answers has nothing under way.
        let _ = self.stream.synchronize();
    }
}

/// A stream that writes down what is launched into it. Nothing else is ever asked of it, so other threads need not be kept from
/// anything.
fn writing(card: &CudaDevice) -> Result<Arc<CudaStream>> {
    let stream = card.cuda_stream().context().new_stream().w()?;
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).w()?;
    Ok(stream)
}

/// Leaves the thread without a recording, also when its work failed.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(recording) = UNDER_WAY.take() {
            // What it had written down is of no use.
            let _ = recording.stream.end_capture(CUgraphInstantiate_flags(0));
        }
    }
}

impl Recording {
    fn end(self) -> Option<Recorded> {
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0)).ok()??;
        let held: HashSet<u64> = self.held.iter().map(|held| held.address).collect();
        let is_whole = self.whole && self.launches > 0 && self.reserved.iter().all(|at| held.contains(at));
        is_whole.then(|| Recorded { graph, stream: self.device.cuda_stream(), _held: self.held })
    }
}

/// Whether this thread records.
pub(super) fn is_on() -> bool {
    UNDER_WAY.with_borrow(Option::is_some)
}

fn with(change: impl FnOnce(&mut Recording)) {
    UNDER_WAY.with_borrow_mut(|recording| recording.as_mut().map_or((), change));
}

/// Something is asked of a card that cannot be kept.
pub(super) fn cannot() {
    with(|recording| recording.whole = false);
}

/// A kernel is launched on `device`: `again` launches it into another stream.
pub(super) fn launched(device: &CudaDevice, again: impl FnOnce(&Arc<CudaStream>) -> Result<()>) {
    with(|recording| {
        recording.launches += 1;
        recording.whole &= device.id() == recording.device.id() && again(&recording.stream).is_ok();
    });
}

/// Memory is given out there.
pub(super) fn reserved(address: u64) {
    with(|recording| recording.reserved.push(address));
}

/// Memory that was given out is in these values, or was there for a while.
pub(super) fn hold(address: u64, values: impl FnOnce() -> Tensor) {
    with(|recording| recording.held.push(Held { address, _values: values() }));
}
