//! Where a server is, and how it is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Error, Result};

/// How frames go to a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// One image a frame, with its time before it: any server that takes images.
    #[default]
    Images,
    /// A video of our own frames, as vLLM takes it.
    Vllm,
    /// Images that are a video, as SGLang takes them.
    Sglang,
}

/// What a million tokens cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// Read.
    pub prompt: f64,
    /// Written.
    pub completion: f64,
}

/// A server and one of its models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Its address with the version, `http://localhost:8000/v1`.
    pub url: String,
    /// The model.
    pub model: String,
    /// The variable of the environment that holds its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// How frames go to it.
    #[serde(default)]
    pub style: Style,
    /// Questions at a time.
    #[serde(default = "usual::in_flight")]
    pub in_flight: usize,
    /// Questions a minute; as many as it answers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<f64>,
    /// How often it is tried while it is busy, away or broken.
    #[serde(default = "usual::tries")]
    pub tries: u32,
    /// How often it is asked again, with another seed, when an answer has not the form asked for.
    #[serde(default = "usual::form_tries")]
    pub form_tries: u32,
    /// Seconds until a connection stands.
    #[serde(default = "usual::connect_s")]
    pub connect_s: f64,
    /// Seconds of one try.
    #[serde(default = "usual::try_s")]
    pub try_s: f64,
    /// Seconds of one question, with all tries and waits.
    #[serde(default = "usual::deadline_s")]
    pub deadline_s: f64,
    /// Megabytes that a question may have.
    #[serde(default = "usual::largest_question_mb")]
    pub largest_question_mb: f64,
    /// What tokens cost, in any unit.
    #[serde(default)]
    pub price: Price,
}

mod usual {
    pub(super) fn in_flight() -> usize {
        8
    }
    pub(super) fn tries() -> u32 {
        6
    }
    pub(super) fn form_tries() -> u32 {
        3
    }
    pub(super) fn connect_s() -> f64 {
        10.0
    }
    pub(super) fn try_s() -> f64 {
        300.0
    }
    pub(super) fn deadline_s() -> f64 {
        900.0
    }
    pub(super) fn largest_question_mb() -> f64 {
        64.0
    }
}

impl EndpointConfig {
    /// The usual settings for a model behind an address.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: model.into(),
            key_env: None,
            style: Style::default(),
            in_flight: usual::in_flight(),
            requests_per_minute: None,
            tries: usual::tries(),
            form_tries: usual::form_tries(),
            connect_s: usual::connect_s(),
            try_s: usual::try_s(),
            deadline_s: usual::deadline_s(),
            largest_question_mb: usual::largest_question_mb(),
            price: Price::default(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let bad = |reason: &str| Err(Error::Settings { url: self.url.clone(), reason: reason.to_owned() });
        let seconds = [self.connect_s, self.try_s, self.deadline_s];
        match () {
            () if !self.url.starts_with("http://") && !self.url.starts_with("https://") => {
                bad("an address begins with http:// or https://")
            }
            () if self.url.starts_with("https:") && !cfg!(feature = "tls") => {
                bad("the program is built without https (--features tls)")
            }
            () if self.in_flight == 0 || self.tries == 0 || self.form_tries == 0 => {
                bad("in_flight, tries and form_tries must be positive")
            }
            () if !seconds.iter().all(|seconds| *seconds > 0.0 && *seconds <= 86400.0) => {
                bad("connect_s, try_s and deadline_s must lie between 0 and a day")
            }
            () if self.requests_per_minute.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) => {
                bad("requests_per_minute must be positive")
            }
            () if !(self.largest_question_mb > 0.0 && self.largest_question_mb <= 1e4) => {
                bad("largest_question_mb must lie between 0 and 10,000")
            }
            () => Ok(()),
        }
    }

    /// Whether it is on this machine, where no proxy leads.
    pub(super) fn is_here(&self) -> bool {
        let host = self.url.split_once("://").map_or("", |(_, rest)| rest);
        ["localhost", "127.", "[::1]"].iter().any(|here| host.starts_with(here))
    }
}
