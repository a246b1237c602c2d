//! `helmr workspace exec`: a command in a workspace's machine, with this command's own input, output and exit code.

use std::collections::BTreeMap;

use helmr_api::client::{Client, Follow, IdempotencyKey};
use helmr_api::error::Code;
use helmr_api::http::execs::{
    CreateExec, Exec, ExecState, OutputItem, Signal, SignalExec, WriteStdin,
};
use helmr_api::http::runs::{Encoding, LogStream};
use helmr_api::http::value::Span;
use helmr_domain::{Duration, ExecId, WorkspaceId};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::exec::piped::{self, Piped};
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::input::duration;
use crate::{progress, show};

/// What shells answer for a command that cannot be run.
const NOT_STARTED: u8 = 127;
/// What shells add to the signal that ended a command.
const SIGNALLED: i32 = 128;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// Run it in this directory, relative to where the workspace is mounted
    #[arg(long, value_name = "PATH")]
    cwd: Option<String>,

    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,

    /// Run it as this user of the image, or as uid:gid
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Tell it to end after so long, for example 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// Leave it alone: print its id and return
    #[arg(long)]
    detach: bool,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "not NAME=VALUE".to_owned())
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = CreateExec {
        command: arguments.command,
        cwd: arguments.cwd,
        env: arguments.env.into_iter().collect::<BTreeMap<_, _>>(),
        user: arguments.user,
        timeout: arguments.timeout.map(Span),
        detached: arguments.detach,
        stdin: !arguments.detach,
    };
    let made = client
        .create_exec(arguments.workspace, &body, &IdempotencyKey::random())
        .await?;
    let exec = made.body.exec.id;
    if arguments.detach {
        return context
            .output
            .answer(&made, |body, _| body.exec.id.to_string());
    }
    let ended = attend(exec, context, client).await?;
    if context.output.is_json() {
        let ended = client.get_exec(exec).await?;
        context.output.line(&ended.text)?;
    }
    judge(&ended)
}

/// Passes everything through until the exec has ended.
async fn attend(exec: ExecId, context: &Context, client: &Client) -> Result<Exec, CommandError> {
    let mut stdout = Some(client.follow_exec(exec, LogStream::Stdout, None));
    let mut stderr = Some(client.follow_exec(exec, LogStream::Stderr, None));
    let feeding = feed(exec, client);
    tokio::pin!(feeding);
    let mut fed = false;
    let heard = |kind| {
        signal(kind).map_err(|error| CommandError::failed("listen for signals").because(&error))
    };
    let (mut interrupt, mut terminate) = (
        heard(SignalKind::interrupt())?,
        heard(SignalKind::terminate())?,
    );
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            bytes = print(&mut stdout, context), if stdout.is_some() => {
                // With `--json` standard output is for the answer.
                match bytes? {
                    Some(bytes) if context.output.is_json() => context.output.error_bytes(&bytes),
                    Some(bytes) => context.output.bytes(&bytes)?,
                    None => stdout = None,
                }
            }
            bytes = print(&mut stderr, context), if stderr.is_some() => match bytes? {
                Some(bytes) => context.output.error_bytes(&bytes),
                None => stderr = None,
            },
            done = &mut feeding, if !fed => {
                fed = true;
                done?;
            }
            Some(()) = interrupt.recv() => tell(exec, Signal(2), client).await?,
            Some(()) = terminate.recv() => tell(exec, Signal(15), client).await?,
        }
    }
    Ok(client.get_exec(exec).await?.body.exec)
}

async fn tell(exec: ExecId, signal: Signal, client: &Client) -> Result<(), CommandError> {
    client.signal_exec(exec, &SignalExec { signal }).await?;
    Ok(())
}

/// The next bytes; `None` once the exec has ended. Cancel-safe.
async fn print(
    follow: &mut Option<Follow<OutputItem>>,
    context: &Context,
) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(follow) = follow else {
        return std::future::pending().await;
    };
    match progress::next(follow, &context.output).await? {
        Some(item) => show::exec::bytes(&item.body).map(Some),
        None => Ok(None),
    }
}

/// Writes this command's input to the exec's, until either ends.
async fn feed(exec: ExecId, client: &Client) -> Result<(), CommandError> {
    let mut input = piped::read();
    let mut offset = 0;
    loop {
        let (bytes, close) = match input.recv().await {
            Some(Piped::Bytes(bytes)) => (bytes, false),
            Some(Piped::End) | None => (Vec::new(), true),
        };
        let size = bytes.len() as u64;
        let body = WriteStdin {
            offset,
            data: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes),
            encoding: Encoding::Base64,
            close,
        };
        loop {
            match client.write_exec_stdin(exec, &body).await {
                Ok(_) => break,
                // The server has waited for room already.
                Err(error) if error.code() == Some(Code::ExecInputFull.as_str()) => {}
                // It reads no more: what is left is for nobody.
                Err(error) if error.code() == Some(Code::ExecInputClosed.as_str()) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        if close {
            return Ok(());
        }
        offset += size;
    }
}

/// Ends as the exec did.
fn judge(exec: &Exec) -> Result<(), CommandError> {
    if exec.timed_out {
        return Err(CommandError::new(
            Exit::TimedOut,
            format!("the command was ended after its timeout ({})", exec.id),
        ));
    }
    end_as(
        exec.state,
        exec.exit_code,
        exec.signal,
        exec.error.as_deref(),
    )
}

/// Ends as a process did.
pub(crate) fn end_as(
    state: ExecState,
    exit_code: Option<i32>,
    signal: Option<i32>,
    error: Option<&str>,
) -> Result<(), CommandError> {
    let code = |code: i32| Exit::OfCommand(u8::try_from(code & 0xff).unwrap_or(1));
    match state {
        ExecState::Exited => match exit_code.unwrap_or(0) {
            0 => Ok(()),
            other => Err(CommandError::silent(code(other))),
        },
        ExecState::Killed => {
            let signal = signal.unwrap_or(0);
            Err(CommandError::silent(code(SIGNALLED + signal)))
        }
        ExecState::Failed => {
            let message = error.unwrap_or("the command could not be started");
            Err(CommandError::new(Exit::OfCommand(NOT_STARTED), message))
        }
        ExecState::Lost | ExecState::Queued | ExecState::Starting | ExecState::Running => Err(
            CommandError::failed("the machine is gone, and with it what became of the command"),
        ),
    }
}
