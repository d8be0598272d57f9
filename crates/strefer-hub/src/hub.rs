//! From a model's name to a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, thread};

use crate::cache::ModelCache;
use crate::client::Client;
use crate::download::Download;
use crate::error::{Error, Result, io};
use crate::event::Event;
use crate::listing::{Listing, RemoteFile};
use crate::model::HubModel;
use crate::select::{self, WeightFiles};
use crate::settings::Settings;

/// The hub and the cache of what came from it.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    /// None offline.
    client: Option<Client>,
}

impl Hub {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// An https address in a program without https.
    pub fn new(settings: Settings) -> Result<Self> {
        let client = (!settings.offline).then(|| Client::new(&settings)).transpose()?;
        Ok(Self { settings, client })
    }

    /// The folder of a model, which holds all that is needed to open it: as the hub has it now, or as the cache has it
    /// where the hub does not answer or must not be asked.
    ///
    /// # Errors
    /// No such model or revision, no access, a download that broke or does not match what the hub says; offline, a
    /// model that is not in the cache.
    pub fn fetch(&self, model: &HubModel, observe: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf> {
        let cache = ModelCache::new(&self.settings.cache, model);
        let Some(client) = &self.client else {
            return cached(model, &cache);
        };
        match client.listing(model) {
            Ok(listing) => {
                let download = Download { client, cache: &cache, model, commit: &listing.commit };
                self.complete(&download, &listing, observe)
            }
            Err(error @ Error::Unavailable { .. }) => match cached(model, &cache) {
                Ok(folder) => {
                    observe(Event::FromCache { error: &error });
                    Ok(folder)
                }
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Downloads what the cache lacks of a listing. Only then does the revision lead to its commit.
    fn complete(
        &self,
        download: &Download<'_>,
        listing: &Listing,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<PathBuf> {
        let Download { cache, model, .. } = *download;
        let names: BTreeSet<&str> = listing.files.keys().map(String::as_str).collect();
        let missing = |file: &str| Error::NoFile { model: model.to_string(), file: file.to_owned() };
        let weights = choose(&names, model, missing)?;
        let mut get = |name: &str| {
            let file = listing.files.get(name).ok_or_else(|| missing(name))?;
            self.get(download, file, observe)
        };
        for name in select::describing(&names) {
            get(&name)?;
        }
        let folder = cache.snapshot(&listing.commit);
        if let WeightFiles::Indexed { index, .. } = &weights {
            get(index)?;
        }
        for name in list(weights, &folder, model)? {
            get(&name)?;
        }
        cache.set_commit(model, &listing.commit)?;
        Ok(folder)
    }

    /// One file, in as many tries as the settings allow.
    fn get(
        &self,
        download: &Download<'_>,
        file: &RemoteFile,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<()> {
        let Download { cache, commit, .. } = *download;
        if cache.holds(commit, file) {
            return Ok(());
        }
        let mut tries_left = self.settings.attempts;
        loop {
            tries_left = tries_left.saturating_sub(1);
            match download.run(file, observe) {
                Ok(()) => return cache.link(commit, file),
                Err(error) if error.is_passing() && tries_left > 0 => {
                    observe(Event::Retry { error: &error });
                    thread::sleep(self.settings.pause);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The folder of a model as it was last downloaded.
fn cached(model: &HubModel, cache: &ModelCache) -> Result<PathBuf> {
    let missing = |missing: &str| Error::NotCached {
        model: model.to_string(),
        missing: missing.to_owned(),
        cache: cache.root().to_owned(),
    };
    let commit = cache.commit(model).ok_or_else(|| missing("it"))?;
    let folder = cache.snapshot(&commit);
    // Links to blobs that somebody has removed lead nowhere and count for nothing.
    let Ok(entries) = fs::read_dir(&folder) else { return Err(missing("it")) };
    let here = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    let names: Vec<String> = here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let weights = match choose(&names, model, missing) {
        Err(Error::NoWeights { .. }) => return Err(missing("a file of weights")),
        chosen => chosen?,
    };
    match list(weights, &folder, model)?.iter().find(|name| !names.contains(name.as_str())) {
        Some(name) => Err(missing(name)),
        None => Ok(folder),
    }
}

/// Where the weights are among the files of a model that has what it cannot be opened without.
fn choose(names: &BTreeSet<&str>, model: &HubModel, missing: impl Fn(&str) -> Error) -> Result<WeightFiles> {
    if let Some(name) = select::REQUIRED.iter().find(|name| !names.contains(*name)) {
        return Err(missing(name));
    }
    select::weights(names).ok_or_else(|| Error::NoWeights { model: model.to_string() })
}

/// The files of the weights; an index is read from the model's folder.
fn list(weights: WeightFiles, folder: &Path, model: &HubModel) -> Result<Vec<String>> {
    match weights {
        WeightFiles::Plain(files) => Ok(files),
        WeightFiles::Indexed { index, parts } => {
            let path = folder.join(&index);
            let text = fs::read_to_string(&path).map_err(io(path))?;
            let bad = |reason| Error::Index { model: model.to_string(), file: index, reason };
            Ok([select::shards(&text).map_err(bad)?, parts].concat())
        }
    }
}
