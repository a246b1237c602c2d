//! Pins every field number and type: a guest in a checkpoint may be years older than its host.
//!
//! A changed line here means that old checkpoints can no longer be spoken to. Add lines, never edit them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fmt::Write as _;

use bytes::BytesMut;
use helmr_guest_wire::{
    Body, Exit, FindProcesses, Frame, Heartbeat, Hello, KnownRun, OutputChunk, OutputStream,
    ProcessesFound, ResizeTerminal, RunExited, RunInput, RunInputTaken, RunLine, RunOutput,
    RunPhase, SignalRun, StartRun, StopMachine, Terminal, TerminalRests, Welcome, decode, encode,
};

fn check(body: Body, expected: &str) {
    let frame = Frame {
        seq: 1,
        ack: 2,
        body: Some(body),
    };
    let mut bytes = BytesMut::new();
    encode(&frame, &mut bytes).unwrap();
    let mut hex = String::new();
    for byte in bytes.iter().skip(4) {
        write!(hex, "{byte:02x}").unwrap();
    }
    assert_eq!(hex, expected.replace(' ', ""), "{frame:?}");
    assert_eq!(decode(&mut bytes).unwrap().unwrap(), frame);
}

#[test]
fn hello() {
    let run = KnownRun {
        run_id: "r".into(),
        attempt_number: 3,
        phase: RunPhase::Exited.into(),
        ..KnownRun::default()
    };
    check(
        Body::Hello(Hello {
            protocol: 1,
            boot_id: vec![0xaa],
            attempt: "m-1".into(),
            received: 4,
            oldest_unacknowledged: 5,
            runs: vec![run],
        }),
        "08011002 52 17 0801 1201aa 1a036d2d31 2004 2805 3207 0a0172 1003 1802",
    );
}

#[test]
fn welcome() {
    check(
        Body::Welcome(Welcome {
            protocol: 1,
            received: Some(0),
            now_us: 6,
            silence_limit_ms: 7,
        }),
        "08011002 5a 08 0801 1000 1806 2007",
    );
}

#[test]
fn a_welcome_that_remembers_nothing_differs_from_one_that_received_nothing() {
    check(
        Body::Welcome(Welcome {
            protocol: 1,
            received: None,
            now_us: 6,
            silence_limit_ms: 0,
        }),
        "08011002 5a 04 0801 1806",
    );
}

#[test]
fn heartbeat() {
    check(Body::Heartbeat(Heartbeat {}), "08011002 62 00");
}

#[test]
fn run_line() {
    check(
        Body::RunLine(RunLine {
            run_id: "r".into(),
            attempt_number: 3,
            line: b"{}".to_vec(),
            cut_from_bytes: None,
        }),
        "08011002 6a 09 0a0172 1003 1a027b7d",
    );
    check(
        Body::RunLine(RunLine {
            run_id: "r".into(),
            attempt_number: 3,
            line: b"{".to_vec(),
            cut_from_bytes: Some(9),
        }),
        "08011002 6a 0a 0a0172 1003 1a017b 2009",
    );
}

#[test]
fn run_output() {
    let chunk = |stream: OutputStream| OutputChunk {
        stream: stream.into(),
        offset: 8,
        data: b"x".to_vec(),
    };
    check(
        Body::RunOutput(RunOutput {
            run_id: "r".into(),
            attempt_number: 3,
            chunks: vec![chunk(OutputStream::Stdout), chunk(OutputStream::Stderr)],
        }),
        "08011002 72 17 0a0172 1003 1a07 0801 1008 1a0178 1a07 0802 1008 1a0178",
    );
}

