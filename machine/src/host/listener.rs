//! The socket in the machine's host directory.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::carrier::carry;
use super::shared::Shared;
use super::{Error, Link};
use crate::Attempt;

/// Name of the socket in the host directory.
pub const SOCKET_NAME: &str = "host.sock";

const ATTEMPT_NAME: &str = "attempt";

/// While the guest's connects do not fit, a checkpoint of the machine hangs: as long as the kernel allows.
const BACKLOG: i32 = 4096;

/// Waits for the guest of one attempt. Dropping it and every [`Link`] of it closes the socket.
#[derive(Debug, Clone)]
pub struct Listener {
    shared: Arc<Shared>,
    carrier: Arc<AbortOnDropHandle<()>>,
}

impl Listener {
    /// Binds the socket in `host_dir`, over one that a killed worker left, and notes beside it which attempt the
    /// directory belongs to. `silence_limit`: after how long without a word from any worker the guest stops every
    /// process; `None`: never.
    ///
    /// Must be called on a tokio runtime.
    ///
    /// # Errors
    /// `Bind` if the directory or the socket cannot be used.
    pub fn bind(
        host_dir: &Path,
        attempt: &Attempt,
        silence_limit: Option<Duration>,
    ) -> Result<Self, Error> {
        let socket =
            bind_socket(host_dir, &attempt.container()).map_err(|(operation, source)| {
                Error::Bind {
                    operation,
                    path: host_dir.to_owned(),
                    source: Arc::new(source),
                }
            })?;
        let shared = Arc::new(Shared::new(attempt.container(), silence_limit));
        let carrier = tokio::spawn(carry(socket, Arc::clone(&shared)));
        Ok(Self {
            shared,
            carrier: Arc::new(AbortOnDropHandle::new(carrier)),
        })
    }

    /// Waits for a hello of this attempt. May be asked again after a deadline passed.
    ///
    /// # Errors
    /// `NoHello` if none came in time.
    pub async fn greeted(&self, deadline: Duration) -> Result<Link, Error> {
        match timeout(deadline, self.shared.greeting()).await {
            Ok(greeting) => Ok(Link::new(
                Arc::clone(&self.shared),
                Arc::clone(&self.carrier),
                greeting,
            )),
            Err(_) => Err(Error::NoHello {
                attempt: self.shared.attempt().to_owned(),
                deadline,
            }),
        }
    }
}

type Step<T> = Result<T, (&'static str, io::Error)>;

fn bind_socket(host_dir: &Path, attempt: &str) -> Step<UnixListener> {
    let directory: OwnedFd = rustix::fs::open(
        host_dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|source| ("open the host directory", source.into()))?;
    // A socket's address holds 107 bytes; this one is short wherever the directory lies.
    let directory_path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
    write_attempt(&directory_path, attempt)
        .map_err(|source| ("write the attempt file in", source))?;
    let path = directory_path.join(SOCKET_NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(("remove the old socket in", error));
        }
        _ => {}
    }
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|source| ("make a socket for", source.into()))?;
    SocketAddrUnix::new(&path)
        .and_then(|address| rustix::net::bind(&socket, &address))
        .and_then(|()| rustix::net::listen(&socket, BACKLOG))
        .map_err(|source| ("bind the socket in", source.into()))?;
    UnixListener::from_std(StdListener::from(socket)).map_err(|source| ("listen in", source))
}

/// Replaces the attempt file whole: the guest reads it at every dial.
fn write_attempt(directory: &Path, attempt: &str) -> io::Result<()> {
    let beside = directory.join("attempt.new");
    let mut file = File::create(&beside)?;
    file.write_all(attempt.as_bytes())?;
    fs::rename(&beside, directory.join(ATTEMPT_NAME))
}
