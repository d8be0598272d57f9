//! Several servers with the same model.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Endpoint;
use crate::Teacher;
use crate::fault::{Error, Fault, Result};
use crate::question::{Answer, Question, Usage};

/// How long a server that did not answer is left alone while others do.
const REST: Duration = Duration::from_secs(60);

/// Servers that share the questions: each goes to the one with most room, and on to another where that does not answer.
#[derive(Debug)]
pub struct Endpoints {
    endpoints: Vec<Endpoint>,
    /// Until when each is left alone.
    rests: Mutex<Vec<Option<Instant>>>,
}

impl Endpoints {
    /// # Errors
    /// None at all, or different models: their answers would be kept as those of one.
    pub fn new(endpoints: Vec<Endpoint>) -> Result<Self> {
        let Some(first) = endpoints.first() else {
            return Err(Error::Settings { url: String::new(), reason: "no endpoint is named".to_owned() });
        };
        if let Some(other) = endpoints.iter().find(|other| other.model() != first.model()) {
            let reason = format!("has the model {}, the first one {}", other.model(), first.model());
            return Err(Error::Settings { url: other.config().url.clone(), reason });
        }
        let rests = Mutex::new(vec![None; endpoints.len()]);
        Ok(Self { endpoints, rests })
    }

    /// The best of those that were not tried yet.
    fn choose(&self, tried: &[usize]) -> Option<usize> {
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let left = (0..self.endpoints.len()).filter(|at| !tried.contains(at));
        left.min_by_key(|&at| {
            let endpoint = &self.endpoints[at];
            let rests = rests[at].is_some_and(|until| until > now);
            (rests, endpoint.in_flight() * 1000 / endpoint.config().in_flight)
        })
    }
}

impl Teacher for Endpoints {
    fn model(&self) -> &str {
        self.endpoints[0].model()
    }

    fn ask(&self, question: &Question) -> std::result::Result<Answer, Fault> {
        let mut tried = Vec::new();
        let mut last = None;
        while let Some(at) = self.choose(&tried) {
            let answer = self.endpoints[at].ask(question);
            let rest = |until| self.rests.lock().unwrap_or_else(PoisonError::into_inner)[at] = until;
            match answer {
                Err(fault @ (Fault::Unavailable { .. } | Fault::Late { .. })) => {
                    tracing::warn!("{fault}");
                    rest(Some(Instant::now() + REST));
                    last = Some(fault);
                    tried.push(at);
                }
                answer => {
                    rest(None);
                    return answer;
                }
            }
        }
        Err(last.expect("there is one endpoint at least"))
    }

    fn cost(&self, usage: Usage) -> f64 {
        self.endpoints[0].cost(usage)
    }
}
