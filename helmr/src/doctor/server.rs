//! What only a server can tell: whether it has the image that tasks run in unless they say otherwise.

use std::path::{Path, PathBuf};

use helmr_cli::{Context, default_image, env};

use super::report::Check;

/// The image of tasks without a sandbox.
const IMAGE: &str = "node:24-bookworm-slim";
/// Where `script/setup` leaves it, from the checkout's root.
const MADE: &str = ".helmr/images/node-24-bookworm-slim.oci.tar";

pub(super) async fn node_image(context: &Context) -> Check {
    const NAME: &str = "node image";
    let archive = archive();
    let import = match &archive {
        Some(path) => format!("helmr image import --name {IMAGE} {}", path.display()),
        None => format!(
            "helmr image import --name {IMAGE} SOURCE; in a checkout, script/setup makes one"
        ),
    };
    match default_image::is_there(context, IMAGE).await {
        Ok(true) => Check::ok(NAME, format!("{IMAGE} is imported")),
        Ok(false) => Check::failed(
            NAME,
            format!("the server has no {IMAGE}, which tasks run in unless they say otherwise"),
            import,
        ),
        Err(reason) => match archive {
            Some(path) => Check::ok(
                NAME,
                format!(
                    "{} waits to be imported (no server to ask: {reason})",
                    path.display()
                ),
            ),
            None => Check::skipped(NAME, format!("no server to ask: {reason}")),
        },
    }
}

fn archive() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    env::HOME
        .path()
        .into_iter()
        .chain(here.ancestors().map(Path::to_owned))
        .chain(program.ancestors().skip(1).map(Path::to_owned))
        .map(|folder| folder.join(MADE))
        .find(|path| path.is_file())
}
