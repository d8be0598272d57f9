//! End-to-end tests of the whole workspace; see `tests/`.
