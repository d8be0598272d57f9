//! Mixture to batches to fine-tuned checkpoint.
