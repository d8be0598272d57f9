//! What lies at addresses, for those who hold a shelf. Without the feature `cloud` a program says that it cannot.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::shelf::{Held, Shelf};

impl Shelf {
    /// A local copy of what lies at an address.
    ///
    /// # Errors
    /// Nothing lies there, or nobody answers in time.
    pub fn fetch(self: &Arc<Self>, address: &str) -> Result<Held> {
        self.copy(address, address, |to| self.remote.fetch(address, to))
    }

    /// Addresses of all files below an address that ends with `/`, at any depth, by name.
    ///
    /// # Errors
    /// A server that lists nothing (of web servers those with `WebDAV` do), or does not answer in time.
    pub fn list_below(&self, address: &str) -> Result<Vec<String>> {
        self.remote.list_below(address)
    }

    /// Tells the content at an address from an earlier one, without reading it.
    ///
    /// # Errors
    /// Nothing lies there, or nobody answers in time.
    pub fn version_of(&self, address: &str) -> Result<String> {
        self.remote.version_of(address)
    }

    /// Puts a file at an address. There it is whole or not at all.
    ///
    /// # Errors
    /// A file that cannot be read, a store that does not take it.
    pub fn put(&self, file: &Path, address: &str) -> Result<()> {
        self.remote.put(file, address)
    }

    pub(crate) fn put_bytes(&self, address: &str, bytes: Vec<u8>) -> Result<()> {
        self.remote.put_bytes(address, bytes)
    }

    pub(crate) fn remove(&self, address: &str) -> Result<()> {
        self.remote.remove(address)
    }
}
