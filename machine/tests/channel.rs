//! The host's end of the channel against guests that misbehave, cut off, come back or lie.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use bytes::BytesMut;
use helmr_guest_wire::{Body, Frame, Heartbeat, Hello, RunLine, Welcome, decode, encode};
use helmr_machine::Attempt;
use helmr_machine::host::{Error, Link, Listener, SOCKET_NAME};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

struct Host {
    directory: TempDir,
    listener: Listener,
}

impl Host {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let attempt = Attempt {
            machine: "machine".to_owned(),
            number: 1,
        };
        let listener =
            Listener::bind(directory.path(), &attempt, Some(Duration::from_secs(9))).unwrap();
        Self {
            directory,
            listener,
        }
    }

    async fn dial(&self) -> Peer {
        let stream = UnixStream::connect(self.directory.path().join(SOCKET_NAME))
            .await
            .unwrap();
        Peer {
            stream,
            input: BytesMut::new(),
        }
    }

    /// Dials and greets with these positions.
    async fn greet(&self, received: u64, oldest: u64) -> (Peer, Welcome) {
        let mut peer = self.dial().await;
        peer.send(0, received, Body::Hello(hello(received, oldest)))
            .await;
        let Some(Body::Welcome(welcome)) = peer.next().await.unwrap().body else {
            panic!("no welcome")
        };
        (peer, welcome)
    }

    async fn link(&self) -> Link {
        self.listener.greeted(DEADLINE).await.unwrap()
    }
}

struct Peer {
    stream: UnixStream,
    input: BytesMut,
}

impl Peer {
    async fn send(&mut self, seq: u64, ack: u64, body: Body) {
        let mut bytes = BytesMut::new();
        encode(
            &Frame {
                seq,
                ack,
                body: Some(body),
            },
            &mut bytes,
        )
        .unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next frame, if the host has not closed the connection.
    async fn next(&mut self) -> Option<Frame> {
        let next = async {
            loop {
                if let Some(frame) = decode(&mut self.input).unwrap() {
                    return Some(frame);
                }
                if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                    return None;
                }
            }
        };
        timeout(DEADLINE, next).await.expect("a frame or the end")
    }

    /// The next frame that has a position.
    async fn next_sequenced(&mut self) -> Frame {
        loop {
            let frame = self.next().await.expect("an open connection");
            if frame.seq > 0 {
                return frame;
            }
        }
    }

    async fn until_closed(mut self) {
        while self.next().await.is_some() {}
    }

    async fn until_acknowledged(&mut self, position: u64) {
        while self.next().await.expect("an open connection").ack < position {}
    }
}

fn hello(received: u64, oldest_unacknowledged: u64) -> Hello {
    Hello {
        protocol: 1,
        boot_id: vec![7; 16],
        attempt: "machine-1".to_owned(),
        received,
        oldest_unacknowledged,
        runs: vec![],
    }
}

fn probe() -> Body {
    Body::Probe(Heartbeat {})
}

fn line(bytes: usize) -> Body {
    Body::RunLine(RunLine {
        line: vec![b'x'; bytes],
        ..RunLine::default()
    })
}

async fn positions(link: &Link, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(
            timeout(DEADLINE, link.recv())
                .await
                .expect("a frame")
                .unwrap()
                .position,
        );
    }
    positions
}

#[tokio::test]
async fn strangers_that_say_nothing_do_not_keep_the_guest_out() {
    let host = Host::new();
    let mut strangers = Vec::new();
    for _ in 0..100 {
        strangers.push(host.dial().await);
    }
    let (_peer, welcome) = host.greet(0, 1).await;
    assert_eq!((welcome.received, welcome.silence_limit_ms), (None, 9000));
    host.link().await;
    strangers.remove(0).until_closed().await;
}

