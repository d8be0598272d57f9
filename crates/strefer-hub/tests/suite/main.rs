//! The hub as a program meets it, played by a stand-in on this machine.

mod desk;
mod downloads;
mod offline;
mod refusals;
mod stand_in;
