//! A video file becomes frames with timestamps, and back.
