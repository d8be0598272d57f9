//! In the place of object stores, in a program that is built without them.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};

/// Says what the program lacks.
#[derive(Debug)]
pub(crate) struct Remote;

fn not_built<T>(address: &str) -> Result<T> {
    Err(Error::NotBuilt { what: address.to_owned(), feature: "cloud" })
}

#[allow(clippy::unused_self, reason = "as the one that is there with the feature")]
impl Remote {
    pub(crate) fn new(_: Duration) -> Self {
        Self
    }

    pub(crate) fn fetch(&self, address: &str, _: &Path) -> Result<()> {
        not_built(address)
    }

    pub(crate) fn list(&self, address: &str) -> Result<Vec<String>> {
        not_built(address)
    }

    pub(crate) fn list_below(&self, address: &str) -> Result<Vec<String>> {
        not_built(address)
    }

    pub(crate) fn version_of(&self, address: &str) -> Result<String> {
        not_built(address)
    }

    pub(crate) fn put(&self, _: &Path, address: &str) -> Result<()> {
        not_built(address)
    }

    pub(crate) fn put_bytes(&self, address: &str, _: Vec<u8>) -> Result<()> {
        not_built(address)
    }

    pub(crate) fn remove(&self, address: &str) -> Result<()> {
        not_built(address)
    }
}
