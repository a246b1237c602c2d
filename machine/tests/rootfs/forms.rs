//! Every form of the same image gives the same root, byte by byte.

use std::fs;

use helmr_machine::rootfs::{Error, Format, ImageConfig};

use crate::bundle::{Image, Packing, docker_archive, gzip};
use crate::tar::{Entry, Tar};
use crate::workshop::{Workshop, names};

fn layers() -> Vec<Vec<u8>> {
    let lower = Tar::of(&[
        Entry::dir("./"),
        Entry::dir("./etc/"),
        Entry::file("./etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        Entry::dir("./usr/"),
        Entry::file("./usr/large", noise(300_000)),
    ]);
    let upper = Tar::of(&[
        Entry::dir("usr/bin"),
        Entry::file("usr/bin/tool", "#!/bin/sh\n").mode(0o755),
    ]);
    vec![lower, upper]
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    next.take(length).collect()
}

#[test]
fn every_form_gives_the_same_root() {
    let layers = layers();
    let workshop = Workshop::new();
    let dir = workshop.path("layout");
    Image::of(&layers).write_dir(&dir);
    let expected = workshop.import(&dir).unwrap();
    assert_eq!(expected.format, Format::OciLayoutDir);
    assert_eq!(
        expected.size_bytes,
        fs::metadata(workshop.out()).unwrap().len()
    );
    let bytes = fs::read(workshop.out()).unwrap();
    assert_eq!(
        expected.digest,
        format!("sha256:{}", crate::bundle::hex(&bytes))
    );
    let listing = workshop.listing();
    assert_eq!(
        names(&listing),
        [
            "etc",
            "etc/passwd",
            "usr",
            "usr/bin",
            "usr/bin/tool",
            "usr/large"
        ]
    );
    assert!(
        listing["usr/bin/tool"].starts_with("\"#!/bin/sh\\n\" 755"),
        "{}",
        listing["usr/bin/tool"]
    );

    let packed = [
        (layers[0].clone(), Packing::Gzip),
        (layers[1].clone(), Packing::Zstd),
    ];
    let with_linked_layer = [layers[0].clone(), layers[1].clone(), layers[0].clone()];
    let flat = Tar::of(&[
        Entry::file("usr/bin/tool", "#!/bin/sh\n").mode(0o755),
        Entry::file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        Entry::file("usr/large", noise(300_000)),
        Entry::dir("."),
        Entry::dir("usr/bin"),
        Entry::dir("usr"),
        Entry::dir("etc"),
    ]);
    let cases = [
        ("tar", Format::OciTar, Image::of(&layers).tar()),
        (
            "packed layers",
            Format::OciTar,
            Image::packed(&packed).tar(),
        ),
        (
            "packed tar",
            Format::OciTar,
            gzip(&Image::of(&layers).tar()),
        ),
        (
            "tar in zstd",
            Format::OciTar,
            zstd::encode_all(Image::of(&layers).tar().as_slice(), 1).unwrap(),
        ),
        ("docker", Format::DockerArchive, docker_archive(&layers)),
        (
            "docker with links",
            Format::DockerArchive,
            docker_archive(&with_linked_layer),
        ),
        ("root in another order", Format::RootTar, flat.clone()),
        ("packed root", Format::RootTar, gzip(&flat)),
    ];
    for (name, format, source) in cases {
        let imported = workshop.import_bytes(&source).unwrap();
        assert_eq!(imported.format, format, "{name}");
        assert_eq!(imported.digest, expected.digest, "{name}");
        if format != Format::RootTar {
            assert_eq!(imported.config, expected.config, "{name}");
        }
    }

    let root = workshop.path("root");
    workshop.import(&dir).unwrap();
    fs::create_dir(&root).unwrap();
    helmr_machine::rootfs::extract_subtree(&workshop.out(), "/", &root)
        .unwrap()
        .unwrap();
    let imported = workshop.import(&root).unwrap();
    assert_eq!(
        (imported.format, imported.digest),
        (Format::RootDir, expected.digest)
    );
}

#[test]
fn the_config_is_handed_on() {
    let workshop = Workshop::new();
    let imported = workshop.import_bytes(&Image::of(&layers()).tar()).unwrap();
    let expected = ImageConfig {
        env: vec![
            "PATH=/usr/bin:/bin".to_owned(),
            "NODE_VERSION=24".to_owned(),
        ],
        workdir: "/app".to_owned(),
        user: "1000:1000".to_owned(),
        entrypoint: vec!["docker-entrypoint.sh".to_owned()],
        cmd: vec!["node".to_owned()],
    };
    assert_eq!(imported.config, expected);
    let imported = workshop.import_bytes(&layers()[0]).unwrap();
    assert_eq!(imported.config, ImageConfig::default());
    assert_eq!(imported.config.workdir, "/");
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    let workshop = Workshop::new();
    let dir = workshop.path("empty");
    fs::create_dir(&dir).unwrap();
    assert_eq!(workshop.import(&dir).unwrap_err().code(), "image_invalid");
    let missing = workshop.import(&workshop.path("missing")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }), "{missing:?}");
    for bytes in [
        &b""[..],
        &[0; 10_240],
        b"this is a text, long enough to hold a header"
            .repeat(40)
            .as_slice(),
    ] {
        let refused = workshop.import_bytes(bytes).unwrap_err();
        assert_eq!(refused.code(), "image_invalid", "{refused:?}");
    }
    let layout = workshop.path("layout");
    Image::of(&layers()).write_dir(&layout);
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert_eq!(
        workshop.import(&layout).unwrap_err().code(),
        "image_invalid"
    );
    assert!(!workshop.out().exists());
}

