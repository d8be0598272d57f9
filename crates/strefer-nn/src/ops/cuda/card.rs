//! Launches kernels on candle's card, in its stream. Where a card has several ([`crate::open_card`] gives it one), candle's events order
//! them, if they are on.

use std::cell::Cell;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::result::memset_d8_async;
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute_enum;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, DType, InplaceOp1, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::recorded;
use crate::kernels::{Arg, Launch, Product, Ragged, RaggedPass, Runner, Values};

/// Programs by the names of their modules, as the build made them.
const PROGRAMS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// A module's program, for the driver to compile.
fn program(module: &str) -> Result<&'static str> {
    match PROGRAMS.iter().find(|(name, _)| *name == module) {
        Some((_, program)) => Ok(program),
        None => bail!("no kernels are named {module}"),
    }
}

/// Shared memory that a block may have without a word.
const UNASKED_SHARED: u32 = 48 << 10;

/// A card that runs kernels.
pub(super) struct Card {
    device: CudaDevice,
    stream: Arc<CudaStream>,
}

/// Memory for what kernels write.
pub(super) struct Reserved {
    /// Until it is handed on.
    storage: Option<CudaStorage>,
    values: Values,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // What was for a while only, launches that are made again want again.
        if let Some(storage) = self.storage.take().filter(|_| recorded::is_on()) {
            recorded::hold(self.values.address, || of_storage(storage, self.values.count.max(1)));
        }
    }
}

impl Card {
    pub(super) fn new(device: &CudaDevice) -> Self {
        Self { device: device.clone(), stream: device.cuda_stream() }
    }

    /// Lends the values of storages to kernels. Other streams wait until these have read them.
    pub(super) fn lend<R>(
        &self,
        inputs: &[(&CudaStorage, &Layout)],
        work: impl FnOnce(&Self, &[Values]) -> Result<R>,
    ) -> Result<R> {
        self.lend_as(inputs, within, work)
    }

    fn lend_as<R>(
        &self,
        inputs: &[(&CudaStorage, &Layout)],
        part: impl Fn(u64, &CudaStorage, &Layout) -> Result<Values>,
        work: impl FnOnce(&Self, &[Values]) -> Result<R>,
    ) -> Result<R> {
        let mut held = Vec::with_capacity(inputs.len());
        let mut values = Vec::with_capacity(inputs.len());
        for (storage, layout) in inputs {
            let (address, guard) = place(storage, &self.stream)?;
            values.push(part(address, storage, layout)?);
            held.push(guard);
        }
        work(self, &values)
    }

    /// Values that kernels change in place.
    pub(super) fn lend_mut(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<Values> {
        let address = place_mut(storage, &self.stream)?;
        within(address, storage, layout)
    }

    /// What kernels wrote. Other streams wait for them.
    pub(super) fn written(&self, storage: &mut CudaStorage) -> Result<()> {
        place_mut(storage, &self.stream).map(|_| ())
    }
}

impl Runner for Card {
    type Buffer = Reserved;

    fn reserve(&self, dtype: DType, count: usize) -> Result<Reserved> {
        // No card gives out no bytes.
        let size = count.max(1);
        // SAFETY: kernels write all of it before anything reads it.
        let slice = unsafe {
            match dtype {
                DType::F32 => CudaStorageSlice::F32(self.device.alloc(size)?),
                DType::BF16 => CudaStorageSlice::BF16(self.device.alloc(size)?),
                DType::F16 => CudaStorageSlice::F16(self.device.alloc(size)?),
                other => bail!("no kernel writes {other:?}"),
            }
        };
        let mut storage = CudaStorage { slice, device: self.device.clone() };
        let address = place_mut(&mut storage, &self.stream)?;
        recorded::reserved(address);
        Ok(Reserved { storage: Some(storage), values: Values { address, dtype, count } })
    }

    fn values(&self, buffer: &mut Reserved) -> Values {
        buffer.values
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        let name = format!("strefer-{}", launch.module);
        let function = self.device.get_or_load_custom_func(&launch.kernel, &name, program(launch.module)?)?;
        if launch.shared > UNASKED_SHARED {
            let most = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, launch.shared as i32).w()?;
        }
        launch_in(&self.stream, &function, launch)?;
        recorded::launched(&self.device, |stream| launch_in(stream, &function, launch));
        Ok(())
    }

    fn product(&self, product: &Product) -> Result<()> {
        recorded::cannot();
        super::blas::product(&self.device, product)
    }

    fn ragged(&self, call: &Ragged, lists: Values, pass: RaggedPass) -> Result<()> {
        recorded::cannot();
        super::cudnn::ragged(self, &self.device, call, lists, pass)
    }

    fn clear(&self, values: Values) -> Result<()> {
        recorded::cannot();
        let bytes = values.count * values.dtype.size_in_bytes();
        if bytes == 0 {
            return Ok(());
        }
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: so many bytes there are, which nobody else writes.
        unsafe { memset_d8_async(values.address, 0, bytes, self.stream.cu_stream()) }.w()
    }
}

fn launch_in(stream: &Arc<CudaStream>, function: &CudaFunction, launch: &Launch) -> Result<()> {
    let mut builder = stream.launch_builder(function);
    for arg in &launch.args {
        match arg {
            Arg::Pointer(value) => builder.arg(value),
            Arg::Long(value) => builder.arg(value),
            Arg::Int(value) => builder.arg(value),
            Arg::Float(value) => builder.arg(value),
        };
    }
    let (across, down) = launch.grid;
    let cfg = LaunchConfig {
        grid_dim: (across, down, 1),
        block_dim: (launch.block, 1, 1),
        shared_mem_bytes: launch.shared,
    };
    // SAFETY: `crate::kernels` says which arguments each kernel takes and how far it reads and writes; its tests run
    // the same launches over guarded memory.
    unsafe { builder.launch(cfg) }.w()?;
    Ok(())
}

