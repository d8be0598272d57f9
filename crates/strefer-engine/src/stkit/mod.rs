//! STKit of [ST-VLM](https://arxiv.org/abs/2503.19355): how far, how fast and which way objects move.
//!
//! Trajectories in metres come from annotations ([`readers`]), or from the video itself ([`mod@pseudo`]): [`depth`] finds the
//! scale of a reconstruction ([`mod@reconstruction`] reads one), [`lift`] turns masks into positions, [`smooth`] and [`plausible`]
//! make tracks of them that can be believed. [`run`] does all of it for whole datasets. [`motion`] measures one object, [`compare`] two, and [`generate()`] asks about both:
//! seven tasks, objects pointed at by boxes drawn into the frames ([`overlay`]).
//!
//! The paper leaves open how directions are signed, how gaps are bridged and when two objects differ clearly enough to
//! ask. These are conventions of ours; every constant is a field of [`config`].
//!
//! ```
//! use strefer_engine::stkit::{KinematicsConfig, Motion, Track, Up};
//!
//! # fn main() -> Result<(), strefer_engine::stkit::Fault> {
//! let corner = [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [3.0, 3.0, 0.0]];
//! let track = Track::new(vec![0.0, 0.5, 1.0], corner.map(Some).to_vec())?;
//! let motion = Motion::measure(&track, None, Up::Z, &KinematicsConfig::default());
//! assert_eq!(motion.travel.map(|travel| travel.distance_m), Some(6.0));
//! assert_eq!(motion.final_heading().map(|heading| heading.clock), Some(3));
//! # Ok(())
//! # }
//! ```

pub mod ask;
pub mod balance;
pub mod camera;
pub mod clip;
pub mod compare;
pub mod config;
pub mod counts;
pub mod cuboid;
pub mod depth;
pub mod direction;
pub mod fault;
pub mod generate;
pub mod lens;
pub mod lift;
pub mod monst3r;
pub mod motion;
mod numbers;
pub mod overlay;
pub mod plausible;
pub mod processed;
pub mod pseudo;
pub mod question;
pub mod readers;
pub mod reconstruction;
pub mod run;
pub mod smooth;
pub mod subject;
pub mod track;
pub mod travel;
pub mod vector;
pub mod window;
pub mod words;

pub use clip::Clip;
pub use config::{FilterConfig, KinematicsConfig, LiftingConfig, SmoothingConfig, StkitConfig};
pub use fault::Fault;
pub use generate::{Generated, Portion, compose, generate};
pub use motion::Motion;
pub use track::Track;
pub use vector::{Point, Up};