#[tokio::test]
async fn what_is_no_hello_of_this_attempt_is_closed() {
    let host = Host::new();
    let mut other = hello(0, 1);
    other.attempt = "machine-2".to_owned();
    for first in [probe(), Body::Hello(other)] {
        let mut peer = host.dial().await;
        peer.send(0, 0, first).await;
        peer.until_closed().await;
    }
    let mut peer = host.dial().await;
    peer.stream
        .write_all(&u32::MAX.to_le_bytes())
        .await
        .unwrap();
    peer.until_closed().await;
    host.greet(0, 1).await;
}

#[tokio::test]
async fn frames_are_delivered_once_over_cuts_and_repeats() {
    let host = Host::new();
    let (mut peer, _) = host.greet(0, 1).await;
    let link = host.link().await;
    for seq in [1, 1, 2, 1, 2] {
        peer.send(seq, 0, probe()).await;
    }
    assert_eq!(positions(&link, 2).await, [1, 2]);
    drop(peer);
    let (mut peer, welcome) = host.greet(0, 1).await;
    assert_eq!(welcome.received, Some(2), "it remembers what it took in");
    for seq in [1, 2, 3] {
        peer.send(seq, 0, probe()).await;
    }
    assert_eq!(positions(&link, 1).await, [3]);
    assert_eq!(link.connections(), 2);
}

#[tokio::test]
async fn a_gap_ends_the_connection_and_delivers_nothing_of_it() {
    let host = Host::new();
    let (mut peer, _) = host.greet(0, 1).await;
    let link = host.link().await;
    peer.send(1, 0, probe()).await;
    peer.send(3, 0, probe()).await;
    peer.until_closed().await;
    let (mut peer, welcome) = host.greet(0, 1).await;
    assert_eq!(welcome.received, Some(1));
    peer.send(2, 0, probe()).await;
    assert_eq!(positions(&link, 2).await, [1, 2]);
}

#[tokio::test]
async fn only_what_the_consumer_dealt_with_is_acknowledged() {
    let host = Host::new();
    let (mut peer, _) = host.greet(0, 1).await;
    let link = host.link().await;
    peer.send(1, 0, probe()).await;
    peer.send(2, 0, probe()).await;
    positions(&link, 2).await;
    // The host's next beat comes with what it has: nothing.
    assert_eq!(peer.next().await.unwrap().ack, 0);
    link.acknowledge(1);
    peer.until_acknowledged(1).await;
    link.acknowledge(99);
    peer.until_acknowledged(2).await;
}

