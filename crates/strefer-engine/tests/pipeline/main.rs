//! Videos become samples, with a server on this machine for a teacher.

mod faults;
mod lab;
mod own;
mod stages;
#[path = "../../../strefer-teacher/tests/suite/stand_in.rs"]
#[allow(dead_code, reason = "the teacher's own tests use all of it")]
mod stand_in;