#[test]
fn run_exited() {
    let exited = |exit: Exit| {
        Body::RunExited(RunExited {
            run_id: "r".into(),
            attempt_number: 3,
            exit: Some(exit),
        })
    };
    check(
        exited(Exit {
            code: Some(0),
            signal: None,
            start_error: None,
        }),
        "08011002 7a 09 0a0172 1003 1a02 0800",
    );
    check(
        exited(Exit {
            code: None,
            signal: Some(9),
            start_error: None,
        }),
        "08011002 7a 09 0a0172 1003 1a02 1009",
    );
    check(
        exited(Exit {
            code: None,
            signal: None,
            start_error: Some("no".into()),
        }),
        "08011002 7a 0b 0a0172 1003 1a04 1a026e6f",
    );
}

#[test]
fn start_run() {
    check(
        Body::StartRun(StartRun {
            run_id: "r".into(),
            attempt_number: 3,
            argv: vec!["a".into(), "b".into()],
            env: vec!["A=1".into()],
            cwd: "/w".into(),
            user: "1:2".into(),
            init_line: b"{}".to_vec(),
            ..StartRun::default()
        }),
        "08011002 a201 1d 0a0172 1003 1a0161 1a0162 2203413d31 2a022f77 3203313a32 3a027b7d",
    );
}

#[test]
fn signal_run() {
    check(
        Body::SignalRun(SignalRun {
            run_id: "r".into(),
            attempt_number: 3,
            signal: 15,
            ..SignalRun::default()
        }),
        "08011002 aa01 07 0a0172 1003 180f",
    );
}

#[test]
fn execs() {
    let start = StartRun {
        takes_input: true,
        ..StartRun::default()
    };
    check(Body::StartRun(start), "08011002 a201 02 4001");
    let signal = SignalRun {
        number: 9,
        ..SignalRun::default()
    };
    check(Body::SignalRun(signal), "08011002 aa01 02 2009");
    check(
        Body::RunInput(RunInput {
            run_id: "e".into(),
            attempt_number: 1,
            offset: 2,
            data: b"no".to_vec(),
            end: true,
        }),
        "08011002 c201 0d 0a0165 1001 1802 22026e6f 2801",
    );
    check(
        Body::RunInputTaken(RunInputTaken {
            run_id: "e".into(),
            attempt_number: 1,
            offset: 2,
            closed: true,
        }),
        "08011002 8201 09 0a0165 1001 1802 2001",
    );
    let known = KnownRun {
        input_received: 7,
        ..KnownRun::default()
    };
    let hello = Hello {
        runs: vec![known],
        ..Hello::default()
    };
    check(Body::Hello(hello), "08011002 52 04 3202 2007");
}

#[test]
fn ptys() {
    let start = StartRun {
        terminal: Some(Terminal {
            cols: 80,
            rows: 24,
            idle_after_ms: 9,
        }),
        ..StartRun::default()
    };
    check(
        Body::StartRun(start),
        "08011002 a201 08 4a06 0850 1018 1809",
    );
    check(
        Body::ResizeTerminal(ResizeTerminal {
            run_id: "p".into(),
            attempt_number: 1,
            cols: 2,
            rows: 3,
            number: 4,
        }),
        "08011002 ca01 0b 0a0170 1001 1802 2003 2804",
    );
    check(
        Body::TerminalRests(TerminalRests {
            run_id: "p".into(),
            attempt_number: 1,
            idle: true,
        }),
        "08011002 8a01 07 0a0170 1001 1801",
    );
    let known = KnownRun {
        idle: true,
        ..KnownRun::default()
    };
    let hello = Hello {
        runs: vec![known],
        ..Hello::default()
    };
    check(Body::Hello(hello), "08011002 52 04 3202 2801");
}

#[test]
fn processes() {
    check(
        Body::FindProcesses(FindProcesses { question: 3 }),
        "08011002 d201 02 0803",
    );
    check(
        Body::ProcessesFound(ProcessesFound {
            question: 3,
            any: true,
        }),
        "08011002 9201 04 0803 1001",
    );
}

#[test]
fn stop_machine_and_probe() {
    check(Body::StopMachine(StopMachine {}), "08011002 b201 00");
    check(Body::Probe(Heartbeat {}), "08011002 ba01 00");
}
