//! [VideoRefer-Bench](https://arxiv.org/abs/2501.00599): describing a masked object, judged on four axes
//! ([`bench_d`], by a model: [`judge`]), and choosing one of four answers about it ([`bench_q`]).

pub mod bench_d;
pub mod bench_q;
pub mod judge;
