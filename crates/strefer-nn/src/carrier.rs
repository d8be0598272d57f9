//! Values that come to a card while it computes.

#[cfg(feature = "cuda")]
pub use on_card::Carrier;

#[cfg(not(feature = "cuda"))]
pub use nowhere::Carrier;

#[cfg(feature = "cuda")]
mod on_card {
    use std::sync::Arc;

    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::{
        CudaEvent, CudaSlice, CudaStream, DevicePtr, PinnedHostSlice, result,
    };
    use candle_core::op::BackpropOp;
    use candle_core::{CpuStorage, CudaDevice, CudaStorage, Device, Result, Shape, Storage, Tensor, bail};

    /// Brings numbers in f32 from the host to a card, in a stream of their own beside what the card does: what the next step of training
    /// looks at comes during the one before.
    ///
    /// It keeps as much memory on both sides as it was asked to bring at a time.
    #[derive(Debug)]
    pub struct Carrier {
        device: CudaDevice,
        stream: Arc<CudaStream>,
        room: Option<Room>,
        /// What is on its way, one behind the other.
        shapes: Vec<Shape>,
    }

    #[derive(Debug)]
    struct Room {
        /// The card reads it without the host's help.
        host: PinnedHostSlice<f32>,
        there: CudaSlice<f32>,
        /// All has come that was brought.
        brought: CudaEvent,
        /// All has been copied from there that was taken.
        taken: CudaEvent,
    }

    impl Carrier {
        /// One for a card; nothing for a processor.
        ///
        /// # Errors
        /// A card that gives no stream.
        pub fn to(device: &Device) -> Result<Option<Self>> {
            let Device::Cuda(device) = device else { return Ok(None) };
            let stream = device.cuda_stream().context().new_stream().w()?;
            Ok(Some(Self { device: device.clone(), stream, room: None, shapes: Vec::new() }))
        }

        /// Sends tensors on their way. What was sent before and has not been taken is lost.
        ///
        /// # Errors
        /// Tensors that are not in one run of f32 on the host; no memory on either side.
        pub fn bring(&mut self, tensors: &[&Tensor]) -> Result<()> {
            self.shapes.clear();
            let total = tensors.iter().map(|xs| xs.elem_count()).sum();
            if total == 0 {
                bail!("nothing to bring to a card");
            }
            if self.room.as_ref().is_none_or(|room| room.there.len() < total) {
                self.make_room(total)?;
            }
            let Some(room) = &mut self.room else { bail!("no room on a card") };
            // What the host's memory held before has left it.
            room.brought.synchronize().w()?;
            let host = &mut room.host.as_mut_slice().w()?[..total];
            let mut at = 0;
            for xs in tensors {
                at += copy(xs, &mut host[at..])?;
            }
            self.stream.wait(&room.taken).w()?;
            let (to, _guard) = room.there.device_ptr(&self.stream);
            // SAFETY: there is room for so many on both sides; the host's is written to again behind `brought` only.
            unsafe { result::memcpy_htod_async(to, &*host, self.stream.cu_stream()) }.w()?;
            room.brought.record(&self.stream).w()?;
            self.shapes = tensors.iter().map(|xs| xs.shape().clone()).collect();
            Ok(())
        }

        /// What was sent last, on the card: what the card is asked for from now on waits until it is there.
        ///
        /// # Errors
        /// Nothing is on its way; no memory.
        pub fn take(&mut self) -> Result<Vec<Tensor>> {
            let shapes = std::mem::take(&mut self.shapes);
            let (Some(room), false) = (&self.room, shapes.is_empty()) else {
                bail!("nothing is on its way to a card")
            };
            let stream = self.device.cuda_stream();
            stream.wait(&room.brought).w()?;
            let (mut found, mut at) = (Vec::with_capacity(shapes.len()), 0);
            for shape in shapes {
                let count = shape.elem_count();
                // SAFETY: all of it is written next.
                let mut slice = unsafe { self.device.alloc::<f32>(count.max(1)) }?;
                if count > 0 {
                    stream.memcpy_dtod(&room.there.slice(at..at + count), &mut slice).w()?;
                }
                at += count;
                let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, self.device.clone()));
                found.push(Tensor::from_storage(storage, shape, BackpropOp::none(), false));
            }
            room.taken.record(&stream).w()?;
            Ok(found)
        }

        fn make_room(&mut self, count: usize) -> Result<()> {
            self.clear()?;
            let context = self.stream.context();
            // SAFETY: what is read of them has been written before.
            let (host, there) = unsafe { (context.alloc_pinned(count).w()?, self.stream.alloc(count).w()?) };
            let event = || context.new_event(None).w();
            self.room = Some(Room { host, there, brought: event()?, taken: event()? });
            Ok(())
        }

        /// Gives the room back, once nobody uses it.
        fn clear(&mut self) -> Result<()> {
            if self.room.is_some() {
                self.stream.synchronize().w()?;
                self.device.cuda_stream().synchronize().w()?;
                self.room = None;
            }
            Ok(())
        }
    }

    impl Drop for Carrier {
        fn drop(&mut self) {
            // A card that no longer answers uses nothing.
            let _ = self.clear();
        }
    }

    /// Copies a tensor to the beginning of `to`; how many numbers it has.
    fn copy(xs: &Tensor, to: &mut [f32]) -> Result<usize> {
        let (storage, layout) = xs.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => {
                to[..end - start].copy_from_slice(&values[start..end]);
                Ok(end - start)
            }
            _ => bail!("{:?} of {:?} is not one run of f32 on the host", xs.shape(), xs.dtype()),
        }
    }
}

#[cfg(not(feature = "cuda"))]
mod nowhere {
    use candle_core::{Device, Result, Tensor};

    /// Brings numbers to a card; programs without CUDA have none.
    #[derive(Debug)]
    pub enum Carrier {}

    impl Carrier {
        /// Nothing.
        ///
        /// # Errors
        /// Never.
        pub fn to(_: &Device) -> Result<Option<Self>> {
            Ok(None)
        }

        /// Of no use here.
        ///
        /// # Errors
        /// Never.
        pub fn bring(&mut self, _: &[&Tensor]) -> Result<()> {
            match *self {}
        }

        /// Of no use here.
        ///
        /// # Errors
        /// Never.
        pub fn take(&mut self) -> Result<Vec<Tensor>> {
            match *self {}
        }
    }
}
