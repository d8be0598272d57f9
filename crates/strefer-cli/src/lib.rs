//! The programs strefer and strefer-infer.
