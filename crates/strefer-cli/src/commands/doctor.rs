//! `strefer doctor`: what this machine and this program can do, and what will not work and why.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use strefer_dist::World;
use sysinfo::{Disks, System};

use crate::model_dir::find_model;

/// Bytes that are written and read to see how fast a disk is.
const DISK_BYTES: usize = 256 << 20;

/// Files that a run may have open at once: shards, videos, logs.
const FEW_FILES: u64 = 1024;

/// Say what this machine and this program can do, and what will not work and why
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A folder on the disk that runs will be written to; 256 MB are written there and removed again
    #[arg(long, default_value = ".")]
    disk: PathBuf,
    /// Print one JSON object a finding
    #[arg(long)]
    json: bool,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// It works, and something is slower or left out.
    Limited,
    /// Something will not work.
    Missing,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        })
    }
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    says: String,
}

fn finding(what: &'static str, state: State, says: impl Into<String>) -> Finding {
    Finding { what, state, says: says.into() }
}

/// Runs it.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let findings = [
        program(),
        processor(),
        memory(),
        card(),
        #[cfg(feature = "cuda")]
        attention(),
        videos(),
        disk(&args.disk),
        open_files(),
        launcher(),
        hub(),
        model(),
    ];
    for finding in findings {
        if args.json {
            println!("{}", serde_json::to_string(&finding)?);
        } else {
            println!("{:8} {:10} {}", finding.state, finding.what, finding.says);
        }
    }
    Ok(())
}

fn program() -> Finding {
    let features = [
        ("ffmpeg", cfg!(feature = "ffmpeg")),
        ("hub", cfg!(feature = "hub")),
        ("parquet", cfg!(feature = "parquet")),
        ("cloud", cfg!(feature = "cloud")),
        ("mpi", cfg!(feature = "mpi")),
        ("cuda", cfg!(feature = "cuda")),
        ("nccl", cfg!(feature = "nccl")),
    ];
    let with = |wanted: bool| {
        let names = features.iter().filter(|(_, built)| *built == wanted).map(|(name, _)| *name);
        let names = names.collect::<Vec<_>>().join(", ");
        if names.is_empty() { "nothing".to_owned() } else { names }
    };
    let says = format!("strefer {} with {}, without {}", env!("CARGO_PKG_VERSION"), with(true), with(false));
    finding("program", State::Good, says)
}

