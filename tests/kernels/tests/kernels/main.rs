//! Every kernel over awkward shapes, in every float type, against the operations on the processor.

mod adamw;
mod attention;
mod cached;
mod compare;
mod cross_entropy;
mod faults;
mod heads;
mod maps;
mod pointwise;
mod pooling;
mod products;
mod ragged;
mod rows;
mod squares;
