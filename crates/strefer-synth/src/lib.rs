//! A synthetic world rendered to video files, with exact ground truth.
