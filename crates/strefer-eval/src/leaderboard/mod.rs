//! Runs beside each other and beside what papers report: a table a benchmark, in Markdown and as a page.
//!
//! Rows of papers are fixed and marked as published. Runs that left out questions, or asked only some, are marked, too: their
//! numbers stand beside the others and are not comparable.

mod page;
mod published;
mod row;
mod table;

pub use published::{Published, published};
pub use row::{Row, RowSource};
pub use table::Leaderboard;
