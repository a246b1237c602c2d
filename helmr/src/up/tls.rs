//! TLS on the listening socket.
//!
//! A handshake may be slow or never end, so each is done beside the others, under a deadline.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener as Accept;
use helmr_cli::CommandError;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes at a time: those beyond wait to be accepted.
const MOST_HANDSHAKES: usize = 256;

/// Certificate and key, ready for use.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Acceptor")
    }
}

/// Reads a certificate chain and its key.
pub(crate) fn acceptor(cert: &Path, key: &Path) -> Result<Acceptor, CommandError> {
    let failed = |path: &Path, error: &dyn std::error::Error| {
        CommandError::usage(format!("read {}", path.display())).because(error)
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(cert, &error))?;
    if chain.is_empty() {
        return Err(CommandError::usage(format!(
            "{} holds no certificate",
            cert.display()
        )));
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|error| {
            CommandError::usage(format!(
                "{} and {} cannot be used together",
                cert.display(),
                key.display()
            ))
            .because(&error)
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}

/// Accepts connections whose handshake is done.
pub(crate) struct Listener<L: Accept> {
    plain: L,
    acceptor: Acceptor,
    handshakes: JoinSet<Option<Connection<L>>>,
}

type Connection<L> = (TlsStream<<L as Accept>::Io>, <L as Accept>::Addr);

impl<L: Accept> Listener<L> {
    pub(crate) fn new(plain: L, acceptor: Acceptor) -> Self {
        Self {
            plain,
            acceptor,
            handshakes: JoinSet::new(),
        }
    }
}

impl<L> Accept for Listener<L>
where
    L: Accept,
    L::Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    L::Addr: Send + 'static,
{
    type Io = TlsStream<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, address) = self.plain.accept(), if self.handshakes.len() < MOST_HANDSHAKES => {
                    let acceptor = self.acceptor.0.clone();
                    self.handshakes.spawn(async move {
                        let done = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                        // A failed handshake is the client's concern: scanners make many.
                        done.ok()?.ok().map(|stream| (stream, address))
                    });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.plain.local_addr()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use std::process::Command;

    use helmr_cli::Style;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A certificate for `localhost` that nobody signed, made by the system's openssl.
    fn certificate(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args([
                "-out".as_ref(),
                cert.as_os_str(),
                "-keyout".as_ref(),
                key.as_os_str(),
            ])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        (cert, key)
    }

    fn provider() {
        // Another test of this process may have been first.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }

    #[tokio::test]
    async fn a_client_that_never_shakes_hands_keeps_nobody_out() {
        provider();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = certificate(folder.path());
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = plain.local_addr().unwrap();
        let mut listener = Listener::new(plain, acceptor(&cert, &key).unwrap());
        let _silent = TcpStream::connect(address).await.unwrap();

        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&cert).unwrap())
            .unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let talk = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let hear = async {
            let (mut stream, _) = listener.accept().await;
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.unwrap();
            heard
        };
        let both = async { tokio::join!(talk, hear) };
        let ((), heard) = tokio::time::timeout(Duration::from_secs(9), both)
            .await
            .unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused_by_name() {
        provider();
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (cert, key) = certificate(one.path());
        let (_, foreign) = certificate(other.path());
        for (cert, key, word) in [
            (&cert, &foreign, "together"),
            (&key, &key, "holds no certificate"),
            (&cert, &cert, "read"),
            (&one.path().join("none"), &key, "none"),
        ] {
            let text = acceptor(cert, key).unwrap_err().render(Style::plain());
            assert!(text.contains(word), "{text}");
        }
    }
}
