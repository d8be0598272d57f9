//! Ranks that `mpirun` or Slurm started, over MPI on CPUs.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, bail};
use half::{bf16, f16};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives, Equivalence, Root};

use crate::communicator::{Communicator, check_root, check_summable};

/// MPI counts with 32 bits: longer values go in portions.
const PORTION: usize = 1 << 28;

/// Which way values go.
#[derive(Clone, Copy)]
enum Way {
    /// From everyone to everyone.
    Gather,
    /// From one to everyone.
    From(usize),
}

struct Inner {
    world: SimpleCommunicator,
    /// MPI ends when this is dropped.
    _universe: Universe,
}

// SAFETY: MPI was started such that any thread may call it, one at a time, which the mutex around this sees to.
unsafe impl Send for Inner {}

/// The ranks of MPI's world.
pub struct Mpi {
    rank: usize,
    size: usize,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mpi(rank {} of {})", self.rank, self.size)
    }
}

impl Mpi {
    /// Starts MPI, once in a process.
    ///
    /// # Errors
    /// It was started before, or lets no thread but the first call it.
    pub fn start() -> Result<Self> {
        let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Serialized) else {
            bail!("MPI was started before");
        };
        if threading < Threading::Serialized {
            bail!("this MPI offers {threading:?} only: it must be callable from every thread");
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(Self { rank, size, inner: Mutex::new(Inner { world, _universe: universe }) })
    }

    fn with<T>(&self, work: impl FnOnce(&SimpleCommunicator) -> T) -> T {
        work(&self.inner.lock().unwrap_or_else(PoisonError::into_inner).world)
    }

    fn sums<T: Equivalence + Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let mut sums = vec![T::default(); values.len()];
        self.with(|world| {
            for (own, sum) in values.chunks(PORTION).zip(sums.chunks_mut(PORTION)) {
                world.all_reduce_into(own, sum, SystemOperation::sum());
            }
        });
        sums
    }

    fn gathered<T: Equivalence + Copy + Default>(&self, part: &[T]) -> Vec<T> {
        let count = part.len();
        let mut all = vec![T::default(); count * self.size];
        self.with(|world| {
            if count <= PORTION {
                world.all_gather_into(part, &mut all[..]);
                return;
            }
            let mut own = vec![T::default(); PORTION * self.size];
            for (at, portion) in part.chunks(PORTION).enumerate() {
                let own = &mut own[..portion.len() * self.size];
                world.all_gather_into(portion, own);
                for (rank, values) in own.chunks(portion.len()).enumerate() {
                    let from = rank * count + at * PORTION;
                    all[from..from + values.len()].copy_from_slice(values);
                }
            }
        });
        all
    }

    /// `values` of `root`, in the place of those of the others.
    fn told<T: Equivalence + Copy>(&self, mut values: Vec<T>, root: usize) -> Vec<T> {
        self.with(|world| {
            for portion in values.chunks_mut(PORTION) {
                world.process_at_rank(root as i32).broadcast_into(portion);
            }
        });
        values
    }

    fn moved<T: Equivalence + Copy + Default>(&self, values: Vec<T>, way: Way) -> Vec<T> {
        match way {
            Way::Gather => self.gathered(&values),
            Way::From(root) => self.told(values, root),
        }
    }

    /// `values`: `(n)`, f32, f64, bf16, f16 or u8
    fn exchange(&self, what: &str, values: &Tensor, way: Way) -> Result<Tensor> {
        let count = match way {
            Way::Gather => values.dims1()? * self.size,
            Way::From(_) => values.dims1()?,
        };
        let cpu = &Device::Cpu;
        match values.dtype() {
            DType::F32 => Tensor::from_vec(self.moved(values.to_vec1::<f32>()?, way), count, cpu),
            DType::F64 => Tensor::from_vec(self.moved(values.to_vec1::<f64>()?, way), count, cpu),
            DType::U8 => Tensor::from_vec(self.moved(values.to_vec1::<u8>()?, way), count, cpu),
            DType::BF16 => {
                let bits: Vec<u16> = values.to_vec1::<bf16>()?.into_iter().map(bf16::to_bits).collect();
                let all: Vec<bf16> = self.moved(bits, way).into_iter().map(bf16::from_bits).collect();
                Tensor::from_vec(all, count, cpu)
            }
            DType::F16 => {
                let bits: Vec<u16> = values.to_vec1::<f16>()?.into_iter().map(f16::to_bits).collect();
                let all: Vec<f16> = self.moved(bits, way).into_iter().map(f16::from_bits).collect();
                Tensor::from_vec(all, count, cpu)
            }
            other => bail!("{what}: ranks do not exchange {other:?}"),
        }
    }

    fn sums_at<T: Equivalence + Copy + Default>(&self, values: &[T], root: usize) -> Option<Vec<T>> {
        self.with(|world| {
            let process = world.process_at_rank(root as i32);
            if self.rank != root {
                for own in values.chunks(PORTION) {
                    process.reduce_into(own, SystemOperation::sum());
                }
                return None;
            }
            let mut sums = vec![T::default(); values.len()];
            for (own, sum) in values.chunks(PORTION).zip(sums.chunks_mut(PORTION)) {
                process.reduce_into_root(own, sum, SystemOperation::sum());
            }
            Some(sums)
        })
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce(&self, what: &str, values: &Tensor) -> Result<Tensor> {
        check_summable(what, values)?;
        let count = values.elem_count();
        match values.dtype() {
            DType::F64 => Tensor::from_vec(self.sums(&values.to_vec1::<f64>()?), count, &Device::Cpu),
            _ => Tensor::from_vec(self.sums(&values.to_vec1::<f32>()?), count, &Device::Cpu),
        }
    }

    fn all_gather(&self, what: &str, part: &Tensor) -> Result<Tensor> {
        self.exchange(what, part, Way::Gather)
    }

    fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor> {
        check_root(what, root, self.size)?;
        self.exchange(what, values, Way::From(root))
    }

    fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>> {
        check_root(what, root, self.size)?;
        check_summable(what, values)?;
        let count = values.elem_count();
        match values.dtype() {
            DType::F64 => {
                let sums = self.sums_at(&values.to_vec1::<f64>()?, root);
                sums.map(|sums| Tensor::from_vec(sums, count, &Device::Cpu)).transpose()
            }
            _ => {
                let sums = self.sums_at(&values.to_vec1::<f32>()?, root);
                sums.map(|sums| Tensor::from_vec(sums, count, &Device::Cpu)).transpose()
            }
        }
    }
}
