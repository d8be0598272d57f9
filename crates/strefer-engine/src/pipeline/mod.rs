//! From videos to samples: the stages, each a function of a video and a configuration, and how they are run at scale.
//!
//! | | stage | asks or looks with | makes |
//! |---|---|---|---|
//! | A | [`mod@recognise`] | a teacher that sees frames | a paragraph about what acts |
//! | B | [`mod@parse`] | a teacher | entities: expression, noun, broad noun |
//! | C | [`masklets`] | a [`masklets::MaskletSource`] | where entities are |
//! | D | [`crate::clips`] | [`crate::clips::FrameFeatures`] | parts of the video |
//! | E | [`mod@transcribe`] | a teacher that sees frames | what each entity does in each part |
//! | F | [`crate::instruct`], [`mod@rephrase`] | templates; a teacher that may say them otherwise | samples |
//!
//! In the place of D to F, [`objects`] asks about objects one by one.
//!
//! An output is kept by a key that follows from the video's content, the stage's configuration, its prompts and models, and
//! the keys of what it reads ([`keys`]); it is written once ([`store`]). So a run that was killed goes on where it was,
//! several processes may share one, and another configuration makes only what it changes.
//!
//! [`run::Run`] takes videos from a [queue](crate::queue); what goes wrong with one is recorded ([`fault`]) and the others go
//! on.

pub mod at_hand;
pub mod captions;
pub mod chain;
pub mod digest;
pub mod failures;
pub mod fault;
pub mod folder;
pub mod frames;
pub mod input;
pub mod input_afar;
mod join;
pub mod keys;
pub mod late_model;
mod line;
pub mod masklets;
mod object_line;
pub mod objects;
pub mod own_teacher;
pub mod parse;
pub mod plan;
pub mod prompts;
pub mod recognise;
pub mod rephrase;
pub mod run;
pub mod stage;
pub mod store;
pub mod teachers;
pub mod transcribe;
pub mod watch;

pub use chain::Crew;
pub use fault::{Failure, Fault};
pub use folder::RunFolder;
pub use input::{Given, GivenFolder, Input, Known};
pub use masklets::MaskletSource;
pub use own_teacher::OwnTeacher;
pub use plan::Plan;
pub use prompts::Prompts;
pub use run::{Event, Run, Summary};
pub use stage::Stage;
pub use teachers::Teachers;
