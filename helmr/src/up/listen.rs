//! The address that is listened on, and what it takes to be reachable from elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::serve::ListenerExt as _;
use helmr_cli::CommandError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve::Server;
use super::tls;

#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    /// Address and port to listen on
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4356")]
    listen: String,

    /// What others reach the server under, for callback URLs; the address listened on unless told
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,

    /// Certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Listen beyond this machine without TLS: for networks you trust, or behind a proxy that has it
    #[arg(long, conflicts_with = "tls_cert")]
    allow_plain_http: bool,
}

/// A bound address.
#[derive(Debug)]
pub(crate) struct Front {
    listener: TcpListener,
    tls: Option<tls::Acceptor>,
    /// What callback URLs start with.
    pub(crate) public_url: String,
    /// How clients on this machine reach the server.
    pub(crate) local_url: String,
}

impl Listen {
    /// Takes the address.
    ///
    /// # Errors
    /// The address is not one, is taken, or is open to others without TLS.
    pub(crate) async fn bind(self) -> Result<Front, CommandError> {
        let address = self.address().await?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some(tls::acceptor(cert, key)?),
            _ => None,
        };
        if tls.is_none() && !address.ip().is_loopback() && !self.allow_plain_http {
            return Err(CommandError::usage(format!(
                "{address} can be reached from other machines, and keys would travel unencrypted"
            ))
            .hint("add --tls-cert and --tls-key")
            .hint("or --allow-plain-http, on a network you trust or behind a proxy with TLS"));
        }
        let public_url = self.public_url.as_deref().map(checked_url).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let made = CommandError::failed(format!("listen on {address}")).because(&error);
            if error.kind() == std::io::ErrorKind::AddrInUse {
                made.hint("another program has it: stop that, or choose another with --listen")
            } else {
                made
            }
        })?;
        // Port 0 became a real one.
        let bound = listener
            .local_addr()
            .map_err(|error| CommandError::failed("look at the address").because(&error))?;
        let local_url = match (&public_url, &tls) {
            // Certificates name hosts: the public name is the one that they know.
            (Some(url), Some(_)) => url.clone(),
            (None, Some(_)) => format!("https://{}", local(bound)),
            (_, None) => format!("http://{}", local(bound)),
        };
        Ok(Front {
            listener,
            tls,
            public_url: public_url.unwrap_or_else(|| local_url.clone()),
            local_url,
        })
    }

    async fn address(&self) -> Result<SocketAddr, CommandError> {
        let wrong = |error: &dyn std::error::Error| {
            CommandError::usage(format!("`{}` is not an address to listen on", self.listen))
                .because(error)
                .hint("write it like 127.0.0.1:4356 or [::1]:4356")
        };
        let mut found = tokio::net::lookup_host(&self.listen)
            .await
            .map_err(|error| wrong(&error))?;
        found
            .next()
            .ok_or_else(|| wrong(&std::io::Error::other("the name has no address")))
    }
}

/// The address under which this machine reaches a listener, also one on all addresses.
fn local(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if bound.ip().is_unspecified() {
        address.set_ip(match bound {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn checked_url(text: &str) -> Result<String, CommandError> {
    let wrong = || {
        CommandError::usage(format!("`{text}` is not a public URL"))
            .hint("write it like https://helmr.example.com")
    };
    let url: http::Uri = text.parse().map_err(|_| wrong())?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    if !is_web || url.authority().is_none() || url.query().is_some() {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

impl Front {
    /// Serves until the token is cancelled.
    pub(crate) fn serve(self, router: Router, ending: CancellationToken) -> Server {
        // Answers are small and awaited: holding them back for company only adds latency.
        let plain = self.listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "set TCP_NODELAY");
            }
        });
        match self.tls {
            None => Server::start("clients", plain, router, ending),
            Some(acceptor) => Server::start(
                "clients",
                tls::Listener::new(plain, acceptor),
                router,
                ending,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use helmr_cli::Style;

    use super::*;

    fn listen(address: &str) -> Listen {
        Listen {
            listen: address.to_owned(),
            public_url: None,
            tls_cert: None,
            tls_key: None,
            allow_plain_http: false,
        }
    }

    #[tokio::test]
    async fn loopback_is_open_and_others_need_tls_or_a_flag() {
        let front = listen("127.0.0.1:0").bind().await.unwrap();
        assert!(
            front.local_url.starts_with("http://127.0.0.1:"),
            "{}",
            front.local_url
        );
        assert!(!front.local_url.ends_with(":0"));
        let refused = listen("0.0.0.0:0").bind().await.unwrap_err();
        let text = refused.render(Style::plain());
        assert!(
            text.contains("--tls-cert") && text.contains("--allow-plain-http"),
            "{text}"
        );
        let mut allowed = listen("0.0.0.0:0");
        allowed.allow_plain_http = true;
        let front = allowed.bind().await.unwrap();
        assert!(
            front.local_url.starts_with("http://127.0.0.1:"),
            "{}",
            front.local_url
        );
    }

    #[tokio::test]
    async fn an_address_in_use_is_told() {
        let first = listen("127.0.0.1:0").bind().await.unwrap();
        let taken = first.local_url.trim_start_matches("http://").to_owned();
        let text = listen(&taken)
            .bind()
            .await
            .unwrap_err()
            .render(Style::plain());
        assert!(text.contains("--listen"), "{text}");
    }

    #[test]
    fn a_public_url_is_whole() {
        assert_eq!(
            checked_url("https://helmr.example.com/").unwrap(),
            "https://helmr.example.com"
        );
        for wrong in ["helmr.example.com", "ftp://a", "https://a?b=c", "/path"] {
            assert!(checked_url(wrong).is_err(), "{wrong}");
        }
    }
}
