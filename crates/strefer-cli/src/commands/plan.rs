//! `strefer train --dry-run`: what a run will need, and whether it fits.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::json;
use strefer_train::{Place, Plan, RankMemory, TrainConfig};
use sysinfo::{Disks, System};

/// Where the run would find its memory.
pub struct Room {
    /// Ranks that share this machine.
    pub ranks: usize,
    /// Bytes of each rank. When absent, ranks on processors share what is free here; what cards have that are not here is not known.
    pub each: Option<usize>,
    /// Where the run would compute.
    pub place: Place,
}

/// Prints the plan of a run on so many ranks.
///
/// # Errors
/// The run cannot be planned, or does not fit.
pub fn run(config: &TrainConfig, room: &Room, as_json: bool) -> Result<()> {
    let plan = Plan::of(config, room.ranks, room.place)?;
    let each = room.each.or_else(|| (!room.place.is_card()).then(|| free_memory() / room.ranks));
    let disk = free_disk(&config.output);
    if as_json {
        let totals: Vec<usize> = plan.ranks.iter().map(RankMemory::total).collect();
        println!("{}", json!({ "plan": plan, "memory": totals, "free_memory": each, "free_disk": disk }));
    } else {
        print!("{}", table(&plan, config, each, disk));
    }
    let most = plan.ranks.iter().map(RankMemory::total).max().unwrap_or_default();
    if let Some(each) = each.filter(|each| most > *each) {
        bail!("a rank needs {} of memory and has {}", bytes(most), bytes(each));
    }
    if let Some(free) = disk.filter(|free| plan.disk > *free) {
        bail!("checkpoints need {} of disk, and {} are free", bytes(plan.disk), bytes(free));
    }
    Ok(())
}

fn table(plan: &Plan, config: &TrainConfig, each: Option<usize>, disk: Option<usize>) -> String {
    let Plan { steps, epoch, parameters: (learning, all), ranks, samples, flops_per_step, disk: needed } =
        plan;
    let mut text = String::new();
    let mut line = |what: &str, says: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{what:<12} {says}");
    };
    line("steps", format!("{steps} of {} samples; an epoch has {epoch}", config.steps.batch));
    line("parameters", format!("{learning} of {all} learn"));
    let seen = samples.count - samples.refused;
    line(
        "samples",
        format!(
            "{:.0} positions each (most {}), {:.1} learnt, {:.1} frames; {seen} of {} looked at can be used",
            samples.mean_positions,
            samples.most_positions,
            samples.mean_supervised,
            samples.mean_frames,
            samples.count
        ),
    );
    let tokens = samples.mean_positions * (steps * config.steps.batch) as f64;
    line("tokens", format!("{:.3e} in all, {:.3e} a step", tokens, tokens / (*steps).max(1) as f64));
    line(
        "reading",
        format!(
            "{:.0} ms a sample on one thread; {} readers give {:.1} samples a second on {} ranks",
            1e3 * samples.seconds,
            config.data.readers,
            (config.data.readers * ranks.len()) as f64 / samples.seconds.max(1e-9),
            ranks.len()
        ),
    );
    line(
        "work",
        format!("{flops_per_step:.3e} operations a step, {:.3e} in all", flops_per_step * *steps as f64),
    );
    line(
        "disk",
        format!(
            "{}{}",
            bytes(*needed),
            disk.map_or(String::new(), |free| format!("; {} are free", bytes(free)))
        ),
    );
    for (rank, memory) in ranks.iter().enumerate() {
        // Ranks that need the same are told once.
        if rank > 0 && memory == &ranks[rank - 1] {
            continue;
        }
        let alike = ranks[rank..].iter().take_while(|other| *other == memory).count();
        let name =
            if alike > 1 { format!("ranks {rank}-{}", rank + alike - 1) } else { format!("rank {rank}") };
        let of = each.map_or_else(String::new, |each| format!(" of {}", bytes(each)));
        let besides = match memory.place.is_card() {
            true => format!("{} of the host's", bytes(memory.host())),
            false => format!("{} on a slow disk", bytes(memory.with_slow_disk())),
        };
        line(&name, format!("{}{of}; {besides}", bytes(memory.total())));
        for (part, size) in &memory.weights {
            line("", format!("{:>10}  weights of {}", bytes(*size), part.name()));
        }
        for (part, size) in &memory.gradients {
            line("", format!("{:>10}  gradients of {}", bytes(*size), part.name()));
        }
        let activations = match memory.place {
            Place::Card { fused: true } => "what a pass keeps for its backward; gradients come in its place",
            _ => "what a pass keeps for its backward",
        };
        for (size, what) in [
            (memory.visiting, "weights of other ranks' layers, for their turn"),
            (memory.optimizer, "moments and masters"),
            (memory.offloaded, "moments and masters, in the host's memory"),
            (memory.products, "room for products"),
            (memory.activations, activations),
            (memory.carried, "frames of a pass and of the next, as they come to the card"),
            (memory.exchange, "buffers in which ranks sum gradients, after the backward"),
            (memory.snapshot, "a copy to write a checkpoint from, between steps"),
            (memory.data, "samples read ahead, frames kept"),
        ] {
            if size > 0 {
                line("", format!("{:>10}  {what}", bytes(size)));
            }
        }
    }
    text
}

fn bytes(count: usize) -> String {
    match count as f64 {
        large if large >= 1e9 => format!("{:.2} GB", large / 1e9),
        small => format!("{:.1} MB", small / 1e6),
    }
}

fn free_memory() -> usize {
    let mut system = System::new();
    system.refresh_memory();
    system.available_memory() as usize
}

/// Free bytes of the disk that `output` will lie on.
fn free_disk(output: &Path) -> Option<usize> {
    let path = std::path::absolute(output).ok()?;
    let disks = Disks::new_with_refreshed_list();
    let holding = disks.iter().filter(|disk| path.starts_with(disk.mount_point()));
    let disk = holding.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    usize::try_from(disk.available_space()).ok()
}
