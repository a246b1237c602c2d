//! The base image that `script/setup` makes.

use std::path::PathBuf;

use helmr_machine::rootfs::{Format, extract_subtree};

use crate::workshop::{Workshop, list};

#[test]
fn the_base_image_is_imported_whole() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../.helmr/images/node-24-bookworm-slim.oci.tar");
    assert!(
        source.exists(),
        "{} is missing: run script/setup",
        source.display()
    );
    let workshop = Workshop::new();
    let imported = workshop.import(&source);
    if !rustix::process::geteuid().is_root() {
        // It holds files of several owners.
        assert_eq!(imported.unwrap_err().code(), "image_needs_root");
        return;
    }
    let imported = imported.unwrap();
    assert_eq!(imported.format, Format::OciTar);
    assert!(
        imported
            .config
            .env
            .iter()
            .any(|pair| pair.starts_with("PATH=")),
        "{:?}",
        imported.config
    );

    let bin = workshop.path("bin");
    std::fs::create_dir(&bin).unwrap();
    extract_subtree(&workshop.out(), "/usr/local/bin", &bin)
        .unwrap()
        .unwrap();
    let node = &list(&bin)["node"];
    assert!(node.contains(" 755 0:0"), "{node}");
    crate::extraction::assert_as_fsck_sees_it(&workshop.out(), workshop.dir.path());
}
