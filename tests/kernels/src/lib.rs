//! Runs the CUDA kernels of `strefer-nn` on the processor, to compare them with its operations there. Memory around results
//! is watched; memory that nobody wrote is no number.

mod ragged;

use std::ffi::{CStr, CString, c_char, c_void};

use candle_core::{DType, Device, Result, Tensor, bail};
use half::{bf16, f16};
use strefer_nn::kernels::{Arg, Finish, Launch, Product, Ragged, RaggedPass, Runner, Values};

unsafe extern "C" {
    fn strefer_launch(
        module: *const c_char,
        name: *const c_char,
        grid_x: u32,
        grid_y: u32,
        block: u32,
        shared: u32,
        kinds: *const c_char,
        args: *const *const c_void,
        order: u32,
    ) -> *const c_char;
}

/// Bytes before and behind values that nobody may touch.
const GUARD: usize = 64;
const UNTOUCHED: u8 = 0xff;

/// Values where kernels can read and write them.
#[derive(Debug)]
pub struct Memory {
    bytes: Vec<u8>,
    start: usize,
    values: Values,
}

impl Memory {
    fn own(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.values.count * self.values.dtype.size_in_bytes()
    }
}

/// Runs kernels on this processor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processor {
    /// In which order threads are taken: 0 theirs, 1 the reverse, else the seed of a shuffle.
    pub order: u32,
    /// Whether values lie off the 16 bytes that wide loads need.
    pub crooked: bool,
}

impl Processor {
    /// A tensor's values as they are.
    pub fn upload(&self, tensor: &Tensor) -> Result<Memory> {
        let flat = tensor.flatten_all()?;
        let bytes: Vec<u8> = match tensor.dtype() {
            DType::F32 => flat.to_vec1::<f32>()?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            DType::BF16 => flat.to_vec1::<bf16>()?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            DType::F16 => flat.to_vec1::<f16>()?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            DType::I64 => flat.to_vec1::<i64>()?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            DType::U32 => flat.to_vec1::<u32>()?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            DType::U8 => flat.to_vec1::<u8>()?,
            other => bail!("no kernel takes {other:?}"),
        };
        let mut memory = self.reserve(tensor.dtype(), tensor.elem_count())?;
        let own = memory.own();
        memory.bytes[own].copy_from_slice(&bytes);
        Ok(memory)
    }

    /// The values as they are, in a row; an error where a kernel wrote beside them.
    pub fn download(&self, memory: &Memory) -> Result<Tensor> {
        let own = memory.own();
        let mut around = memory.bytes[..own.start].iter().chain(&memory.bytes[own.end..]);
        if around.any(|byte| *byte != UNTOUCHED) {
            bail!("a kernel wrote beside {:?}", memory.values);
        }
        Tensor::from_raw_buffer(&memory.bytes[own], memory.values.dtype, &[memory.values.count], &Device::Cpu)
    }
}

/// The values at an address, in f32.
fn read(values: Values) -> Result<Vec<f32>> {
    let bytes = values.count * values.dtype.size_in_bytes();
    // SAFETY: what is lent to kernels lives in this test, as it says in number and type.
    let bytes = unsafe { std::slice::from_raw_parts(values.address as *const u8, bytes) };
    let tensor = Tensor::from_raw_buffer(bytes, values.dtype, &[values.count], &Device::Cpu)?;
    tensor.to_dtype(DType::F32)?.to_vec1()
}

/// Whole numbers at an address.
fn read_whole(values: Values) -> Result<Vec<u32>> {
    if values.dtype != DType::U32 {
        bail!("whole numbers are needed, not {:?}", values.dtype);
    }
    // SAFETY: as in `read`.
    let bytes = unsafe { std::slice::from_raw_parts(values.address as *const u8, values.count * 4) };
    Tensor::from_raw_buffer(bytes, DType::U32, &[values.count], &Device::Cpu)?.to_vec1()
}

/// Puts numbers at an address, rounded to its type.
fn write(values: Values, numbers: &[f32]) -> Result<()> {
    if numbers.len() != values.count {
        bail!("{} numbers for {} values", numbers.len(), values.count);
    }
    let bytes: Vec<u8> = match values.dtype {
        DType::F32 => numbers.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        DType::BF16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_ne_bytes()).collect(),
        DType::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_ne_bytes()).collect(),
        other => bail!("no library writes {other:?}"),
    };
    // SAFETY: as in `read`; what is written to is nobody else's.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), values.address as *mut u8, bytes.len()) };
    Ok(())
}

