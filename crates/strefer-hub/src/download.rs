//! One file: it grows beside the blobs, goes on where it broke, and gets its name when size and digest are right.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::cache::{ModelCache, is_whole, make_parent};
use crate::client::Client;
use crate::error::{Error, Result, io};
use crate::event::Event;
use crate::listing::RemoteFile;
use crate::model::HubModel;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Whose files, and where they come from and go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Download<'a> {
    pub client: &'a Client,
    pub cache: &'a ModelCache,
    pub model: &'a HubModel,
    pub commit: &'a str,
}

/// The beginning of a file.
struct Partial {
    path: PathBuf,
    out: File,
    /// Bytes so far.
    len: u64,
    /// Of those bytes, where the whole file's digest is known.
    digest: Option<Sha256>,
}

impl Download<'_> {
    /// Brings a file's blob into the cache, unless it is there.
    pub fn run(&self, file: &RemoteFile, observe: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        let blob = self.cache.blob(file);
        let named = || (self.model.to_string(), file.name.clone());
        let Some(_lock) = self.cache.lock(file)? else {
            let (model, file) = named();
            return Err(Error::Busy { model, file });
        };
        if is_whole(&blob, file) {
            return Ok(());
        }
        let mut partial = Partial::open(self.cache.partial(file), file)?;
        if partial.len < file.size {
            self.receive(file, &mut partial, observe)?;
        }
        if let (Some(expected), Some(digest)) = (&file.sha256, partial.digest.take()) {
            let found = hex(&digest.finalize());
            if *expected != found {
                fs::remove_file(&partial.path).map_err(io(&partial.path))?;
                let ((model, file), expected) = (named(), expected.clone());
                return Err(Error::Checksum { model, file, expected, found });
            }
        }
        // A machine that goes down now must not leave a name with half a file behind it.
        partial.out.sync_all().and_then(|()| fs::rename(&partial.path, &blob)).map_err(io(blob))
    }

    /// Asks for what is missing and takes it.
    fn receive(
        &self,
        file: &RemoteFile,
        partial: &mut Partial,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<()> {
        let mut bytes = self.client.bytes(self.model, self.commit, file, partial.len)?;
        if bytes.from != partial.len {
            partial.restart()?;
        }
        observe(Event::Begin { file: &file.name, size: file.size, present: partial.len });
        let (model, name) = (self.model.to_string(), file.name.clone());
        let mut buffer = vec![0; BUFFER_BYTES];
        let reason = loop {
            match bytes.reader.read(&mut buffer) {
                Ok(0) => break "the connection ended".to_owned(),
                Ok(count) => {
                    let found = partial.len + count as u64;
                    if found > file.size {
                        partial.restart()?;
                        return Err(Error::Size { model, file: name, expected: file.size, found });
                    }
                    partial.append(&buffer[..count])?;
                    observe(Event::Received { bytes: count as u64 });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.to_string(),
            }
        };
        if partial.len < file.size {
            let (received, size) = (partial.len, file.size);
            return Err(Error::Broken { model, file: name, received, size, reason });
        }
        observe(Event::End);
        Ok(())
    }
}

impl Partial {
    /// What an earlier try has left, or nothing.
    fn open(path: PathBuf, file: &RemoteFile) -> Result<Self> {
        make_parent(&path)?;
        let out = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let out = out.map_err(io(&path))?;
        let digest = file.sha256.is_some().then(Sha256::new);
        let mut partial = Self { path, out, len: 0, digest };
        partial.read_all()?;
        if partial.len > file.size {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Takes in what is there: its length, and its digest if one is kept.
    fn read_all(&mut self) -> Result<()> {
        let read = |partial: &mut Self| -> std::io::Result<u64> {
            let Some(digest) = &mut partial.digest else {
                return partial.out.seek(SeekFrom::End(0));
            };
            let (mut buffer, mut len) = (vec![0; BUFFER_BYTES], 0);
            loop {
                match partial.out.read(&mut buffer)? {
                    0 => return Ok(len),
                    count => {
                        digest.update(&buffer[..count]);
                        len += count as u64;
                    }
                }
            }
        };
        self.len = read(self).map_err(io(&self.path))?;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(io(&self.path))?;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is there.
    fn restart(&mut self) -> Result<()> {
        self.out.set_len(0).and_then(|()| self.out.rewind()).map_err(io(&self.path))?;
        self.digest = self.digest.take().map(|_| Sha256::new());
        self.len = 0;
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
