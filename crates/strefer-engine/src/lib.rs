//! Video to metadata to instructions.
