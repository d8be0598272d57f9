//! How much memory of a device tensors took.

use candle_core::{Device, Result};

/// The most bytes of a card that this process's tensors held at once, as the driver's pool counts them; nothing for devices
/// without one.
///
/// # Errors
/// The driver's.
pub fn most_held(device: &Device) -> Result<Option<u64>> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => of_card(card).map(Some),
        _ => Ok(None),
    }
}

#[cfg(feature = "cuda")]
fn of_card(card: &candle_core::CudaDevice) -> Result<u64> {
    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::sys;

    let stream = card.cuda_stream();
    let mut pool = std::ptr::null_mut();
    let mut most = 0u64;
    // SAFETY: the device is this context's, the pool belongs to it, and the attribute is a number of 64 bits.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&mut pool, stream.context().cu_device()).result().w()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        sys::cuMemPoolGetAttribute(pool, attribute, std::ptr::from_mut(&mut most).cast()).result().w()?;
    }
    Ok(most)
}
