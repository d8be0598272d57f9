//! Attention by cuDNN (version 9.19 or later), through its graph interface: a graph of operations says what is computed, and the library finds the
//! kernel that does all of it at once. The library is loaded when it is first asked for, so that programs start without it.
//!
//! Graphs and plans need no card: given a card's properties, plans for it are made anywhere (`scripts/cudnn-plans`).
//!
//! Source: NVIDIA's reference of the cuDNN backend interface; the graphs are those that cuDNN recognises as attention.

mod attention;
mod descriptor;
mod graph;
mod library;
mod names;
mod plan;

pub use attention::{Part, Shape};
pub use library::{Handle, Library};
pub use plan::{Plan, Target};
