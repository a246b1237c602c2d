//! `helmr run`.

mod logs;
mod retry;
pub(super) mod wait;

use clap::{Subcommand, ValueEnum};
use helmr_api::http::runs::{CancelRun, ListRuns, RunStatus};
use helmr_domain::{RunId, SessionId};

use crate::commands::{events, page};
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the runs, newest first
    List {
        #[command(flatten)]
        page: page::Arguments,
        /// Only those of this session (ses_…)
        #[arg(long, value_name = "SESSION")]
        session: Option<SessionId>,
        /// Only those in this status
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// Only those of this task
        #[arg(long, value_name = "TASK")]
        task: Option<String>,
    },
    /// Show a run: where it is, what it waits for, what it returned
    Get {
        /// The run's id (run_…)
        run: RunId,
    },
    /// Print what a run printed and logged
    Logs(logs::Arguments),
    /// Print what happened in a run, oldest first
    Events {
        /// The run's id (run_…)
        run: RunId,
        #[command(flatten)]
        which: events::Arguments,
    },
    /// Return when a run has ended; fail unless it succeeded
    Wait(wait::Arguments),
    /// Ask a run to end: its signal aborts at once, its processes after a grace
    Cancel {
        /// The run's id (run_…)
        run: RunId,
        /// Why, for those who look later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Start another run of the session of one that has ended
    Retry(retry::Arguments),
}

/// The statuses of a run.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Status {
    Queued,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Waiting => Self::Waiting,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
            Status::Expired => Self::Expired,
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::List {
                page,
                session,
                status,
                task,
            } => {
                let query = ListRuns {
                    limit: Some(page.limit),
                    cursor: page.cursor,
                    session_id: session.map(|session| session.to_string()),
                    status: status.map(RunStatus::from),
                    task,
                };
                let answer = client.list_runs(&query).await?;
                return page::print(context, &answer, show::run::list, show::run::NOTHING);
            }
            Self::Logs(arguments) => return logs::run(arguments, context, &client).await,
            Self::Events { run, which } => {
                let subject = events::Subject::Run(run);
                return events::run(subject, which, context, &client).await;
            }
            Self::Retry(arguments) => return retry::run(arguments, context, &client).await,
            Self::Wait(arguments) => return wait::run(arguments, context, &client).await,
            Self::Get { run } => client.get_run(run).await?,
            Self::Cancel { run, reason } => client.cancel_run(run, &CancelRun { reason }).await?,
        };
        context
            .output
            .answer(&answer, |body, style| show::run::one(&body.run, style))
    }
}