#[test]
fn a_blob_that_is_not_what_it_is_called_is_refused() {
    let workshop = Workshop::new();
    let whole = Image::of(&layers());
    for at in 1..whole.files.len() {
        let mut image = Image::of(&layers());
        let last = image.files[at].1.len() - 1;
        // In a layer this is the padding after the end, which only the digest covers.
        image.files[at].1[last] ^= 1;
        let refused = workshop.import_bytes(&image.tar()).unwrap_err();
        assert_eq!(
            refused.code(),
            "image_digest_mismatch",
            "{}: {refused:?}",
            image.files[at].0
        );

        let mut image = Image::of(&layers());
        image.files[at].1.push(0);
        let refused = workshop.import_bytes(&image.tar()).unwrap_err();
        let code = refused.code();
        assert!(
            ["image_digest_mismatch", "image_invalid"].contains(&code),
            "{refused:?}"
        );

        let mut image = Image::of(&layers());
        image.files.remove(at);
        assert_eq!(
            workshop.import_bytes(&image.tar()).unwrap_err().code(),
            "image_invalid"
        );
    }
    assert!(!workshop.out().exists());
}

#[test]
fn a_layer_that_only_unpacks_to_the_same_is_refused() {
    let workshop = Workshop::new();
    let mut image = Image::packed(&[(layers()[0].clone(), Packing::Gzip)]);
    let (_, layer) = image
        .files
        .iter_mut()
        .find(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b]))
        .unwrap();
    // The time in the header of gzip.
    layer[4] ^= 1;
    let refused = workshop.import_bytes(&image.tar()).unwrap_err();
    assert_eq!(refused.code(), "image_digest_mismatch");
}

#[test]
fn a_layer_whose_unpacked_text_differs_is_refused() {
    let workshop = Workshop::new();
    let layers = layers();
    let mut image = Image::new();
    let honest = image.add_manifest(crate::bundle::arch(), &[(layers[0].clone(), Packing::Gzip)]);
    // The same config over another layer: every blob is what its digest says, the whole is not.
    let find = |image: &Image, digest: &serde_json::Value| {
        let name = digest.as_str().unwrap().replace("sha256:", "blobs/sha256/");
        image
            .files
            .iter()
            .find(|(there, _)| *there == name)
            .unwrap()
            .1
            .clone()
    };
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&find(&image, &honest["digest"])).unwrap();
    manifest["layers"][0] = image.blob(
        "application/vnd.oci.image.layer.v1.tar+gzip",
        &gzip(&layers[1]),
    );
    let forged = image.blob(
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    image.manifests.push(forged);
    let refused = workshop.import_bytes(&image.tar()).unwrap_err();
    assert_eq!(refused.code(), "image_digest_mismatch");
}
