//! Products by cuBLASLt.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::cublaslt::{Activation, CudaBlasLT, Matmul, MatmulConfig};
use candle_core::cuda_backend::cudarc::driver::{
    CudaStream, DevicePtr, DevicePtrMut, DeviceSlice, SyncOnDrop,
};
use candle_core::{CudaDevice, DType, Error, Result, bail};
use half::{bf16, f16};

use crate::kernels::{Finish, Product, Values};

/// The library on each card that has been used. A product may be several kernels that speak through its workspace: whoever asks for
/// one holds it until all of them are in the card's stream.
static LIBRARIES: Mutex<Vec<(DeviceId, Library)>> = Mutex::new(Vec::new());

type Library = Arc<Mutex<CudaBlasLT>>;

fn library(device: &CudaDevice) -> Result<Library> {
    let mut known = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, library)) = known.iter().find(|(id, _)| *id == device.id()) {
        return Ok(Arc::clone(library));
    }
    let library = CudaBlasLT::new(device.cuda_stream()).map_err(Error::wrap)?;
    let library = Arc::new(Mutex::new(library));
    known.push((device.id(), Arc::clone(&library)));
    Ok(library)
}

/// Values that are lent already: whoever lends them sees to the order of streams.
struct Lent {
    values: Values,
    stream: Arc<CudaStream>,
}

impl<T> DeviceSlice<T> for Lent {
    fn len(&self) -> usize {
        self.values.count
    }

    fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }
}

impl<T> DevicePtr<T> for Lent {
    fn device_ptr<'a>(&'a self, _stream: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.values.address, SyncOnDrop::Record(None))
    }
}

impl<T> DevicePtrMut<T> for Lent {
    fn device_ptr_mut<'a>(&'a mut self, _stream: &'a CudaStream) -> (u64, SyncOnDrop<'a>) {
        (self.values.address, SyncOnDrop::Record(None))
    }
}

/// Puts a product behind what the card does already.
pub(super) fn product(device: &CudaDevice, product: &Product) -> Result<()> {
    match product.xs.dtype {
        DType::BF16 => run::<bf16>(device, product),
        DType::F16 => run::<f16>(device, product),
        other => bail!("no product of {other:?} on a card"),
    }
}

fn run<T>(device: &CudaDevice, product: &Product) -> Result<()>
where
    CudaBlasLT: Matmul<T>,
{
    let lent = |values: Values| Lent { values, stream: device.cuda_stream() };
    let (bias, activation, beta) = match product.finish {
        Finish::Plain => (None, None, 0.0),
        Finish::Bias(bias) => (Some(lent(bias)), None, 0.0),
        // The library's GELU is the one by the hyperbolic tangent.
        Finish::BiasGelu(bias) => (Some(lent(bias)), Some(Activation::Gelu), 0.0),
        Finish::Added => (None, None, 1.0),
    };
    let (rows, columns, depth) = (product.rows, product.columns, product.depth);
    // The library goes down columns: what lies row by row is the transposed matrix to it.
    let config = MatmulConfig {
        transa: true,
        transb: false,
        transc: false,
        m: columns as u64,
        n: rows as u64,
        k: depth as u64,
        alpha: 1.0,
        lda: depth as i64,
        ldb: depth as i64,
        beta,
        ldc: columns as i64,
        stride_a: None,
        stride_b: None,
        stride_c: None,
        stride_bias: None,
        batch_size: None,
    };
    let (weight, xs, mut out) = (lent(product.weight), lent(product.xs), lent(product.out));
    let library = library(device)?;
    let library = library.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: `Product` has been checked: all values lie in matrices of these sizes, in one run each.
    unsafe { library.matmul(config, &weight, &xs, &mut out, bias.as_ref(), activation.as_ref()) }
        .map_err(Error::wrap)
}
