//! Takes the guest agent and the SDK into the binary, where `cargo xtask build` says they are, and the version of the
//! pinned gVisor from the file that pins it.
//!
//! A plain `cargo build` carries neither guest nor SDK: the binary then looks for the guest beside itself.

use std::error::Error;
use std::path::PathBuf;

/// Each variable that names a file, and the cfg that tells the code that it is there.
const EMBEDDED: [(&str, &str); 3] = [
    ("HELMR_GUEST_PATH", "embedded_guest"),
    ("HELMR_SDK_PATH", "embedded_sdk"),
    ("HELMR_SDK_KIT_PATH", "embedded_sdk_kit"),
];

const PINS: &str = "../tools/go.mod";

#[expect(
    clippy::disallowed_methods,
    reason = "this is how a build script hears from cargo"
)]
fn main() -> Result<(), Box<dyn Error>> {
    for (variable, cfg) in EMBEDDED {
        println!("cargo::rerun-if-env-changed={variable}");
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
            continue;
        };
        println!("cargo::rerun-if-changed={}", path.display());
        println!("cargo::rustc-cfg={cfg}");
    }
    println!("cargo::rerun-if-changed={PINS}");
    let version =
        runsc_version(&std::fs::read_to_string(PINS)?).ok_or("tools/go.mod pins no gVisor")?;
    println!("cargo::rustc-env=HELMR_RUNSC_VERSION={version}");
    Ok(())
}

/// `v0.0.0-20260905035102-160fafc42237` as `20260905.0-160fafc42237`: what `script/setup` builds into `runsc`.
fn runsc_version(pins: &str) -> Option<String> {
    let line = pins
        .lines()
        .find(|line| line.contains("gvisor.dev/gvisor v"))?;
    let (_, version) = line.split_once("v0.0.0-")?;
    let (time, commit) = version.split_whitespace().next()?.split_once('-')?;
    Some(format!("{}.0-{commit}", time.get(..8)?))
}
