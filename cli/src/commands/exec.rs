//! `helmr exec`: handles on commands that run in workspaces.

pub(super) mod piped;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Subcommand, ValueEnum};
use helmr_api::client::Client;
use helmr_api::http::execs::{OutputQuery, Signal, SignalExec, WriteStdin};
use helmr_api::http::runs::{Encoding, LogStream};
use helmr_domain::ExecId;

use self::piped::Piped;
use crate::context::Context;
use crate::error::CommandError;
use crate::{progress, show};

/// Most pieces that the server gives at once.
const PAGE: u32 = 200;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show an exec: its command, its state, and how it ended
    Get {
        /// The exec's id (exec_…)
        exec: ExecId,
    },
    /// Print what an exec printed, or follow it until its end
    Logs {
        /// The exec's id (exec_…)
        exec: ExecId,

        /// Which of its outputs
        #[arg(long, value_enum, default_value_t = Stream::Stdout)]
        stream: Stream,

        /// Go on with what is printed until the exec has ended
        #[arg(long, short)]
        follow: bool,

        /// Begin at this byte
        #[arg(long, value_name = "BYTE")]
        cursor: Option<String>,
    },
    /// Write standard input to an exec that was made to take some
    Write {
        /// The exec's id (exec_…)
        exec: ExecId,

        /// Nothing comes behind it
        #[arg(long)]
        close: bool,
    },
    /// Send a signal to an exec's process and everything it started
    Signal {
        /// The exec's id (exec_…)
        exec: ExecId,

        /// A name like TERM or SIGTERM, or a number
        #[arg(default_value = "TERM", value_parser = signal)]
        signal: Signal,
    },
}

/// What a process prints to.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Stream {
    Stdout,
    Stderr,
}

fn signal(text: &str) -> Result<Signal, String> {
    Signal::read(text).ok_or_else(|| "not a signal: a name like TERM, or 1 to 64".to_owned())
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Logs {
                exec,
                stream,
                follow: true,
                cursor,
            } => return follow(exec, stream, cursor, context, &client).await,
            Self::Logs {
                exec,
                stream,
                follow: false,
                cursor,
            } => return logs(exec, stream, cursor, context, &client).await,
            Self::Write { exec, close } => return write(exec, close, context, &client).await,
            Self::Get { exec } => client.get_exec(exec).await?,
            Self::Signal { exec, signal } => {
                client.signal_exec(exec, &SignalExec { signal }).await?
            }
        };
        context
            .output
            .answer(&answer, |body, style| show::exec::one(&body.exec, style))
    }
}

async fn logs(
    exec: ExecId,
    stream: Stream,
    cursor: Option<String>,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let mut query = OutputQuery {
        cursor,
        limit: Some(PAGE),
    };
    loop {
        let answer = match stream {
            Stream::Stdout => client.read_exec_stdout(exec, &query).await?,
            Stream::Stderr => client.read_exec_stderr(exec, &query).await?,
        };
        if context.output.is_json() {
            return context.output.line(&answer.text);
        }
        for item in &answer.body.items {
            context.output.bytes(&show::exec::bytes(item)?)?;
        }
        query.cursor = answer.body.next_cursor;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}

async fn follow(
    exec: ExecId,
    stream: Stream,
    cursor: Option<String>,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let stream = match stream {
        Stream::Stdout => LogStream::Stdout,
        Stream::Stderr => LogStream::Stderr,
    };
    let mut follow = client.follow_exec(exec, stream, cursor);
    while let Some(item) = progress::next(&mut follow, &context.output).await? {
        if context.output.is_json() {
            context.output.line(&item.text)?;
        } else {
            context.output.bytes(&show::exec::bytes(&item.body)?)?;
        }
    }
    Ok(())
}

async fn write(
    exec: ExecId,
    close: bool,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let mut answer = client.get_exec(exec).await?;
    let mut input = piped::read();
    loop {
        let (bytes, at_end) = match input.recv().await {
            Some(Piped::Bytes(bytes)) => (bytes, false),
            Some(Piped::End) | None => (Vec::new(), true),
        };
        if !at_end || close {
            let body = WriteStdin {
                offset: answer.body.exec.stdin.end,
                data: STANDARD.encode(&bytes),
                encoding: Encoding::Base64,
                close: at_end,
            };
            answer = client.write_exec_stdin(exec, &body).await?;
        }
        if at_end {
            return context
                .output
                .answer(&answer, |body, style| show::exec::one(&body.exec, style));
        }
    }
}