fn processor() -> Finding {
    let mut system = System::new();
    system.refresh_cpu_all();
    let name = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (state, vectors) = vectors();
    finding("processor", state, format!("{name}, {cores} cores to use, {vectors}"))
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> (State, &'static str) {
    if std::arch::is_x86_feature_detected!("avx512f") {
        (State::Good, "AVX-512")
    } else if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        (State::Good, "AVX2")
    } else {
        (State::Limited, "neither AVX2 nor AVX-512: everything on the CPU is several times slower")
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> (State, &'static str) {
    (State::Good, std::env::consts::ARCH)
}

fn memory() -> Finding {
    const GB: f64 = 1e9;
    let mut system = System::new();
    system.refresh_memory();
    let (mut total, mut free) = (system.total_memory(), system.available_memory());
    let mut of = "this machine's";
    if let Some(limits) = system.cgroup_limits()
        && limits.total_memory < total
    {
        (total, free, of) = (limits.total_memory, limits.free_memory, "a control group's");
    }
    let says = format!("{:.1} GB free of {of} {:.1} GB", free as f64 / GB, total as f64 / GB);
    finding("memory", if free as f64 > 4.0 * GB { State::Good } else { State::Limited }, says)
}

fn card() -> Finding {
    let driver = std::fs::read_to_string("/proc/driver/nvidia/version");
    let driver = driver.ok().and_then(|text| text.lines().next().map(str::to_owned));
    let built = cfg!(feature = "cuda");
    match (driver, built) {
        (None, false) => {
            finding("card", State::Limited, "no NVIDIA driver, and the program is built for the CPU")
        }
        (None, true) => {
            finding("card", State::Missing, "the program is built for CUDA, and there is no NVIDIA driver")
        }
        (Some(driver), false) => {
            let says = format!("{driver}; the program cannot use it: build with --features cuda");
            finding("card", State::Missing, says)
        }
        (Some(driver), true) => match strefer_nn::open_card(0) {
            Ok(_) => finding("card", State::Good, driver),
            Err(error) => finding("card", State::Missing, format!("{driver}; the first card: {error}")),
        },
    }
}

#[cfg(feature = "cuda")]
fn attention() -> Finding {
    match strefer_nn::cudnn::Library::get() {
        Ok(library) => {
            let says = format!("cuDNN {}, with STREFER_KERNELS=cudnn", library.version());
            finding("attention", State::Good, says)
        }
        Err(error) => finding("attention", State::Limited, error.to_string()),
    }
}

#[cfg(feature = "ffmpeg")]
fn videos() -> Finding {
    finding("videos", State::Good, format!("FFmpeg, libavutil {}", strefer_video::ffmpeg_version()))
}

#[cfg(not(feature = "ffmpeg"))]
fn videos() -> Finding {
    finding("videos", State::Missing, "folders of frames only: build with --features ffmpeg for video files")
}

fn disk(folder: &Path) -> Finding {
    match disk_speed(folder) {
        Ok((write, read)) => {
            let free = free_gb(folder).map_or_else(String::new, |free| format!(", {free:.0} GB free"));
            let says = format!(
                "{}: {write:.0} MB/s written and synced, {read:.0} MB/s read from the cache{free}",
                folder.display()
            );
            finding("disk", if write < 50.0 { State::Limited } else { State::Good }, says)
        }
        Err(error) => finding("disk", State::Missing, format!("{}: {error}", folder.display())),
    }
}

/// MB a second written and read.
fn disk_speed(folder: &Path) -> std::io::Result<(f64, f64)> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    let mut portion = vec![7u8; 1 << 20];
    let rate = |begun: Instant| DISK_BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for _ in 0..DISK_BYTES / portion.len() {
        file.write_all(&portion)?;
    }
    file.sync_all()?;
    let write = rate(begun);
    file.seek(SeekFrom::Start(0))?;
    let begun = Instant::now();
    while file.read(&mut portion)? > 0 {}
    Ok((write, rate(begun)))
}

/// Of the disk whose mount point is the longest that the folder lies below.
fn free_gb(folder: &Path) -> Option<f64> {
    let folder = folder.canonicalize().ok()?;
    let disks = Disks::new_with_refreshed_list();
    let below = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let disk = below.max_by_key(|disk| disk.mount_point().components().count())?;
    Some(disk.available_space() as f64 / 1e9)
}

#[cfg(unix)]
fn open_files() -> Finding {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes into the struct that it is given.
    let found = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if found != 0 {
        return finding("files", State::Limited, "the limit of open files cannot be read");
    }
    let state = if limit.rlim_cur < FEW_FILES { State::Limited } else { State::Good };
    finding("files", state, format!("{} may be open at once", limit.rlim_cur))
}

#[cfg(not(unix))]
fn open_files() -> Finding {
    finding("files", State::Good, "no limit is known")
}

fn launcher() -> Finding {
    match World::from_env() {
        Err(error) => finding("ranks", State::Missing, error.to_string()),
        Ok(world) if world.size == 1 => finding("ranks", State::Good, "one process, no launcher"),
        Ok(World { rank, size, .. }) if cfg!(feature = "mpi") => {
            finding("ranks", State::Good, format!("rank {rank} of {size}, over MPI"))
        }
        Ok(World { rank, size, .. }) => {
            let says =
                format!("rank {rank} of {size}, and the program is built for one: build with --features mpi");
            finding("ranks", State::Missing, says)
        }
    }
}

#[cfg(feature = "hub")]
fn hub() -> Finding {
    match strefer_hub::Settings::from_env() {
        Ok(settings) => {
            let asks = if settings.offline { "asks nobody" } else { settings.endpoint.as_str() };
            finding("hub", State::Good, format!("{asks}, cache in {}", settings.cache.display()))
        }
        Err(error) => finding("hub", State::Missing, error.to_string()),
    }
}

#[cfg(not(feature = "hub"))]
fn hub() -> Finding {
    finding("hub", State::Limited, "hf:OWNER/NAME is not taken: build with --features hub")
}

fn model() -> Finding {
    match find_model(None) {
        Ok(folder) => finding("model", State::Good, format!("without --model, {} answers", folder.display())),
        Err(error) => finding("model", State::Limited, error.to_string()),
    }
}