/// Sums of a product, one after the other.
fn sums(product: &Product) -> Result<Vec<f32>> {
    let Product { xs, weight, out, columns, depth, finish, .. } = *product;
    let (xs, weight) = (read(xs)?, read(weight)?);
    let (bias, there) = match finish {
        Finish::Plain => (None, None),
        Finish::Bias(bias) | Finish::BiasGelu(bias) => (Some(read(bias)?), None),
        Finish::Added => (None, Some(read(out)?)),
    };
    let sum = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        let (xs, weight) = (&xs[row * depth..][..depth], &weight[column * depth..][..depth]);
        let sum: f32 = xs.iter().zip(weight).map(|(x, w)| x * w).sum();
        let bias = bias.as_ref().map_or(0.0, |bias| bias[column]);
        let value = sum + bias + there.as_ref().map_or(0.0, |there| there[at]);
        match finish {
            Finish::BiasGelu(_) => {
                let inner = 0.797_884_6 * (value + 0.044_715 * value * value * value);
                0.5 * value * (1.0 + inner.tanh())
            }
            _ => value,
        }
    };
    Ok((0..out.count).map(sum).collect())
}

impl Runner for Processor {
    type Buffer = Memory;

    fn reserve(&self, dtype: DType, count: usize) -> Result<Memory> {
        let size = dtype.size_in_bytes();
        let mut bytes = vec![UNTOUCHED; count * size + 2 * GUARD + 16];
        let address = bytes.as_mut_ptr() as usize;
        let aligned = (address + GUARD).next_multiple_of(16) - address;
        let start = aligned + if self.crooked { size } else { 0 };
        let values = Values { address: (address + start) as u64, dtype, count };
        Ok(Memory { bytes, start, values })
    }

    fn values(&self, buffer: &mut Memory) -> Values {
        Values { address: buffer.bytes.as_mut_ptr() as u64 + buffer.start as u64, ..buffer.values }
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        let kinds: String = launch
            .args
            .iter()
            .map(|arg| match arg {
                Arg::Pointer(_) => 'p',
                Arg::Long(_) => 'l',
                Arg::Int(_) => 'i',
                Arg::Float(_) => 'f',
            })
            .collect();
        let pointers: Vec<*const c_void> = launch
            .args
            .iter()
            .map(|arg| match arg {
                Arg::Pointer(value) => std::ptr::from_ref(value).cast(),
                Arg::Long(value) => std::ptr::from_ref(value).cast(),
                Arg::Int(value) => std::ptr::from_ref(value).cast(),
                Arg::Float(value) => std::ptr::from_ref(value).cast(),
            })
            .collect();
        let text = |text: &str| CString::new(text).map_err(candle_core::Error::wrap);
        let (module, name, kinds) = (text(launch.module)?, text(&launch.kernel)?, text(&kinds)?);
        let (grid_x, grid_y) = launch.grid;
        // SAFETY: the arguments are of the kinds that the kernel takes, which is checked there; what their pointers name
        // lives in this test.
        let fault = unsafe {
            strefer_launch(
                module.as_ptr(),
                name.as_ptr(),
                grid_x,
                grid_y,
                launch.block,
                launch.shared,
                kinds.as_ptr(),
                pointers.as_ptr(),
                self.order,
            )
        };
        if fault.is_null() {
            return Ok(());
        }
        // SAFETY: a string that stays until this thread's next launch.
        let fault = unsafe { CStr::from_ptr(fault) };
        bail!("{}: {}", launch.kernel, fault.to_string_lossy())
    }

    /// As its definition says it.
    fn product(&self, product: &Product) -> Result<()> {
        let sums = sums(product)?;
        write(product.out, &sums)
    }

    /// Likewise.
    fn ragged(&self, call: &Ragged, lists: Values, pass: RaggedPass) -> Result<()> {
        ragged::run(call, lists, pass)
    }

    fn clear(&self, values: Values) -> Result<()> {
        write(values, &vec![0.0; values.count])
    }
}
