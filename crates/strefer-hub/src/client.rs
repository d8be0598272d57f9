//! The questions that are put to the hub: what a revision holds, and the bytes of a file.

use std::io::Read;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Agent, Body};

use crate::error::{Error, Result};
use crate::listing::{Listing, RemoteFile};
use crate::model::HubModel;
use crate::settings::{Settings, Token};

/// What stays as it is in one part of an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A listing that is longer is none: that of ten thousand files has 3 MB.
const LARGEST_LISTING_BYTES: u64 = 64 << 20;

/// Asks the hub.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<Token>,
}

/// The bytes of a file from some place on.
pub(crate) struct Bytes {
    /// What comes.
    pub reader: Box<dyn Read>,
    /// Bytes of the file that lie before it: as many as were asked for, or none.
    pub from: u64,
}

impl Client {
    pub fn new(settings: &Settings) -> Result<Self> {
        let endpoint = settings.endpoint.clone();
        if !cfg!(feature = "tls") && endpoint.starts_with("https:") {
            return Err(Error::NoTls { endpoint });
        }
        let silence = Some(settings.silence);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Large files lie on other servers, which have no business with the token.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("strefer/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(silence)
            .timeout_connect(silence)
            .timeout_send_request(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence);
        if is_here(&endpoint) {
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().into(), endpoint, token: settings.token.clone() })
    }

    /// What a revision holds.
    pub fn listing(&self, model: &HubModel) -> Result<Listing> {
        let revision = utf8_percent_encode(model.revision(), PLAIN);
        let (owner, name) = (model.owner(), model.name());
        let url = format!("{}/api/models/{owner}/{name}/revision/{revision}?blobs=true", self.endpoint);
        let response = self.get(&url, 0)?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(model, None, &url, &response));
        }
        let body = response.into_body().into_with_config().limit(LARGEST_LISTING_BYTES).read_to_string();
        let text =
            body.map_err(|error| Error::Unavailable { url: url.clone(), reason: error.to_string() })?;
        Listing::parse(&text).map_err(|reason| Error::Answer { url, reason })
    }

    /// The bytes of a file, those before `from` left out if the server can do that.
    pub fn bytes(&self, model: &HubModel, commit: &str, file: &RemoteFile, from: u64) -> Result<Bytes> {
        let path: Vec<String> =
            file.name.split('/').map(|part| utf8_percent_encode(part, PLAIN).to_string()).collect();
        let (owner, name, path) = (model.owner(), model.name(), path.join("/"));
        let url = format!("{}/{owner}/{name}/resolve/{commit}/{path}", self.endpoint);
        let response = self.get(&url, from)?;
        let from = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if begins_at(response.headers(), from) => from,
            StatusCode::PARTIAL_CONTENT => {
                return Err(Error::Answer { url, reason: format!("not what follows byte {from}") });
            }
            _ => return Err(self.refusal(model, Some(file), &url, &response)),
        };
        let body = response.into_body();
        if let Some(left) = body.content_length()
            && left.saturating_add(from) != file.size
        {
            let (expected, found) = (file.size, left.saturating_add(from));
            return Err(Error::Size { model: model.to_string(), file: file.name.clone(), expected, found });
        }
        Ok(Bytes { reader: Box::new(body.into_reader()), from })
    }

    fn get(&self, url: &str, from: u64) -> Result<Response<Body>> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.call().map_err(|error| Error::Unavailable { url: url.to_owned(), reason: error.to_string() })
    }

    /// What an answer other than the expected one means. The hub says 401 for a model that does not exist to those who
    /// do not say who they are.
    fn refusal(
        &self,
        model: &HubModel,
        file: Option<&RemoteFile>,
        url: &str,
        response: &Response<Body>,
    ) -> Error {
        let said = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let named = model.to_string();
        let no_revision = || {
            let revision = model.revision().to_owned();
            Error::NoRevision { model: format!("{}/{}", model.owner(), model.name()), revision }
        };
        let no_model = || Error::NoModel { model: model.to_string(), endpoint: self.endpoint.clone() };
        match (response.status().as_u16(), said("x-error-code"), file) {
            (_, Some("GatedRepo"), _) | (403, None, _) => Error::Gated {
                model: named,
                page: format!("{}/{}/{}", self.endpoint, model.owner(), model.name()),
            },
            (_, Some("RevisionNotFound"), _) => no_revision(),
            (_, Some("RepoNotFound"), _) => no_model(),
            (401, _, _) if self.token.is_some() => Error::Token { model: named },
            (401, _, _) | (404, _, None) => no_model(),
            (404, _, Some(file)) => Error::NoFile { model: named, file: file.name.clone() },
            (status @ (408 | 429 | 500..), _, _) => {
                Error::Unavailable { url: url.to_owned(), reason: format!("the server says {status}") }
            }
            (status, _, _) => {
                let message = said("x-error-message").unwrap_or("no reason given").to_owned();
                Error::Status { url: url.to_owned(), status, message }
            }
        }
    }
}

/// Whether an answer says that its first byte is the one numbered `from`.
fn begins_at(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    first == Some(from)
}

/// Whether an address is on this machine: no proxy leads there.
fn is_here(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|here| {
        host.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    })
}
