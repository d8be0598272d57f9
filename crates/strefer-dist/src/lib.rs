//! Ranks of one training run: who they are ([`World`]), and what they compute together ([`Communicator`]).
//!
//! Every rank makes the same calls in the same order, each on values of the same shape and type. Sums have the same bits on
//! every rank, and again the same bits when the same number of ranks sums the same values.
//!
//! | communicator | ranks are |
//! |---|---|
//! | [`Alone`] | one process |
//! | [`ThreadRank`] | threads of one process, for tests |
//! | `Mpi` (feature `mpi`) | processes that `mpirun` or Slurm started |
//! | `Nccl` (feature `nccl`) | processes with a card each, however started |
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use strefer_dist::{Communicator, ThreadRank};
//!
//! let sums: Vec<f32> = std::thread::scope(|scope| {
//!     let ranks = ThreadRank::group(3).into_iter();
//!     let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || {
//!         let own = Tensor::new(&[rank.rank() as f32], &Device::Cpu)?;
//!         rank.all_reduce("ranks", &own)?.to_vec1::<f32>()
//!     })).collect();
//!     threads.into_iter().map(|thread| thread.join().unwrap().unwrap()[0]).collect()
//! });
//! assert_eq!(sums, [3.0; 3]);
//! ```

mod communicator;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod threads;
mod watchdog;
mod world;

pub use communicator::{Alone, Communicator, gather_bytes, sum_of};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
#[cfg(feature = "nccl")]
pub use nccl::Nccl;
pub use threads::ThreadRank;
pub use watchdog::{Stall, Watch, Watched};
pub use world::{World, WorldError, meeting_address};
