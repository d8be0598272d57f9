//! Benchmarks: prompts, runs, metrics, reports.
