//! Runs: a model answers the items of a benchmark, in a folder that several processes may share and that reproduces itself.
//!
//! | file | |
//! |---|---|
//! | `run.json` | everything that the answers depend on; a run that is continued must agree with it |
//! | `answers/` | one file a process, a line an answer, appended as they come |
//! | `claims/`, `holders/` | which process works on what, and that it lives |
//! | `items.jsonl`, `items-VIEW.jsonl` | an item a line, in the benchmark's order, once all are answered |
//! | `summary.json`, `table.md` | scores with intervals, and what probes cost |
//!
//! Work is shared by files alone: whoever claims a portion answers it, and portions of a process that died are
//! taken over. Two may then answer the same item, which costs time and changes nothing: answers are greedy.

mod claims;
mod folder;
mod gather;
mod judged;
mod log;
mod plan;
mod record;
mod work;

use crate::bench::{Benchmark, Views};

pub use folder::{RunFolder, RunFormat, RunRecord};
pub use gather::{Outcome, Report};
pub use judged::Rater;
pub use plan::Plan;
pub use record::ItemRecord;
pub use work::{Pace, Progress, Worked, work};

/// A run with everything that it asks.
pub struct Run<'a> {
    /// Its folder.
    pub folder: &'a RunFolder,
    /// What it is of.
    pub record: &'a RunRecord,
    /// What is asked.
    pub plan: &'a Plan,
    /// The benchmark.
    pub benchmark: &'a dyn Benchmark,
    /// Its items in all views.
    pub views: &'a Views<'a>,
}

/// The SHA-256 digest of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_those_that_are_published() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(super::sha256(b""), empty);
    }
}
