//! Servers that speak OpenAI's protocol.

mod body;
mod config;
mod gate;
mod probe;
mod reply;
mod several;

use std::time::{Duration, Instant};

use serde_json::Value;
use strefer_core::Rng;
use ureq::Agent;
use ureq::http::header;

use crate::Teacher;
use crate::fault::{Error, Fault, Result, beginning};
use crate::form::Form;
use crate::question::{Answer, Question, Usage};
use gate::Gate;

pub(crate) use body::body;
pub use config::{EndpointConfig, Price, Style};
pub use probe::Capabilities;
pub(crate) use reply::Reply;
pub use several::Endpoints;

/// An answer of a server that is longer is none.
const LARGEST_REPLY_BYTES: u64 = 16 << 20;

/// The shortest and the longest wait between two tries.
const WAITS_S: (f64, f64) = (0.5, 30.0);

/// A server and one of its models.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    agent: Agent,
    /// `Bearer …`
    key: Option<String>,
    gate: Gate,
}

/// One try that came to nothing.
enum Failed {
    /// It may go well the next time, after this wait at least.
    Again(String, Option<Duration>),
    /// It will not.
    Never(Fault),
}

impl Endpoint {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// Settings that cannot be meant; a key that the environment does not have.
    pub fn new(config: EndpointConfig) -> Result<Self> {
        config.check()?;
        let key = match &config.key_env {
            Some(name) => Some(format!("Bearer {}", config.key(name)?)),
            None => None,
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("strefer/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs_f64(config.connect_s)));
        let agent = if config.is_here() { agent.proxy(None) } else { agent };
        let gate = Gate::new(config.in_flight, config.requests_per_minute);
        Ok(Self { agent: agent.build().into(), key, gate, config })
    }

    /// Its settings.
    pub fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// Questions that are under way.
    pub fn in_flight(&self) -> usize {
        self.gate.inside()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.config.url.trim_end_matches('/'))
    }

    /// One HTTP exchange.
    fn exchange(
        &self,
        path: &str,
        body: Option<&[u8]>,
        within: Duration,
    ) -> std::result::Result<Value, Failed> {
        let again = |error: String| Failed::Again(error, None);
        let url = self.url(path);
        let response = match body {
            Some(body) => {
                let mut request = self.agent.post(&url).header(header::CONTENT_TYPE, "application/json");
                if let Some(key) = &self.key {
                    request = request.header(header::AUTHORIZATION, key);
                }
                request.config().timeout_global(Some(within)).build().send(body)
            }
            None => {
                let mut request = self.agent.get(&url);
                if let Some(key) = &self.key {
                    request = request.header(header::AUTHORIZATION, key);
                }
                request.config().timeout_global(Some(within)).build().call()
            }
        };
        let mut response = response.map_err(|error| again(error.to_string()))?;
        let status = response.status().as_u16();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let text = response.body_mut().with_config().limit(LARGEST_REPLY_BYTES).read_to_string();
        match status {
            200..300 => {
                let text = text.map_err(|error| again(format!("the reply breaks off: {error}")))?;
                serde_json::from_str(&text).map_err(|error| again(format!("the reply is no JSON: {error}")))
            }
            408 | 409 | 425 | 429 | 500.. => {
                let said = beginning(&text.unwrap_or_default());
                Err(Failed::Again(format!("the server says {status}: {said}"), wait))
            }
            status => Err(Failed::Never(Fault::Refused {
                endpoint: self.config.url.clone(),
                status,
                message: beginning(&text.unwrap_or_default()),
            })),
        }
    }

    /// Tries until there is an answer of the server, the tries are used up, or the time is over.
    fn insist(&self, path: &str, body: Option<&[u8]>, end: Instant) -> std::result::Result<Value, Fault> {
        let EndpointConfig { url, tries, deadline_s, .. } = &self.config;
        let late = |reason: String| Fault::Late { endpoint: url.clone(), seconds: *deadline_s, reason };
        let draws = Rng::new(body.map_or(0, |body| body.len() as u64), "waits");
        let mut last = "the time is over".to_owned();
        for number in 0..*tries {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late(last));
            }
            let asked = match self.exchange(path, body, left.min(Duration::from_secs_f64(self.config.try_s)))
            {
                Ok(reply) => return Ok(reply),
                Err(Failed::Never(fault)) => return Err(fault),
                Err(Failed::Again(reason, wait)) => {
                    tracing::debug!("{url}, try {}: {reason}", number + 1);
                    last = reason;
                    wait
                }
            };
            if number + 1 == *tries {
                break;
            }
            let (first, longest) = WAITS_S;
            // Not all at once: whoever was refused together comes back apart.
            let own = (first * f64::from(2u32.pow(number.min(16)))).min(longest);
            let own = own * (0.5 + draws.at(u64::from(number)).uniform());
            let wait = asked.unwrap_or_default().max(Duration::from_secs_f64(own));
            if Instant::now() + wait > end {
                return Err(late(last));
            }
            std::thread::sleep(wait);
        }
        Err(Fault::Unavailable { endpoint: url.clone(), tries: *tries, reason: last })
    }
}

impl Teacher for Endpoint {
    fn model(&self) -> &str {
        &self.config.model
    }

    fn ask(&self, question: &Question) -> std::result::Result<Answer, Fault> {
        let form = Form::of(question)?;
        let end = Instant::now() + Duration::from_secs_f64(self.config.deadline_s);
        let _inside = self.gate.enter();
        let mut usage = Usage::default();
        let mut question = question.clone();
        for number in 0..self.config.form_tries {
            let body = body(&self.config, &question)?.to_string();
            let limit = (self.config.largest_question_mb * 1e6) as usize;
            if body.len() > limit {
                return Err(Fault::TooLarge { bytes: body.len(), limit });
            }
            let reply = self.insist("chat/completions", Some(body.as_bytes()), end)?;
            let reply = Reply::of(&reply);
            usage.prompt_tokens += reply.usage.prompt_tokens;
            usage.completion_tokens += reply.usage.completion_tokens;
            match reply.answer(&self.config.model, &question, &form) {
                Ok(answer) => return Ok(Answer { usage, ..answer }),
                Err(Fault::Form { .. }) if number + 1 < self.config.form_tries => {
                    // The same draw would give the same answer again.
                    question.sampling.seed += 1;
                    question.sampling.temperature = question.sampling.temperature.max(0.3);
                }
                Err(fault) => return Err(fault.after(usage)),
            }
        }
        unreachable!("the last try returns, and there is one at least")
    }

    fn cost(&self, usage: Usage) -> f64 {
        let Price { prompt, completion } = self.config.price;
        (usage.prompt_tokens as f64 * prompt + usage.completion_tokens as f64 * completion) / 1e6
    }
}

impl EndpointConfig {
    fn key(&self, name: &str) -> Result<String> {
        std::env::var(name).map_err(|_| Error::Settings {
            url: self.url.clone(),
            reason: format!("the environment has no {name}, which holds its key"),
        })
    }
}
