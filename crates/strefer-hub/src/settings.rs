//! Where the hub is, where its files go, and how patient we are: what the hub's own programs read from the environment.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// A secret that lets its owner read private and gated models. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token; none where the text is empty.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The header that carries it.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How the hub is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// The folder of all models, `hub` in the hub's own folder.
    pub cache: PathBuf,
    /// Sent to the hub, never to the servers it leads to.
    pub token: Option<Token>,
    /// Ask nobody, take what the cache has.
    pub offline: bool,
    /// A server that says nothing for so long is given up; so is one that is not reached in that time.
    pub silence: Duration,
    /// How often a file is tried within one call. Each try goes on where the last one broke.
    pub attempts: usize,
    /// Between two tries.
    pub pause: Duration,
}

impl Settings {
    /// The public hub, everything else as one call wants it.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: "https://huggingface.co".to_owned(),
            cache: cache.into(),
            token: None,
            offline: false,
            silence: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_secs(2),
        }
    }

    /// From `HF_ENDPOINT`, `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN` or the file that `hf auth login` writes, and
    /// `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// No cache is named, and the user has no home.
    pub fn from_env() -> Result<Self> {
        Self::from_vars(|name| std::env::var_os(name))
    }

    /// The same with another source of variables. An empty one counts as absent.
    ///
    /// # Errors
    /// No cache is named, and the user has no home.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).map(|value| value.to_string_lossy().into_owned());
        let user = var("HOME").or_else(|| var("USERPROFILE")).map(PathBuf::from);
        let folder = |name: &str| var(name).map(|value| below_user(PathBuf::from(value), user.as_deref()));
        let usual = || {
            let caches = folder("XDG_CACHE_HOME").or_else(|| Some(user.as_ref()?.join(".cache")));
            Some(caches?.join("huggingface"))
        };
        let home = folder("HF_HOME").or_else(usual);
        let cache = folder("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub")));
        let token_file = folder("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        // A file that is not there, or not ours to read, holds no token.
        let saved = || Token::new(&std::fs::read_to_string(token_file?).ok()?);
        let mut settings = Self::new(cache.ok_or(Error::NoCache)?);
        if let Some(endpoint) = text("HF_ENDPOINT") {
            settings.endpoint = endpoint.trim_end_matches('/').to_owned();
        }
        settings.token = text("HF_TOKEN").and_then(|text| Token::new(&text)).or_else(saved);
        settings.offline = text("HF_HUB_OFFLINE").is_some_and(|text| is_true(&text));
        Ok(settings)
    }
}

/// `~` as a shell would read it; variables that no shell has seen may hold one.
fn below_user(path: PathBuf, user: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), user) {
        (Ok(rest), Some(user)) => user.join(rest),
        _ => path,
    }
}

/// What the hub's own programs take for yes.
fn is_true(text: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vars: &[(&str, &str)]) -> Result<Settings> {
        Settings::from_vars(|name| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_cache_is_where_the_hubs_own_programs_have_it() {
        for (vars, cache) in [
            (&[("HOME", "/u")][..], "/u/.cache/huggingface/hub"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/u"), ("HF_HOME", "~/h")], "/u/h/hub"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], "/c"),
        ] {
            assert_eq!(of(vars).unwrap().cache, Path::new(cache));
        }
        assert!(matches!(of(&[("HF_HOME", "")]), Err(Error::NoCache)));
    }

    #[test]
    fn endpoint_offline_and_token_come_from_the_environment() {
        let usual = of(&[("HF_HOME", "/h")]).unwrap();
        assert_eq!(usual, Settings::new("/h/hub"));
        let vars = [
            ("HF_HOME", "/h"),
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_HUB_OFFLINE", "True"),
            ("HF_TOKEN", " secret\n"),
        ];
        let settings = of(&vars).unwrap();
        assert_eq!(settings.endpoint, "http://mirror");
        assert!(settings.offline);
        assert_eq!(settings.token, Token::new("secret"));
        assert!(!format!("{settings:?}").contains("secret"));
        assert!(!of(&[("HF_HOME", "/h"), ("HF_HUB_OFFLINE", "0")]).unwrap().offline);
    }

    #[test]
    fn a_saved_token_is_used_where_none_is_set() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "saved\n").unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(of(&[("HF_HOME", path)]).unwrap().token, Token::new("saved"));
        assert_eq!(of(&[("HF_HOME", path), ("HF_TOKEN", "set")]).unwrap().token, Token::new("set"));
    }
}
