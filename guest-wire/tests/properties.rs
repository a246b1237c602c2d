//! The codec against arbitrary cuts of the byte stream, and the windows against a naive model of a bad network.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use bytes::BytesMut;
use helmr_guest_wire::{
    Arrival, Body, Frame, Inbound, Outbound, RunLine, SignalRun, decode, encode,
};
use proptest::prelude::*;

fn body() -> impl Strategy<Value = Body> {
    let line = (
        ".{0,8}",
        any::<u32>(),
        prop::collection::vec(any::<u8>(), 0..300),
        any::<Option<u64>>(),
    )
        .prop_map(|(run_id, attempt_number, line, cut_from_bytes)| {
            Body::RunLine(RunLine {
                run_id,
                attempt_number,
                line,
                cut_from_bytes,
            })
        });
    let signal =
        (".{0,8}", any::<u32>(), any::<i32>()).prop_map(|(run_id, attempt_number, signal)| {
            Body::SignalRun(SignalRun {
                run_id,
                attempt_number,
                signal,
                number: 0,
            })
        });
    prop_oneof![line, signal]
}

fn frame() -> impl Strategy<Value = Frame> {
    (any::<u64>(), any::<u64>(), prop::option::of(body())).prop_map(|(seq, ack, body)| Frame {
        seq,
        ack,
        body,
    })
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
        frames in prop::collection::vec(frame(), 0..8),
        cuts in prop::collection::vec(1_usize..64, 1..64),
    ) {
        let mut whole = BytesMut::new();
        for frame in &frames {
            encode(frame, &mut whole).unwrap();
        }
        let mut input = BytesMut::new();
        let mut decoded = Vec::new();
        let mut cuts = cuts.into_iter().cycle();
        while !whole.is_empty() {
            let piece = whole.split_to(cuts.next().unwrap().min(whole.len()));
            input.extend_from_slice(&piece);
            while let Some(frame) = decode(&mut input).unwrap() {
                decoded.push(frame);
            }
        }
        prop_assert_eq!(decoded, frames);
        prop_assert!(input.is_empty());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut input = BytesMut::from(bytes.as_slice());
        while let Ok(Some(_)) = decode(&mut input) {}
    }
}

/// One thing that happens to a channel.
#[derive(Debug, Clone, Copy)]
enum Event {
    Push,
    /// The sender writes up to so many frames to the connection.
    Write(u8),
    /// The receiver gets up to so many of the frames on the wire.
    Deliver(u8),
    /// The receiver's consumer commits everything it got.
    Commit,
    /// The sender gets to know what is committed.
    Acknowledge,
    /// The connection is lost with everything on it, and both sides compare positions.
    Reconnect,
    /// As a reconnect, but the receiver forgot what it had not committed.
    ReceiverRestarts,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Push),
        3 => any::<u8>().prop_map(|n| Event::Write(n % 4)),
        3 => any::<u8>().prop_map(|n| Event::Deliver(n % 4)),
        2 => Just(Event::Commit),
        2 => Just(Event::Acknowledge),
        1 => Just(Event::Reconnect),
        1 => Just(Event::ReceiverRestarts),
    ]
}

/// A sender, a wire and a receiver whose consumer keeps a durable list.
#[derive(Default)]
struct Channel {
    outbound: Outbound,
    wire: BytesMut,
    inbound: Inbound,
    pushed: i32,
    taken: Vec<i32>,
    committed: Vec<i32>,
}

impl Channel {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Push => {
                self.outbound
                    .push(Body::SignalRun(SignalRun {
                        signal: self.pushed,
                        ..Default::default()
                    }))
                    .unwrap();
                self.pushed += 1;
            }
            Event::Write(count) => {
                for _ in 0..count {
                    self.outbound.write_next(0, &mut self.wire).unwrap();
                }
            }
            Event::Deliver(count) => {
                for _ in 0..count {
                    let Some(frame) = decode(&mut self.wire).unwrap() else {
                        return;
                    };
                    assert_ne!(
                        self.inbound.admit(frame.seq),
                        Arrival::Gap,
                        "an ordered wire has no gaps"
                    );
                    let Some(Body::SignalRun(signal)) = frame.body else {
                        unreachable!()
                    };
                    self.taken.push(signal.signal);
                }
            }
            Event::Commit => {
                self.committed.append(&mut self.taken);
                self.inbound.acknowledge(self.inbound.received());
            }
            Event::Acknowledge => self
                .outbound
                .acknowledge(self.inbound.acknowledged())
                .unwrap(),
            Event::Reconnect => {
                self.wire.clear();
                self.outbound
                    .acknowledge(self.inbound.acknowledged())
                    .unwrap();
                self.outbound
                    .replay_from(self.inbound.received() + 1)
                    .unwrap();
            }
            Event::ReceiverRestarts => {
                self.taken.clear();
                self.inbound = Inbound::starting_after(self.outbound.oldest() - 1);
                self.committed
                    .truncate(usize::try_from(self.inbound.received()).unwrap());
                self.wire.clear();
                self.outbound.replay_from(self.outbound.oldest()).unwrap();
            }
        }
    }
}

proptest! {
    #[test]
    fn everything_pushed_is_committed_once_and_in_order(events in prop::collection::vec(event(), 0..200)) {
        let mut channel = Channel::default();
        for event in events {
            channel.apply(event);
        }
        // The network heals: after one more reconnect everything arrives.
        channel.apply(Event::Reconnect);
        for _ in 0..channel.pushed {
            channel.apply(Event::Write(1));
            channel.apply(Event::Deliver(1));
        }
        channel.apply(Event::Commit);
        channel.apply(Event::Acknowledge);
        prop_assert_eq!(channel.committed, (0..channel.pushed).collect::<Vec<_>>());
        prop_assert_eq!(channel.outbound.unacknowledged_bytes(), 0);
        prop_assert!(!channel.outbound.has_unwritten());
    }
}
