//! The other processes of this one's run, as its launcher says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use candle_core::Device;
use strefer_dist::{Alone, Communicator, Watch, Watched, World};

/// This process among its ranks, over NCCL with a card each and over MPI on CPUs; alone where no launcher speaks of others. A wait
/// of more than `patience` ends the process.
pub fn ranks(world: World, device: &Device, patience: Duration) -> Result<Arc<dyn Communicator>> {
    if world.size == 1 {
        return Ok(Arc::new(Alone));
    }
    // Without NCCL, MPI carries what lies on cards through the hosts.
    let nccl = device.is_cuda() && (cfg!(feature = "nccl") || !cfg!(feature = "mpi"));
    let watch = Watch::new(world.rank, world.size, patience, |stall| {
        // No collective can be called off, and the launcher ends the other ranks when one is gone.
        eprintln!("error: {stall}");
        std::process::exit(1);
    });
    let start = || if nccl { over_nccl(world, device) } else { over_mpi(world) };
    let ranks = watch.during("to meet them", start)?;
    Ok(Arc::new(Watched::new(ranks, watch)))
}

#[cfg(feature = "nccl")]
fn over_nccl(world: World, device: &Device) -> Result<Arc<dyn Communicator>> {
    Ok(Arc::new(strefer_dist::Nccl::start(world, device)?))
}

#[cfg(not(feature = "nccl"))]
fn over_nccl(world: World, _device: &Device) -> Result<Arc<dyn Communicator>> {
    without(world, "nccl")
}

#[cfg(feature = "mpi")]
fn over_mpi(world: World) -> Result<Arc<dyn Communicator>> {
    let ranks = strefer_dist::Mpi::start()?;
    if (ranks.rank(), ranks.size()) != (world.rank, world.size) {
        bail!(
            "the environment says rank {} of {}, MPI says rank {} of {}: start it with mpirun, or with srun --mpi=pmix",
            world.rank,
            world.size,
            ranks.rank(),
            ranks.size()
        );
    }
    Ok(Arc::new(ranks))
}

#[cfg(not(feature = "mpi"))]
fn over_mpi(world: World) -> Result<Arc<dyn Communicator>> {
    without(world, "mpi")
}

#[cfg(not(all(feature = "mpi", feature = "nccl")))]
fn without(World { rank, size, .. }: World, feature: &str) -> Result<Arc<dyn Communicator>> {
    bail!(
        "this is rank {rank} of {size}, and the program was built for one: build it with --features {feature}"
    )
}
