//! Benchmarks in their official files, and runs on them.

mod judged;
mod layouts;
mod questions;
mod runs;
mod servers;
mod stand_in;
