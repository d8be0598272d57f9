//! All cases under criterion: `cargo bench -p strefer-benches [-- NAME]`. What needs a file that is not there is left out.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use strefer_benches::cases;

fn main() {
    // SAFETY: no thread has started yet.
    unsafe { strefer_cli::prepare_process(strefer_cli::Freed::ByAll) };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let cases = cases().unwrap_or_else(|error| panic!("{error:#}"));
    for (name, case) in &cases {
        if case.needs_card() {
            continue;
        }
        if case.file().is_some_and(|file| !data.join(file).exists()) {
            eprintln!("{name} is left out: run scripts/bench once, it makes the video");
            continue;
        }
        let mut group = criterion.benchmark_group("cpu");
        group.throughput(Throughput::Elements(case.units.0));
        // Weights are drawn only for the cases that the filter lets through.
        let mut prepared = None;
        group.bench_function(name, |bencher| {
            let prepared = prepared.get_or_insert_with(|| {
                case.prepare(&data, &candle_core::Device::Cpu)
                    .unwrap_or_else(|error| panic!("{name}: {error:#}"))
            });
            bencher.iter(|| (prepared.work)().unwrap_or_else(|error| panic!("{name}: {error:#}")));
        });
        group.finish();
    }
    criterion.final_summary();
}
