//! The other processes of this one's run, as its launcher says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use strefer_dist::{Alone, Communicator, World};

/// This process among its ranks; alone where no launcher speaks of others. A wait of more than `patience` ends the process.
pub fn ranks(patience: Duration) -> Result<Arc<dyn Communicator>> {
    let world = World::from_env()?;
    if world.size == 1 {
        return Ok(Arc::new(Alone));
    }
    connect(world, patience)
}

#[cfg(feature = "mpi")]
fn connect(world: World, patience: Duration) -> Result<Arc<dyn Communicator>> {
    use strefer_dist::{Mpi, Watched};

    let ranks = Mpi::start()?;
    if (ranks.rank(), ranks.size()) != (world.rank, world.size) {
        bail!(
            "the environment says rank {} of {}, MPI says rank {} of {}: start it with mpirun, or with srun --mpi=pmix",
            world.rank,
            world.size,
            ranks.rank(),
            ranks.size()
        );
    }
    Ok(Arc::new(Watched::new(Arc::new(ranks), patience, |stall| {
        // No collective can be called off, and the launcher ends the other ranks when one is gone.
        eprintln!("error: {stall}");
        std::process::exit(1);
    })))
}

#[cfg(not(feature = "mpi"))]
fn connect(world: World, _patience: Duration) -> Result<Arc<dyn Communicator>> {
    let World { rank, size, .. } = world;
    bail!("this is rank {rank} of {size}, and the program was built for one: build it with --features mpi")
}
