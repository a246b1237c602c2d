//! What a PTY is made with.

use std::collections::BTreeMap;

use helmr_api::http::ptys::CreatePty;
use helmr_domain::WorkspaceId;

use crate::commands::workspace::exec::variable;
use crate::{env, terminal};

#[derive(Debug, clap::Args)]
// Flattened into arguments of the same name, which have a group of that name already.
#[group(skip)]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// Begin in this directory, relative to where the workspace is mounted
    #[arg(long, value_name = "PATH")]
    cwd: Option<String>,

    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,

    /// As this user of the image, or as uid:gid
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// The program and its arguments; the user's login shell unless told
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Arguments {
    /// What to ask for. The terminal before which one sits lends its kind and its size.
    pub(crate) fn body(self) -> (WorkspaceId, CreatePty) {
        let mut env: BTreeMap<_, _> = self.env.into_iter().collect();
        if let Some(kind) = env::TERM.text() {
            env.entry("TERM".to_owned()).or_insert(kind);
        }
        let size = terminal::size();
        let body = CreatePty {
            command: Some(self.command).filter(|command| !command.is_empty()),
            cwd: self.cwd,
            env,
            user: self.user,
            cols: size.map(|(cols, _)| cols),
            rows: size.map(|(_, rows)| rows),
        };
        (self.workspace, body)
    }
}
