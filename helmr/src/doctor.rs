//! `helmr doctor`: can machines run here? A line per requirement, each looked at and not believed; what fails says how to
//! mend it.

mod checkpoint;
mod host;
mod report;
mod server;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use helmr_cli::{CommandError, Context};

use crate::up::default_data_dir;
use report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The data directory that `helmr up` would use
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Checks everything and prints the table; 1 if something fails.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<ExitCode, CommandError> {
    let data_dir = arguments
        .data_dir
        .or_else(default_data_dir)
        .unwrap_or_else(|| PathBuf::from("."));
    let mut report = Report::default();
    report.add(host::kernel());
    report.add(host::privileges());
    report.add(host::namespaces().await);
    report.add(host::cgroups());
    report.add(host::memory());
    report.add(host::disk(&data_dir));
    report.add(host::limits(&data_dir).await);
    report.add(tools::erofs().await);
    let runsc = tools::runsc().await;
    let can_run = runsc.is_fine();
    report.add(runsc);
    report.add(if can_run {
        checkpoint::check().await
    } else {
        checkpoint::not_tried()
    });
    report.add(tools::network());
    report.add(tools::node().await);
    report.add(server::node_image(context).await);
    report.print(context)?;
    Ok(if report.is_fit() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
