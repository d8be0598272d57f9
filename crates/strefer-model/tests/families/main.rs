//! Folders of the published families: what they mean, that whole models give the references' numbers, and what is said
//! about folders that are damaged or mixed up.

mod assemble;
mod convert;
mod drawing;
mod full_size;
mod images;
mod label_rules;
mod layouts;
mod llava_onevision;
mod place;
mod questions;
mod splice;
mod strefer;
mod text_alone;
mod verify;
mod videorefer;
mod whole;
mod wrong_input;

type Any = Result<(), Box<dyn std::error::Error>>;
