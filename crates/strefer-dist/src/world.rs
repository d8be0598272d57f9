//! Which rank of how many this process is, as its launcher says in the environment.

/// This process among those of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// This rank, from 0.
    pub rank: usize,
    /// How many ranks there are.
    pub size: usize,
    /// This rank among those on the same machine, which chooses its card.
    pub local_rank: usize,
}

/// Variables of the launcher that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A variable that goes with others is missing.
    #[error("{present} is set and {missing} is not: both say which rank of how many this process is")]
    Missing {
        /// One that is there.
        present: &'static str,
        /// One that is not.
        missing: &'static str,
    },
    /// A variable that is no number.
    #[error("{name} is {value:?}, not a number")]
    NoNumber {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A rank that cannot be.
    #[error("{name} is {rank}, and there are {size} ranks")]
    NoSuchRank {
        /// The variable.
        name: &'static str,
        /// The rank.
        rank: usize,
        /// How many there are.
        size: usize,
    },
}

/// Rank, size and local rank as launchers name them; the first of which the rank is set speaks.
const LAUNCHERS: [[&str; 3]; 4] = [
    ["RANK", "WORLD_SIZE", "LOCAL_RANK"],
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"],
    ["SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"],
];

impl World {
    /// One process alone.
    pub const ALONE: Self = Self { rank: 0, size: 1, local_rank: 0 };

    /// As torchrun, OpenMPI, MPICH or Slurm set the environment; alone without any of them.
    ///
    /// # Errors
    /// Variables that are incomplete, no numbers, or contradict each other.
    pub fn from_env() -> Result<Self, WorldError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, WorldError> {
        let launcher = LAUNCHERS.into_iter().find_map(|names| Some((names, get(names[0])?)));
        let Some(([rank_name, size_name, local_name], rank)) = launcher else { return Ok(Self::ALONE) };
        let number = |name, value: String| match value.trim().parse::<usize>() {
            Ok(number) => Ok(number),
            Err(_) => Err(WorldError::NoNumber { name, value }),
        };
        let missing = WorldError::Missing { present: rank_name, missing: size_name };
        let size = number(size_name, get(size_name).ok_or(missing)?)?;
        let rank = number(rank_name, rank)?;
        let local_rank = get(local_name).map_or(Ok(0), |value| number(local_name, value))?;
        for (name, rank) in [(rank_name, rank), (local_name, local_rank)] {
            if rank >= size {
                return Err(WorldError::NoSuchRank { name, rank, size });
            }
        }
        Ok(Self { rank, size, local_rank })
    }
}

/// Names the address at which NCCL's ranks find each other.
pub(crate) const ADDRESS: &str = "NCCL_COMM_ID";

/// Where ranks with cards find each other, `host:port` on the first one's machine, as the environment says: `NCCL_COMM_ID`, or
/// the port behind the one that torchrun uses itself (`MASTER_ADDR`, `MASTER_PORT`).
pub fn meeting_address() -> Option<String> {
    address_from(|name| std::env::var(name).ok())
}

fn address_from(get: impl Fn(&str) -> Option<String>) -> Option<String> {
    get(ADDRESS).or_else(|| {
        let port: u16 = get("MASTER_PORT")?.trim().parse().ok()?;
        Some(format!("{}:{}", get("MASTER_ADDR")?, port.checked_add(1)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_meet_where_the_environment_says() {
        let address = |set: &[(&str, &str)]| {
            address_from(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let torchrun = [("MASTER_ADDR", "first"), ("MASTER_PORT", "29500")];
        assert_eq!(address(&torchrun).as_deref(), Some("first:29501"));
        assert_eq!(address(&[torchrun[0], torchrun[1], (ADDRESS, "a:1")]).as_deref(), Some("a:1"));
        assert_eq!(address(&torchrun[..1]), None);
        assert_eq!(address(&[torchrun[0], ("MASTER_PORT", "65535")]), None);
    }

    fn world(set: &[(&str, &str)]) -> Result<World, WorldError> {
        World::from_variables(|name| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_launcher_is_understood() {
        assert_eq!(world(&[]), Ok(World::ALONE));
        assert_eq!(world(&[("SLURM_NTASKS", "4")]), Ok(World::ALONE));
        for names in LAUNCHERS {
            let set = [(names[0], "5"), (names[1], "8"), (names[2], "1")];
            assert_eq!(world(&set), Ok(World { rank: 5, size: 8, local_rank: 1 }), "{names:?}");
            assert_eq!(world(&set[..2]).map(|world| world.local_rank), Ok(0));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let error = |set: &[(&str, &str)]| world(set).unwrap_err().to_string();
        assert!(error(&[("RANK", "0")]).contains("WORLD_SIZE"));
        assert!(error(&[("RANK", "first"), ("WORLD_SIZE", "2")]).contains("\"first\""));
        assert!(error(&[("RANK", "2"), ("WORLD_SIZE", "2")]).contains("RANK is 2"));
        assert!(
            error(&[("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "7")]).contains("LOCAL_RANK is 7")
        );
    }
}
