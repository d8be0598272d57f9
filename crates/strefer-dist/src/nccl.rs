//! Ranks with a card each, over NCCL.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaStream, DevicePtr};
use candle_core::cuda_backend::cudarc::nccl::result::NcclError;
use candle_core::cuda_backend::cudarc::nccl::safe::{Comm, Id, NcclType, ReduceOp};
use candle_core::cuda_backend::{CudaDType, WrapErr, cudarc::driver::DeviceRepr};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, bail,
};
use half::{bf16, f16};

use crate::communicator::{Communicator, check_root, check_summable};
use crate::world::{ADDRESS, World, meeting_address};

/// What ranks do with their values.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Sums for everyone.
    Sum,
    /// Sums for one.
    SumAt(usize),
    /// From everyone to everyone.
    Gather,
    /// From one to everyone.
    From(usize),
}

struct Inner {
    rank: usize,
    size: usize,
    comm: Mutex<Link>,
    /// Where collectives run, beside what the card computes.
    stream: Arc<CudaStream>,
}

struct Link(Comm);

// SAFETY: NCCL lets any thread use a communicator, one at a time, which the mutex around this sees to.
unsafe impl Send for Link {}

/// The ranks of one run, a process and a card each. A collective runs in a stream of its own, once everything that the card was asked for
/// before is computed, and is waited for; what other threads ask the card for meanwhile goes on beside it.
pub struct Nccl {
    device: Device,
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Nccl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nccl(rank {} of {})", self.inner.rank, self.inner.size)
    }
}

impl Nccl {
    /// Waits for all ranks of `world` to come to the address.
    ///
    /// # Errors
    /// A device that is no card; several ranks and no address; NCCL's own.
    pub fn start(world: World, device: &Device) -> Result<Self> {
        let Device::Cuda(card) = device else { bail!("NCCL needs a card for every rank") };
        match meeting_address() {
            // SAFETY: a run begins with this, before threads that read the environment are started.
            Some(address) => unsafe { std::env::set_var(ADDRESS, address) },
            None if world.size == 1 => {}
            None => bail!(
                "{} ranks need {ADDRESS}=HOST:PORT, the same for all, on the first rank's machine",
                world.size
            ),
        }
        // With an address, every rank is given the same id: NCCL's first rank listens there.
        let id = Id::new().map_err(|error| fault("an id", error))?;
        let stream = card.cuda_stream().context().new_stream().w()?;
        let comm = Comm::from_rank(Arc::clone(&stream), world.rank, world.size, id);
        let comm = comm.map_err(|error| fault("meeting the other ranks", error))?;
        let comm = Mutex::new(Link(comm));
        Ok(Self {
            device: device.clone(),
            inner: Arc::new(Inner { rank: world.rank, size: world.size, comm, stream }),
        })
    }

    /// Values come back to where they were.
    fn exchange(&self, what: &str, values: &Tensor, way: Way) -> Result<Tensor> {
        let op = Exchange { way, what: what.to_owned(), inner: Arc::clone(&self.inner) };
        let own = values.to_device(&self.device)?.contiguous()?;
        let found = own.apply_op1_no_bwd(&op)?;
        // So that a wait for other ranks is in this call, where it is watched. What is sent must stay until then: the card's own stream,
        // in which memory is given back, does not wait.
        self.inner.stream.synchronize().w()?;
        drop(own);
        found.to_device(values.device())
    }
}

impl Communicator for Nccl {
    fn rank(&self) -> usize {
        self.inner.rank
    }

    fn size(&self) -> usize {
        self.inner.size
    }

    fn device(&self) -> Device {
        self.device.clone()
    }

    fn all_reduce(&self, what: &str, values: &Tensor) -> Result<Tensor> {
        check_summable(what, values)?;
        self.exchange(what, values, Way::Sum)
    }

    fn all_gather(&self, what: &str, part: &Tensor) -> Result<Tensor> {
        part.dims1()?;
        self.exchange(what, part, Way::Gather)
    }

    fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor> {
        check_root(what, root, self.size())?;
        values.dims1()?;
        self.exchange(what, values, Way::From(root))
    }

    fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>> {
        check_root(what, root, self.size())?;
        check_summable(what, values)?;
        let sums = self.exchange(what, values, Way::SumAt(root))?;
        Ok((self.rank() == root).then_some(sums))
    }
}

struct Exchange {
    way: Way,
    what: String,
    inner: Arc<Inner>,
}

impl Exchange {
    fn run<T: CudaDType + DeviceRepr + NcclType>(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
        card: &CudaDevice,
    ) -> Result<CudaStorage> {
        let (from, count) = (layout.start_offset(), layout.shape().elem_count());
        let own = storage.as_cuda_slice::<T>()?.slice(from..from + count);
        let all = if matches!(self.way, Way::Gather) { count * self.inner.size } else { count };
        // SAFETY: NCCL writes all of it, and where it does not (a sum for another rank), nobody reads it.
        let mut found = unsafe { card.alloc::<T>(all)? };
        // What is sent is computed, and the room for what comes is there, when the card's own stream has come so far.
        self.inner.stream.join(&card.cuda_stream()).w()?;
        self.collect(&own, &mut found).map_err(|error| fault(&self.what, error))?;
        Ok(CudaStorage::wrap_cuda_slice(found, card.clone()))
    }

    fn collect<T: NcclType>(
        &self,
        own: &impl DevicePtr<T>,
        found: &mut impl candle_core::cuda_backend::cudarc::driver::DevicePtrMut<T>,
    ) -> std::result::Result<(), NcclError> {
        let Link(comm) = &*self.inner.comm.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = &ReduceOp::Sum;
        match self.way {
            Way::Sum => comm.all_reduce(own, found, sum)?,
            Way::SumAt(root) => comm.reduce(own, Some(found), sum, root as i32)?,
            Way::Gather => comm.all_gather(own, found)?,
            Way::From(root) => comm.broadcast(Some(own), found, root as i32)?,
        };
        Ok(())
    }
}

impl CustomOp1 for Exchange {
    fn name(&self) -> &'static str {
        "nccl"
    }

    fn cpu_fwd(&self, _storage: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{}: NCCL exchanges values on cards", self.what)
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let card = &storage.device;
        let found = match candle_core::backend::BackendStorage::dtype(storage) {
            DType::F32 => self.run::<f32>(storage, layout, card)?,
            DType::F64 => self.run::<f64>(storage, layout, card)?,
            DType::BF16 => self.run::<bf16>(storage, layout, card)?,
            DType::F16 => self.run::<f16>(storage, layout, card)?,
            DType::U8 => self.run::<u8>(storage, layout, card)?,
            other => bail!("{}: ranks do not exchange {other:?}", self.what),
        };
        let count = layout.shape().elem_count();
        let all = if matches!(self.way, Way::Gather) { count * self.inner.size } else { count };
        Ok((found, Shape::from(all)))
    }
}

fn fault(what: &str, error: NcclError) -> candle_core::Error {
    candle_core::Error::Msg(format!("{what}: NCCL says {:?}", error.0))
}
