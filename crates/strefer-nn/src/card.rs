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
