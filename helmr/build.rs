//! Takes the guest agent and the SDK into the binary, where `cargo xtask build` says they are.
//!
//! A plain `cargo build` has neither: the binary then looks for the guest beside itself.

use std::path::PathBuf;

/// Each variable that names a file, and the cfg that tells the code that it is there.
const EMBEDDED: [(&str, &str); 3] = [
    ("HELMR_GUEST_PATH", "embedded_guest"),
    ("HELMR_SDK_PATH", "embedded_sdk"),
    ("HELMR_SDK_KIT_PATH", "embedded_sdk_kit"),
];

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is how a build script hears from cargo and speaks to it"
)]
fn main() {
    for (variable, cfg) in EMBEDDED {
        println!("cargo::rerun-if-env-changed={variable}");
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
            continue;
        };
        println!("cargo::rerun-if-changed={}", path.display());
        println!("cargo::rustc-cfg={cfg}");
    }
}
