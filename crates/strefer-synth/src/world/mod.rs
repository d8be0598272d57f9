//! The plan of a clip: who is there, what they look like, what they do, and how it is filmed.

mod action;
mod attributes;
mod casting;
mod clip;
mod filming;
mod staging;
mod track;

pub use action::Action;
pub use attributes::{Attributes, Colour, Pattern, Shape, Size};
pub use clip::Clip;

pub(crate) use clip::Body;
pub(crate) use filming::Backdrop;
pub(crate) use track::Presence;
