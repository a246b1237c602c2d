//! The Rust client of the public API, as the command line uses it.
//!
//! Methods are named for the API's operations and give the answer both typed and as it was sent. The client knows no
//! terminal, no profile and no rule of the domain; it repeats only requests that may be repeated.

mod answer;
mod attach;
mod deployments;
mod error;
mod execs;
mod files;
mod follow;
mod images;
mod ptys;
mod public_tokens;
mod quotas;
mod request;
mod runs;
mod scope;
mod sessions;
mod sse;
mod storage;
mod streams;
mod tasks;
mod tokens;
mod uploads;
mod versions;
mod workers;
mod workspaces;

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;

pub use answer::Answer;
pub use attach::{Attachment, Seen};
pub use error::Error;
pub use files::{FileCondition, Incoming};
pub use follow::{Follow, Update};
pub use request::{ByteStream, IdempotencyKey};

use crate::http::{API_VERSION, API_VERSION_HEADER, CLIENT_HEADER};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the server is and who asks.
#[derive(Clone)]
pub struct Settings {
    /// For example `http://127.0.0.1:4356`.
    pub url: String,
    /// An API key. Secret.
    pub api_key: String,
    /// Slug or id; sent with every request. Only keys that are not bound to an environment need it.
    pub project: Option<String>,
    pub environment: Option<String>,
    /// For the server's log, for example `cli/1.2.3`.
    pub client: String,
    /// Whether the key may travel unencrypted to another machine.
    pub allow_plain_http: bool,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Settings")
            .field("url", &self.url)
            .field("api_key", &"[redacted]")
            .field("project", &self.project)
            .field("environment", &self.environment)
            .field("client", &self.client)
            .field("allow_plain_http", &self.allow_plain_http)
            .finish()
    }
}

/// A client of one server in one scope. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// For connections that are turned into something else, which HTTP/2's are not.
    upgrading: reqwest::Client,
    base: Url,
    /// `project_id` and `environment_id`, where they were chosen.
    scope: Vec<(&'static str, String)>,
}

impl Client {
    /// Makes a client. Connects to nothing yet.
    ///
    /// # Errors
    /// `InvalidUrl`, `PlainHttp` or `InvalidKey` if the settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let base = base_url(&settings.url)?;
        if !settings.allow_plain_http && base.scheme() == "http" && !is_loopback(&base) {
            return Err(Error::PlainHttp {
                url: settings.url.clone(),
            });
        }
        let headers = headers(settings)?;
        let builder = || {
            reqwest::Client::builder()
                .default_headers(headers.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                // An answer elsewhere could be anybody's: the API never redirects.
                .redirect(reqwest::redirect::Policy::none())
        };
        let http = builder().build().map_err(Error::Setup)?;
        let upgrading = builder().http1_only().build().map_err(Error::Setup)?;
        let scope = [
            ("project_id", &settings.project),
            ("environment_id", &settings.environment),
        ];
        Ok(Self {
            http,
            upgrading,
            base,
            scope: scope
                .into_iter()
                .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
                .collect(),
        })
    }

    /// The server's address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

fn base_url(text: &str) -> Result<Url, Error> {
    let invalid = |reason: String| Error::InvalidUrl {
        url: text.to_owned(),
        reason,
    };
    let url: Url = text
        .trim_end_matches('/')
        .parse()
        .map_err(|error| invalid(format!("{error}")))?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(invalid("expected http://… or https://…".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(invalid(
            "expected nothing but scheme, host, port and path".to_owned(),
        ));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn headers(settings: &Settings) -> Result<HeaderMap, Error> {
    let mut key = HeaderValue::try_from(format!("Bearer {}", settings.api_key))
        .map_err(|_| Error::InvalidKey)?;
    key.set_sensitive(true);
    let client = HeaderValue::try_from(&settings.client).map_err(|_| Error::InvalidKey)?;
    Ok(HeaderMap::from_iter([
        (header::AUTHORIZATION, key),
        (
            HeaderName::from_static(API_VERSION_HEADER),
            HeaderValue::from_static(API_VERSION),
        ),
        (HeaderName::from_static(CLIENT_HEADER), client),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, Error> {
        Client::new(&Settings {
            url: url.to_owned(),
            api_key: "hlmr_sk_test".to_owned(),
            project: None,
            environment: None,
            client: "test/0".to_owned(),
            allow_plain_http: false,
        })
    }

    #[test]
    fn a_key_travels_unencrypted_only_on_this_machine() {
        for url in [
            "http://127.0.0.1:4356",
            "http://localhost:4356/",
            "http://[::1]:4356",
            "https://helmr.example.com",
            "https://example.com/helmr/",
        ] {
            assert!(client(url).is_ok(), "{url}");
        }
        for url in ["http://helmr.example.com", "http://10.0.0.1:4356"] {
            assert!(matches!(client(url), Err(Error::PlainHttp { .. })), "{url}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in [
            "",
            "127.0.0.1:4356",
            "ftp://example.com",
            "https://example.com/?a=b",
            "https://me@example.com",
        ] {
            assert!(
                matches!(client(url), Err(Error::InvalidUrl { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn the_key_is_not_in_debug_text() {
        let text = format!("{:?}", client("http://localhost:1"));
        assert!(!text.contains("hlmr_sk_test"), "{text}");
    }
}
