//! Object stores and web servers.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};
use tokio::runtime::Runtime;
use url::Url;

use crate::error::{Error, Result, io};

/// Variables with these beginnings say who asks and where (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Bytes of a portion of a large file.
const PORTION: usize = 16 << 20;

/// Portions that are under way at a time.
const AT_ONCE: usize = 4;

/// Bytes of a file that a web server is given: it takes no portions.
const MOST_AT_ONCE: u64 = 256 << 20;

/// Stores by their addresses, opened when they are first asked.
pub(crate) struct Remote {
    deadline: Duration,
    runtime: OnceLock<std::result::Result<Runtime, String>>,
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Remote {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { deadline, runtime: OnceLock::new(), stores: Mutex::default() }
    }

    /// Writes what lies at an address to a new file.
    pub(crate) fn fetch(&self, address: &str, file: &Path) -> Result<()> {
        let (store, key) = self.store(address)?;
        let mut out = std::fs::File::create_new(file).map_err(io(file))?;
        self.wait(address, async {
            let mut portions = store.get(&key).await.map_err(|error| remote(address, &error))?.into_stream();
            while let Some(portion) = portions.next().await {
                out.write_all(&portion.map_err(|error| remote(address, &error))?).map_err(io(file))?;
            }
            Ok(())
        })
    }

    /// Puts a file at an address. Large ones go in portions, which are one object only when all are there.
    pub(crate) fn put(&self, file: &Path, address: &str) -> Result<()> {
        let size = file.metadata().map_err(io(file))?.len();
        let is_server = address.starts_with("http");
        if is_server && size > MOST_AT_ONCE {
            let reason = format!(
                "{size} bytes, and a web server takes {MOST_AT_ONCE} at a time: write smaller files (--shard-mb, --rows)"
            );
            return Err(remote(address, &reason));
        }
        if is_server || size <= PORTION as u64 {
            return self.put_bytes(address, std::fs::read(file).map_err(io(file))?);
        }
        let (store, key) = self.store(address)?;
        let mut from = std::fs::File::open(file).map_err(io(file))?;
        self.wait(address, async {
            let failed = |error| remote(address, &error);
            let upload = store.put_multipart(&key).await.map_err(failed)?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PORTION);
            let mut portion = vec![0; PORTION];
            loop {
                let read = match from.read(&mut portion) {
                    Ok(0) => break upload.finish().await.map(drop).map_err(failed),
                    Ok(read) => read,
                    Err(error) => {
                        // What came so far must not stay; that the file cannot be read weighs more.
                        let _ = upload.abort().await;
                        break Err(io(file)(error));
                    }
                };
                upload.wait_for_capacity(AT_ONCE).await.map_err(failed)?;
                upload.write(&portion[..read]);
            }
        })
    }

    /// Puts bytes at an address.
    pub(crate) fn put_bytes(&self, address: &str, bytes: Vec<u8>) -> Result<()> {
        let (store, key) = self.store(address)?;
        self.wait(address, async {
            store.put(&key, bytes.into()).await.map(drop).map_err(|error| remote(address, &error))
        })
    }

    /// Takes away what lies at an address.
    pub(crate) fn remove(&self, address: &str) -> Result<()> {
        let (store, key) = self.store(address)?;
        self.wait(address, async { store.delete(&key).await.map_err(|error| remote(address, &error)) })
    }

    /// Size, time and tag of what lies at an address.
    pub(crate) fn version_of(&self, address: &str) -> Result<String> {
        let (store, key) = self.store(address)?;
        let meta =
            self.wait(address, async { store.head(&key).await.map_err(|error| remote(address, &error)) })?;
        Ok(format!("{} {} {}", meta.size, meta.last_modified.timestamp(), meta.e_tag.unwrap_or_default()))
    }

    /// Addresses of everything below an address that ends with `/`, at any depth, by name.
    pub(crate) fn list_below(&self, address: &str) -> Result<Vec<String>> {
        let (store, key) = self.store(address)?;
        let found: Vec<ObjectMeta> = self.wait(address, async {
            store.list(Some(&key)).try_collect().await.map_err(|error| remote(address, &error))
        })?;
        let name = |object: ObjectMeta| {
            let parts: Vec<String> =
                object.location.prefix_match(&key)?.map(|part| part.as_ref().to_owned()).collect();
            Some(format!("{address}{}", parts.join("/")))
        };
        let mut files: Vec<String> = found.into_iter().filter_map(name).collect();
        files.sort_unstable();
        Ok(files)
    }

    /// Addresses of everything right below an address that ends with `/`, by name.
    pub(crate) fn list(&self, address: &str) -> Result<Vec<String>> {
        let (store, key) = self.store(address)?;
        let found = self.wait(address, async {
            store.list_with_delimiter(Some(&key)).await.map_err(|error| remote(address, &error))
        })?;
        let mut files: Vec<String> = found
            .objects
            .into_iter()
            .filter_map(|object| object.location.filename().map(str::to_owned))
            .collect();
        files.sort_unstable();
        Ok(files.into_iter().map(|name| format!("{address}{name}")).collect())
    }

    fn store(&self, address: &str) -> Result<(Arc<dyn ObjectStore>, Key)> {
        let url = Url::parse(address).map_err(|error| remote(address, &error))?;
        let place = format!("{}://{}", url.scheme(), url.authority());
        let settings =
            std::env::vars().filter(|(name, _)| VARIABLES.iter().any(|start| name.starts_with(start)));
        let settings = settings.map(|(name, value)| (name.to_ascii_lowercase(), value));
        let allow_http = [("allow_http".to_owned(), (url.scheme() == "http").to_string())];
        let settings: Vec<(String, String)> = match url.scheme() {
            "http" | "https" => allow_http.into(),
            _ => settings.collect(),
        };
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&place) {
            let (_, key) =
                object_store::ObjectStoreScheme::parse(&url).map_err(|error| remote(address, &error))?;
            return Ok((Arc::clone(store), key));
        }
        let (store, key) =
            object_store::parse_url_opts(&url, settings).map_err(|error| remote(address, &error))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        stores.insert(place, Arc::clone(&store));
        Ok((store, key))
    }

    /// Waits for what a store does, within the deadline.
    fn wait<T>(&self, address: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = self.runtime.get_or_init(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("strefer-store")
                .enable_all()
                .build()
                .map_err(|error| error.to_string())
        });
        let runtime = runtime.as_ref().map_err(|error| remote(address, error))?;
        let late = |_| remote(address, &format!("no answer within {:.0} s", self.deadline.as_secs_f64()));
        runtime.block_on(async { tokio::time::timeout(self.deadline, work).await.map_err(late)? })
    }
}

fn remote(address: &str, reason: &impl fmt::Display) -> Error {
    Error::Remote { address: address.to_owned(), reason: reason.to_string() }
}
