//! A run as one HTML file that opens without a network: curves, tables, pictures with masks, questions and answers.

mod chart;
mod page;
mod seen;

pub use chart::{Curve, line_chart};
pub(crate) use page::escape;
pub use page::{Example, Report, Section};
pub use seen::{PromptPart, SeenCard};
