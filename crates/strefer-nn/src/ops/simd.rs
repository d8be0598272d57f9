//! Runs inner loops compiled for the widest vectors the processor has.

/// Runs `kernel`, a closure over plain loops, in a copy compiled with AVX-512, AVX2 and FMA, or neither, whichever
/// the processor knows. Everything the closure calls must be inlined to profit.
#[inline]
pub(crate) fn run<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}