/// Runs a method that storages of every type of kernels have.
macro_rules! of_slice {
    ($slice:expr, $values:ident => $found:expr) => {
        match $slice {
            CudaStorageSlice::F32($values) => $found,
            CudaStorageSlice::BF16($values) => $found,
            CudaStorageSlice::F16($values) => $found,
            CudaStorageSlice::U8($values) => $found,
            CudaStorageSlice::U32($values) => $found,
            CudaStorageSlice::I64($values) => $found,
            _ => bail!("no kernel takes this type of storage"),
        }
    };
}

fn place<'a>(storage: &'a CudaStorage, stream: &'a CudaStream) -> Result<(u64, SyncOnDrop<'a>)> {
    of_slice!(&storage.slice, values => Ok(values.device_ptr(stream)))
}

fn place_mut(storage: &mut CudaStorage, stream: &CudaStream) -> Result<u64> {
    of_slice!(&mut storage.slice, values => Ok(values.device_ptr_mut(stream).0))
}

/// The part of a storage that a layout names.
fn within(address: u64, storage: &CudaStorage, layout: &Layout) -> Result<Values> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("kernels need contiguous values, got {layout:?}");
    };
    let dtype = candle_core::backend::BackendStorage::dtype(storage);
    Ok(Values { address: address + (start * dtype.size_in_bytes()) as u64, dtype, count: end - start })
}

/// All values from the first one of a layout on.
fn from_first(address: u64, storage: &CudaStorage, layout: &Layout) -> Result<Values> {
    let dtype = candle_core::backend::BackendStorage::dtype(storage);
    let count = of_slice!(&storage.slice, values => values.len()) - layout.start_offset();
    let address = address + (layout.start_offset() * dtype.size_in_bytes()) as u64;
    Ok(Values { address, dtype, count })
}

/// The tensors, each in one run.
pub(super) fn in_runs(tensors: &[&Tensor]) -> Result<Vec<Tensor>> {
    if !tensors.iter().all(|xs| xs.is_contiguous()) {
        recorded::cannot();
    }
    tensors.iter().map(|xs| xs.contiguous()).collect()
}

/// Lends tensors to kernels of their card.
pub(super) fn with_tensors<R>(
    tensors: &[&Tensor],
    work: impl FnOnce(&Card, &[Values]) -> Result<R>,
) -> Result<R> {
    let tensors = in_runs(tensors)?;
    lend(&tensors.iter().collect::<Vec<_>>(), within, work)
}

/// As [`with_tensors`], of views, as all values from their first one on.
pub(super) fn with_views<R>(
    tensors: &[&Tensor],
    work: impl FnOnce(&Card, &[Values]) -> Result<R>,
) -> Result<R> {
    lend(tensors, from_first, work)
}

fn lend<R>(
    tensors: &[&Tensor],
    place: impl Fn(u64, &CudaStorage, &Layout) -> Result<Values>,
    work: impl FnOnce(&Card, &[Values]) -> Result<R>,
) -> Result<R> {
    let held: Vec<_> = tensors.iter().map(|xs| xs.storage_and_layout()).collect();
    let inputs = held
        .iter()
        .map(|(storage, layout)| match &**storage {
            Storage::Cuda(storage) => Ok((storage, *layout)),
            _ => bail!("kernels run on a card"),
        })
        .collect::<Result<Vec<_>>>()?;
    let Some((first, _)) = inputs.first() else { bail!("kernels without values") };
    Card::new(&first.device).lend_as(&inputs, place, work)
}

/// Where the first value of a tensor lies on its card.
pub(super) fn address(xs: &Tensor) -> Result<u64> {
    let (storage, layout) = xs.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("kernels run on a card") };
    let card = Card::new(&storage.device);
    let (address, _read) = place(storage, &card.stream)?;
    Ok(from_first(address, storage, layout)?.address)
}

/// What kernels wrote, for other streams to wait for.
pub(super) fn finished(mut reserved: Reserved) -> Result<CudaStorage> {
    let Some(mut storage) = reserved.storage.take() else { bail!("memory that was handed on") };
    let card = Card::new(&storage.device);
    card.written(&mut storage)?;
    Ok(storage)
}

/// What kernels wrote, as a tensor without a history.
pub(super) fn tensor(reserved: Reserved, shape: impl Into<Shape>) -> Result<Tensor> {
    let address = reserved.values.address;
    let found = of_storage(finished(reserved)?, shape);
    recorded::hold(address, || found.clone());
    Ok(found)
}

fn of_storage(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// Changes a tensor's values, for all its clones.
pub(super) fn in_place<R>(
    tensor: &Tensor,
    work: impl FnOnce(&mut CudaStorage, &Layout) -> Result<R>,
) -> Result<R> {
    let op = InPlace { work: Cell::new(Some(work)), found: Cell::new(None) };
    tensor.inplace_op1(&op)?;
    match op.found.take() {
        Some(found) => Ok(found),
        None => bail!("in-place: nothing was done"),
    }
}

struct InPlace<F, R> {
    work: Cell<Option<F>>,
    found: Cell<Option<R>>,
}

impl<F: FnOnce(&mut CudaStorage, &Layout) -> Result<R>, R> InplaceOp1 for InPlace<F, R> {
    fn name(&self) -> &'static str {
        "in-place"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        bail!("in-place: kernels run on a card")
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        if let Some(work) = self.work.take() {
            self.found.set(Some(work(storage, layout)?));
        }
        Ok(())
    }
}
