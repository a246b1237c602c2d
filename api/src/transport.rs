//! How a worker reaches the control plane: the same HTTP over TCP or, in `helmr up`, over pipes in memory.
//!
//! Only bytes: what is said over a connection is the caller's. A [`Connector`] is used by the worker, a [`Listener`] is
//! what the control plane's router is served on (`axum::serve(listener, router)`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Buffered in each direction of a connection in memory.
const PIPE_BYTES: usize = 256 << 10;
/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

/// Connections within one process.
#[derive(Debug)]
pub struct InMemory;

impl InMemory {
    /// Makes the two ends. Each connection made at the one arrives at the other.
    #[must_use]
    pub fn pair() -> (Connector, Listener) {
        let (arriving, arrived) = mpsc::channel(BACKLOG);
        (
            Connector {
                way: Way::InMemory(arriving),
            },
            Listener { arrived },
        )
    }
}

/// Makes connections to one control plane.
#[derive(Debug, Clone)]
pub struct Connector {
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    InMemory(mpsc::Sender<DuplexStream>),
    Tcp { host: String, port: u16 },
}

impl Connector {
    /// Reaches a control plane over plain TCP.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self {
            way: Way::Tcp {
                host: host.into(),
                port,
            },
        }
    }

    /// The `Host` that requests name.
    #[must_use]
    pub fn authority(&self) -> String {
        match &self.way {
            Way::InMemory(_) => "control.internal".to_owned(),
            Way::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Way::Tcp { host, port } => format!("{host}:{port}"),
        }
    }

    /// Opens a connection. The caller gives it a deadline.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens in memory any more; TCP's own.
    pub async fn connect(&self) -> io::Result<Connection> {
        match &self.way {
            Way::InMemory(arriving) => {
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                arriving
                    .send(far)
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
                Ok(Connection(Stream::InMemory(near)))
            }
            Way::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                // Requests are small and awaited: holding them back for company only adds latency.
                stream.set_nodelay(true)?;
                Ok(Connection(Stream::Tcp(stream)))
            }
        }
    }
}

/// Accepts the connections made in memory. Dropping it refuses new ones.
#[derive(Debug)]
pub struct Listener {
    arrived: mpsc::Receiver<DuplexStream>,
}

impl axum::serve::Listener for Listener {
    type Io = DuplexStream;
    type Addr = &'static str;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.arrived.recv().await {
            Some(stream) => (stream, "memory"),
            // Every connector is gone: nothing will ever arrive, and the server is stopped by its own signal.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok("memory")
    }
}

/// A connection to the control plane.
#[derive(Debug)]
pub struct Connection(Stream);

#[derive(Debug)]
enum Stream {
    InMemory(DuplexStream),
    Tcp(TcpStream),
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::InMemory(stream) => Pin::new(stream).poll_read(context, into),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Stream::InMemory(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::InMemory(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::InMemory(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_cross_in_both_directions_and_the_end_is_seen() -> io::Result<()> {
        let (connector, mut listener) = InMemory::pair();
        let mut near = connector.connect().await?;
        let (mut far, _) = listener.accept().await;
        near.write_all(b"up").await?;
        far.write_all(b"down").await?;
        drop(far);
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await?;
        assert_eq!(heard, b"down");
        Ok(())
    }

    #[tokio::test]
    async fn a_control_plane_that_is_gone_refuses() {
        let (connector, listener) = InMemory::pair();
        drop(listener);
        let refused = tokio::time::timeout(Duration::from_secs(5), connector.connect()).await;
        assert!(
            matches!(refused, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
        );
    }
}