#[tokio::test]
async fn what_is_sent_without_a_connection_arrives_once_and_is_taken_when_the_guest_says_so() {
    let host = Host::new();
    let (peer, _) = host.greet(0, 1).await;
    let link = host.link().await;
    drop(peer);
    assert_eq!(link.send(probe()).unwrap(), 1);
    assert_eq!(link.send(line(3)).unwrap(), 2);
    let (mut peer, _) = host.greet(0, 1).await;
    assert_eq!(
        [
            peer.next_sequenced().await.seq,
            peer.next_sequenced().await.seq
        ],
        [1, 2]
    );
    timeout(Duration::from_millis(50), link.taken(1))
        .await
        .expect_err("nothing is taken yet");
    let (mut peer, _) = host.greet(1, 1).await;
    timeout(DEADLINE, link.taken(1)).await.unwrap().unwrap();
    assert_eq!(
        peer.next_sequenced().await.seq,
        2,
        "the first is not told again"
    );
    peer.send(0, 2, Body::Heartbeat(Heartbeat {})).await;
    timeout(DEADLINE, link.taken(2)).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_newer_of_two_connections_counts() {
    let host = Host::new();
    let (older, _) = host.greet(0, 1).await;
    let link = host.link().await;
    let (mut newer, _) = host.greet(0, 1).await;
    older.until_closed().await;
    link.send(probe()).unwrap();
    assert_eq!(newer.next_sequenced().await.seq, 1);
    assert!(link.is_connected());
}

#[tokio::test]
async fn a_host_that_starts_anew_takes_over_the_guests_positions() {
    let host = Host::new();
    let (mut peer, welcome) = host.greet(40, 17).await;
    assert_eq!(welcome.received, None);
    let link = host.link().await;
    peer.send(17, 40, probe()).await;
    assert_eq!(positions(&link, 1).await, [17]);
    assert_eq!(link.send(probe()).unwrap(), 41);
    assert_eq!(peer.next_sequenced().await.seq, 41);
}

#[tokio::test]
async fn a_guest_that_is_not_where_it_was_left_breaks_the_link() {
    // It received what was never sent; it forgot what was never acknowledged; it is another one.
    let mut restarted = hello(0, 1);
    restarted.boot_id = vec![8; 16];
    for strange in [hello(5, 1), hello(0, 9), restarted] {
        let host = Host::new();
        let (peer, _) = host.greet(0, 1).await;
        let link = host.link().await;
        drop(peer);
        let mut peer = host.dial().await;
        peer.send(0, 0, Body::Hello(strange)).await;
        peer.until_closed().await;
        let broken = timeout(DEADLINE, link.recv())
            .await
            .expect("an answer")
            .unwrap_err();
        assert!(matches!(broken, Error::Diverged { .. }), "{broken}");
        assert!(matches!(link.send(probe()), Err(Error::Diverged { .. })));
        assert!(matches!(link.taken(1).await, Err(Error::Diverged { .. })));
    }
}

#[tokio::test]
async fn a_consumer_that_takes_nothing_stops_the_guest_until_it_does() {
    const LINES: u64 = 20;
    let host = Host::new();
    let (peer, _) = host.greet(0, 1).await;
    let link = host.link().await;
    let (mut reader, mut writer) = peer.stream.into_split();
    let mut bytes = BytesMut::new();
    for seq in 1..=LINES {
        encode(
            &Frame {
                seq,
                ack: 0,
                body: Some(line(1 << 20)),
            },
            &mut bytes,
        )
        .unwrap();
    }
    // Something has to take the heartbeats, or this end would be the one that stops.
    let discard =
        tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let mut written = 0;
    while let Ok(more) = timeout(Duration::from_secs(1), writer.write(&bytes[written..])).await {
        written += more.unwrap();
    }
    assert!(
        written < 8 << 20,
        "{written} bytes were taken in with nobody to take them"
    );
    let rest =
        tokio::spawn(async move { writer.write_all(&bytes[written..]).await.map(|()| writer) });
    assert_eq!(positions(&link, 20).await, (1..=LINES).collect::<Vec<_>>());
    drop(rest.await.unwrap().unwrap());
    drop(discard.await.unwrap());
}

#[tokio::test]
async fn a_guest_that_takes_nothing_is_not_sent_to_without_end() {
    let host = Host::new();
    let (_peer, _) = host.greet(0, 1).await;
    let link = host.link().await;
    let refused = (0..100)
        .find_map(|_| link.send(line(1 << 20)).err())
        .expect("a limit");
    assert!(
        matches!(refused, Error::Full { bytes, .. } if bytes < 40 << 20),
        "{refused}"
    );
    assert!(matches!(
        link.send(line(17 << 20)),
        Err(Error::Full { .. } | Error::TooLong { .. })
    ));
}

#[tokio::test]
async fn a_directory_with_a_long_path_and_a_dead_workers_socket_can_be_bound() {
    let directory = TempDir::new().unwrap();
    let deep = directory.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let attempt = Attempt {
        machine: "machine".to_owned(),
        number: 1,
    };
    drop(Listener::bind(&deep, &attempt, None).unwrap());
    let _listener = Listener::bind(&deep, &attempt, None).unwrap();
    assert_eq!(
        std::fs::read_to_string(deep.join("attempt")).unwrap(),
        "machine-1"
    );
    let missing = Listener::bind(&directory.path().join("nowhere"), &attempt, None).unwrap_err();
    assert!(matches!(missing, Error::Bind { .. }), "{missing}");
}
