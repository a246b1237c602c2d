//! Running the SDK's bundler on the user's Node: sources in, a bundle and its index out.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use helmr_api::http::deployments::Index;
use serde::Deserialize;
use tokio::process::Command;

use super::kit::Kit;
use super::node::{self, Node};
use super::project::Project;
use crate::error::CommandError;

const MAIN: &str = "dist/bundler/main.js";
const PACKAGE: &str = "node_modules/@helmr/sdk";
/// The platform's part of the bundler is a module of its own; this one stands for both.
const ESBUILD: &str = "node_modules/esbuild/package.json";

/// How long bundling may take in all; loading a module has its own, shorter limit.
const PATIENCE: Duration = Duration::from_secs(600);

/// The program that bundles.
#[derive(Debug)]
pub(crate) struct Bundler {
    main: PathBuf,
}

/// Finds the bundler: the project's own SDK, else the one that the binary carries, else a checkout's.
pub(crate) async fn find(project: &Project, kit: Option<Kit>) -> Result<Bundler, CommandError> {
    let installed = project
        .root()
        .ancestors()
        .map(|folder| folder.join(PACKAGE))
        .find(|sdk| can_bundle(sdk));
    if let Some(sdk) = installed {
        return Ok(Bundler {
            main: sdk.join(MAIN),
        });
    }
    if let Some(kit) = kit {
        let home = kit.unpacked().await?;
        return Ok(Bundler {
            main: home.join(PACKAGE).join(MAIN),
        });
    }
    node::checkouts(project.root())
        .into_iter()
        .map(|folder| folder.join("sdk/typescript"))
        .find(|sdk| can_bundle(sdk))
        .map(|sdk| Bundler {
            main: sdk.join(MAIN),
        })
        .ok_or_else(|| {
            CommandError::failed("there is no SDK to bundle the project with")
                .hint("add @helmr/sdk to the project's package.json and install it")
                .hint("or use a helmr that `cargo xtask build` made: it carries the SDK")
        })
}

/// Whether the package is built and finds what it needs, as Node looks for it: beside and above where it really lies.
fn can_bundle(sdk: &Path) -> bool {
    let Ok(real) = sdk.canonicalize() else {
        return false;
    };
    real.join(MAIN).is_file()
        && real
            .ancestors()
            .any(|folder| folder.join(ESBUILD).is_file())
}

/// What the bundler prints.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Printed {
    Faults { errors: Vec<Fault> },
    Index(Box<Index>),
}

/// Something wrong with the project.
#[derive(Debug, Deserialize)]
struct Fault {
    file: String,
    export: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    code: String,
    message: String,
}

impl Bundler {
    /// Bundles the project into the folder.
    pub(crate) async fn run(
        &self,
        node: &Node,
        project: &Project,
        out: &Path,
    ) -> Result<Index, CommandError> {
        let bundling = Command::new(&node.path)
            .arg(&self.main)
            .args(["--project".as_ref(), project.root().as_os_str()])
            .args(["--out".as_ref(), out.as_os_str()])
            .current_dir(project.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What the project's modules print while they are loaded is for the user.
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let failed = |what: &str| CommandError::failed(format!("bundle the project: {what}"));
        let output = tokio::time::timeout(PATIENCE, bundling)
            .await
            .map_err(|_| failed("it takes longer than 10 minutes"))?
            .map_err(|error| failed("start Node").because(&error))?;
        match serde_json::from_slice(&output.stdout) {
            Ok(Printed::Index(index)) if output.status.success() => Ok(*index),
            Ok(Printed::Faults { errors }) => Err(faulty(&errors)),
            Ok(Printed::Index(_)) => {
                Err(failed(&format!("the bundler ended with {}", output.status)))
            }
            Err(error) => Err(self.foreign(&output.stdout, output.status, &error)),
        }
    }

    /// The bundler printed what this version does not know: say what it was.
    fn foreign(
        &self,
        printed: &[u8],
        status: std::process::ExitStatus,
        error: &serde_json::Error,
    ) -> CommandError {
        let made = CommandError::failed(format!(
            "bundle the project: the bundler {} ended with {status} and no index",
            self.main.display()
        ));
        if printed.is_empty() {
            made
        } else {
            made.because(error)
                .hint("is the project's @helmr/sdk of this helmr's version?")
        }
    }
}

fn faulty(faults: &[Fault]) -> CommandError {
    let mut message = "the project cannot be deployed".to_owned();
    for fault in faults {
        message.push_str(&format!("\n  {}", fault.told()));
    }
    CommandError::failed(message)
}

impl Fault {
    /// `tasks/release.ts:3:14, export release: a task needs an id (task_id_invalid)`.
    fn told(&self) -> String {
        let mut place = self.file.clone();
        for number in [self.line, self.column].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        if let Some(export) = &self.export {
            place.push_str(&format!(", export {export}"));
        }
        format!("{place}: {} ({})", self.message, self.code)
    }
}

/// What is in the index, in a few words.
pub(crate) fn summary(index: &Index) -> String {
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!(
            "{number} {word}{}",
            if word.ends_with('x') { "es" } else { "s" }
        ),
    };
    format!(
        "{}, {}, {}",
        count(index.tasks.len(), "task"),
        count(index.sandboxes.len(), "sandbox"),
        count(index.streams.len(), "stream")
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::style::Style;

    #[test]
    fn a_fault_names_its_place() {
        let printed = r#"{"errors":[{"file":"tasks/a.ts","export":"b","line":3,"column":14,"code":"task_id_duplicate","message":"twice"},
            {"file":"helmr.config.ts","code":"config_missing","message":"none"}]}"#;
        let Printed::Faults { errors } = serde_json::from_str(printed).unwrap() else {
            unreachable!("it has errors");
        };
        assert_eq!(
            faulty(&errors).render(Style::plain()),
            "error: the project cannot be deployed\n  tasks/a.ts:3:14, export b: twice (task_id_duplicate)\n  helmr.config.ts: none (config_missing)\n"
        );
    }

    #[test]
    fn an_sdk_without_its_modules_cannot_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let sdk = folder.path().join(PACKAGE);
        std::fs::create_dir_all(sdk.join("dist/bundler")).unwrap();
        std::fs::write(sdk.join(MAIN), "").unwrap();
        assert!(!can_bundle(&sdk));
        let esbuild = folder.path().join("node_modules/esbuild");
        std::fs::create_dir_all(&esbuild).unwrap();
        std::fs::write(esbuild.join("package.json"), "{}").unwrap();
        assert!(can_bundle(&sdk));
    }

    #[test]
    fn an_index_is_summed_up() {
        let index: Index =
            serde_json::from_str(r#"{"tasks":[],"sandboxes":[{"id":"a"}]}"#).unwrap();
        assert_eq!(summary(&index), "0 tasks, 1 sandbox, 0 streams");
    }
}
