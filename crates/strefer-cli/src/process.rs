//! What a program sets for its whole process before it does anything else.

/// candle's own threads spin for a while after each element-wise operation, on cores that the operations of
/// `strefer-nn` want; with this they sleep at once.
const SPIN_LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";

/// Makes tensors cheap to allocate and threads share the cores.
///
/// # Safety
/// It sets the environment: call it first in `main`, before any thread has started.
pub unsafe fn prepare_process() {
    if std::env::var_os(SPIN_LIMIT).is_none() {
        // SAFETY: by the caller's promise there is one thread, so nothing reads the environment meanwhile.
        unsafe { std::env::set_var(SPIN_LIMIT, "1") };
    }
    keep_freed_memory();
}

/// A model frees and allocates the same large tensors again and again. Given back to the system, every page would have
/// to be zeroed and mapped anew: on STC over 16 frames a sixth of the time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    // SAFETY: these calls set numbers of the allocator. Nothing is mapped on its own, so everything freed is kept. One
    // arena: what one thread frees the others take again.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}
