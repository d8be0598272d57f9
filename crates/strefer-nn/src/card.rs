//! Opens cards, and moves tensors between them.

use candle_core::{Device, Result, Tensor};

/// The card of that number, for use by all threads: its work goes through one stream, in the order in which it is asked for. Of
/// [`Device::new_cuda`] every thread gets a stream of its own, and nothing orders them.
///
/// # Errors
/// No such card, or a program built without CUDA; a `STREFER_KERNELS` that says nothing known, or asks for a cuDNN that is not there.
pub fn open_card(index: usize) -> Result<Device> {
    #[cfg(feature = "cuda")]
    crate::ops::Kernels::asked_for()?;
    let device = Device::new_cuda_with_stream(index)?;
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = &device {
        // SAFETY: tensors of this device are made, used and freed in its one stream; `moved` waits for both sides.
        unsafe { card.disable_event_tracking() };
        keep_memory(card)?;
    }
    Ok(device)
}

/// [`open_card`] where there are cards and the program is built for them, else the processor.
///
/// # Errors
/// A card that cannot be used.
pub fn card_if_available(index: usize) -> Result<Device> {
    if candle_core::utils::cuda_is_available() { open_card(index) } else { Ok(Device::Cpu) }
}

/// The tensor where `device` has it. Two cards wait for each other, since their streams know nothing of each other.
///
/// # Errors
/// Those of the devices.
pub fn moved(xs: &Tensor, device: &Device) -> Result<Tensor> {
    if xs.device().same_device(device) {
        return Ok(xs.clone());
    }
    xs.device().synchronize()?;
    let moved = xs.to_device(device)?;
    device.synchronize()?;
    Ok(moved)
}

/// How a card's memory is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardMemory {
    /// What tensors of this process take.
    pub used: usize,
    /// The most that they took at a time.
    pub most: usize,
    /// What nobody uses.
    pub free: usize,
}

/// How the memory of a card is used; nothing for a processor, or a card whose driver keeps no pool.
///
/// # Errors
/// The driver's own.
pub fn card_memory(device: &Device) -> Result<Option<CardMemory>> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => pool::of(card)?.map(|pool| pool.memory()).transpose(),
        _ => Ok(None),
    }
}

/// Has a card keep memory that tensors give back. Its driver would return it to the system whenever something is waited for, a loss or a
/// token, and map it anew for the next.
#[cfg(feature = "cuda")]
fn keep_memory(card: &candle_core::CudaDevice) -> Result<()> {
    pool::of(card)?.map_or(Ok(()), |pool| pool.keep())
}

/// The pool from which a card's streams give out memory.
#[cfg(feature = "cuda")]
mod pool {
    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::sys::{
        CUdevice_attribute, CUmemPool_attribute, CUmemoryPool,
    };
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, result};
    use candle_core::{CudaDevice, Result};

    use super::CardMemory;

    pub(super) struct Pool(CUmemoryPool);

    /// Nothing where the driver has none.
    pub(super) fn of(card: &CudaDevice) -> Result<Option<Pool>> {
        let stream = card.cuda_stream();
        let context: &CudaContext = stream.context();
        context.bind_to_thread().w()?;
        let has = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
        if context.attribute(has).w()? == 0 {
            return Ok(None);
        }
        // SAFETY: the device is the context's.
        Ok(Some(Pool(unsafe { result::device::get_default_mem_pool(context.cu_device()) }.w()?)))
    }

    impl Pool {
        pub(super) fn keep(&self) -> Result<()> {
            let mut all = u64::MAX;
            let of = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            // SAFETY: this attribute is a number of 64 bits.
            unsafe { result::mem_pool::set_attribute(self.0, of, std::ptr::from_mut(&mut all).cast()) }.w()
        }

        fn count(&self, of: CUmemPool_attribute) -> Result<usize> {
            let mut bytes = 0u64;
            // SAFETY: those that are asked for below are numbers of 64 bits.
            unsafe { result::mem_pool::get_attribute(self.0, of, std::ptr::from_mut(&mut bytes).cast()) }
                .w()?;
            Ok(bytes as usize)
        }

        pub(super) fn memory(&self) -> Result<CardMemory> {
            let used = self.count(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
            let most = self.count(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?;
            let kept = self.count(CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
            // What the pool keeps beyond its use is this process's to take again.
            let (free, _) = result::mem_get_info().w()?;
            Ok(CardMemory { used, most, free: free + kept.saturating_sub(used) })
        }
    }
}
