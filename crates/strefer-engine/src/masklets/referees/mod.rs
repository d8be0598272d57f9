//! Who tells which box an expression means, where several could be meant. All stand behind
//! [`Referee`](super::seam::Referee) and look at the frames of one [`FrameStore`](super::eyes::FrameStore).
//!
//! | referee | what it does | how sure it is |
//! |---|---|---|
//! | [`RexSeekReferee`] | RexSeek points at boxes | probability of the box's token |
//! | [`MarksReferee`] | numbers are drawn on the frame, a model behind a server names them | 1 |
//! | [`RegionReferee`] | our own Video LLM: of which region would it say the expression? | share among the boxes |
//! | [`SimilarityReferee`] | SigLIP: which cut-out fits the expression best? | share among the boxes |

mod marks;
mod region;
mod rexseek;
mod share;
mod similarity;

pub use marks::MarksReferee;
pub use region::{RegionOptions, RegionReferee};
pub use rexseek::RexSeekReferee;
pub use similarity::{SimilarityOptions, SimilarityReferee};
