//! Models that look at pixels.
