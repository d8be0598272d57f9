//! What a program sets for its whole process before it does anything else.

/// candle's own threads spin for a while after each element-wise operation, on cores that the operations of
/// `strefer-nn` want; with this they sleep at once.
const SPIN_LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";

/// How many of them there are.
const THREADS: &str = "CANDLE_NUM_THREADS";

/// Who takes memory that a thread has freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// Any thread: tensors are few and large, and a model's would pile up with every thread.
    ByAll,
    /// Mostly the same thread: records are many and small, and threads that make them side by side would wait for each other, which
    /// took more than half of the instruction generator's time.
    ByThread,
}

/// Makes tensors cheap to allocate and threads share the cores.
///
/// # Safety
/// It sets the environment: call it first in `main`, before any thread has started.
pub unsafe fn prepare_process(freed: Freed) {
    // SAFETY: by the caller's promise.
    unsafe { set_unless_set(SPIN_LIMIT, "1") };
    keep_freed_memory(freed);
}

/// Keeps element-wise operations on the thread that asks for them: with several portions of a pass under way each thread has work
/// enough. A step of strefer-tiny takes a twentieth less time.
///
/// # Safety
/// It sets the environment: call it before any thread has started.
pub unsafe fn share_portions_only() {
    // SAFETY: by the caller's promise.
    unsafe { set_unless_set(THREADS, "1") };
}

/// # Safety
/// No other thread may run.
unsafe fn set_unless_set(name: &str, value: &str) {
    if std::env::var_os(name).is_none() {
        // SAFETY: by the caller's promise there is one thread, so nothing reads the environment meanwhile.
        unsafe { std::env::set_var(name, value) };
    }
}

/// A model frees and allocates the same large tensors again and again. Given back to the system, every page would have
/// to be zeroed and mapped anew: on STC over 16 frames a sixth of the time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory(freed: Freed) {
    // SAFETY: these calls set numbers of the allocator. Nothing is mapped on its own, so everything freed is kept.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        if freed == Freed::ByAll {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory(_: Freed) {}
