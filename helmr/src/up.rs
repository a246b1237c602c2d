//! `helmr up`: a control plane and a worker in one process, on one data directory.
//!
//! The two speak the same HTTP as apart, over pipes in memory. It may be killed at any line: the next start goes on.

mod capacity;
mod credentials;
mod data_dir;
mod greeting;
mod listen;
mod serve;
mod signals;
mod tls;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use helmr_api::transport::InMemory;
use helmr_cli::{CommandError, Context};
use helmr_control::Running as Control;
use tokio_util::sync::CancellationToken;

use crate::embedded;
pub(crate) use capacity::available_mib;
use data_dir::DataDir;
pub(crate) use data_dir::default_path as default_data_dir;
use listen::Listen;
use serve::Server;
use signals::Signals;
pub(crate) use worker::CGROUP_PARENT;

/// How long answers that are under way may take once the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where everything is kept; ~/.local/share/helmr unless told, /var/lib/helmr for root
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    #[command(flatten)]
    listen: Listen,

    /// How long a wait keeps its machine in memory before it is set aside; 2s unless told or set before
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    hot_window: Option<helmr_domain::Duration>,

    /// How long nothing is typed or printed in a PTY before it keeps its machine no longer; 60s unless told or set before
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pty_idle_after: Option<helmr_domain::Duration>,

    /// When stopping, how long runs may take to reach a wait before they are set aside as they stand
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain_grace: helmr_domain::Duration,

    /// Start also where this host cannot hold workspaces to the disk size that their sandboxes declare
    #[arg(long)]
    allow_soft_limits: bool,
}

fn duration(text: &str) -> Result<helmr_domain::Duration, String> {
    helmr_domain::Duration::parse(text).map_err(|error| error.to_string())
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), CommandError> {
    crate::logging::start()?;
    let mut signals = Signals::listen()?;
    let data = DataDir::open(arguments.data_dir)?;
    // Taken before anything slow: a port in use is told at once.
    let front = arguments.listen.bind().await?;
    let control = tokio::select! {
        control = start_control(&data, &front.public_url, arguments.hot_window, arguments.pty_idle_after) => control?,
        // Nothing runs yet that would have to be set aside.
        _ = signals.next() => return Ok(()),
    };
    let credentials = credentials::keep(&data, &front.local_url, &control)?;

    let ending = CancellationToken::new();
    let (connector, inside) = InMemory::pair();
    let workers = Server::start("workers", inside, control.router(), ending.clone());
    let local_url = front.local_url.clone();
    let public = serve::public(control.router(), embedded::SDK_PACKAGE);
    let clients = front.serve(public, ending.clone());
    let worker = worker::start(&data, &control, connector, arguments.allow_soft_limits).await?;

    let stop = tokio::select! {
        ready = worker.ready() => {
            ready.map_err(|error| CommandError::failed("start the worker").because(&error))?;
            greeting::Greeting {
                url: &local_url,
                data: data.path(),
                credentials: &credentials,
            }
            .say(&context.output);
            signals.next().await
        }
        stop = signals.next() => stop,
    };

    tracing::info!(signal = stop, "stopping");
    context
        .output
        .note("Stopping: live machines are set aside first. Once more stops at once.");
    let grace = Duration::from_micros(arguments.drain_grace.as_micros().unsigned_abs());
    let stopping = async {
        // The order of dependence: the worker reports to the control plane until its last machine is set aside.
        worker.shutdown(grace).await;
        control.shutdown().await;
        ending.cancel();
        clients.finish(LAST_ANSWERS).await;
        workers.finish(LAST_ANSWERS).await;
    };
    tokio::select! {
        () = stopping => {}
        again = signals.next() => signals::end_at_once(again),
    }
    data.close();
    context
        .output
        .note("Stopped. Nothing is lost: the next start goes on.");
    Ok(())
}

async fn start_control(
    data: &DataDir,
    public_url: &str,
    hot_window: Option<helmr_domain::Duration>,
    pty_idle_after: Option<helmr_domain::Duration>,
) -> Result<Control, CommandError> {
    let mut config = helmr_control::Config::in_directory(data.path(), public_url.to_owned());
    config.settings.hot_window = hot_window;
    config.settings.pty_idle_after = pty_idle_after;
    helmr_control::start(config).await.map_err(|error| {
        CommandError::failed("start the control plane")
            .because(&error)
            .hint(format!("its files are in {}", data.path().display()))
    })
}
