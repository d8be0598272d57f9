//! Models that look at pictures, against recorded numbers of their references and by their invariants.

mod bert;
mod clip;
mod common;
mod convnext;
mod depth_anything;
mod grounding_dino;
mod sam2_image;
mod sam2_video;
mod siglip;
