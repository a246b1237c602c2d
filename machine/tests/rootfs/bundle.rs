//! Writes images in their several forms.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tar::{Entry, Tar};

/// How a layer is compressed.
#[derive(Clone, Copy)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// An image as a set of files.
pub(crate) struct Image {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) manifests: Vec<Value>,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(crate) fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn config(arch: &str, diff_ids: &[String]) -> Value {
    json!({
        "architecture": arch,
        "os": "linux",
        "config": {
            "User": "1000:1000",
            "Env": ["PATH=/usr/bin:/bin", "NODE_VERSION=24"],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["node"],
            "WorkingDir": "/app",
            "Labels": {"ignored": "yes"}
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "ignored"}]
    })
}

impl Image {
    pub(crate) fn new() -> Self {
        Self {
            files: vec![(
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            )],
            manifests: Vec::new(),
        }
    }

    /// An image of these layers for this host.
    pub(crate) fn of(layers: &[Vec<u8>]) -> Self {
        let packed: Vec<_> = layers
            .iter()
            .map(|layer| (layer.clone(), Packing::Plain))
            .collect();
        Self::packed(&packed)
    }

    pub(crate) fn packed(layers: &[(Vec<u8>, Packing)]) -> Self {
        let mut image = Self::new();
        let manifest = image.add_manifest(arch(), layers);
        image.manifests.push(manifest);
        image
    }

    /// Adds a blob and gives its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digits = hex(bytes);
        self.files
            .push((format!("blobs/sha256/{digits}"), bytes.to_vec()));
        json!({"mediaType": media_type, "digest": format!("sha256:{digits}"), "size": bytes.len()})
    }

    /// Adds layers, config and manifest and gives the manifest's descriptor.
    pub(crate) fn add_manifest(&mut self, arch: &str, layers: &[(Vec<u8>, Packing)]) -> Value {
        let diff_ids: Vec<_> = layers
            .iter()
            .map(|(tar, _)| format!("sha256:{}", hex(tar)))
            .collect();
        let layers: Vec<_> = layers
            .iter()
            .map(|(tar, packing)| match packing {
                Packing::Plain => self.blob("application/vnd.oci.image.layer.v1.tar", tar),
                Packing::Gzip => {
                    self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(tar))
                }
                Packing::Zstd => {
                    let packed = zstd::encode_all(tar.as_slice(), 1).unwrap();
                    self.blob("application/vnd.oci.image.layer.v1.tar+zstd", &packed)
                }
            })
            .collect();
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config(arch, &diff_ids).to_string().as_bytes(),
        );
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers
        });
        let mut descriptor = self.blob(
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
        );
        descriptor["platform"] = json!({"os": "linux", "architecture": arch});
        descriptor
    }

    /// Adds an index over manifests and gives its descriptor.
    pub(crate) fn add_index(&mut self, manifests: &[Value]) -> Value {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests
        });
        self.blob(
            "application/vnd.oci.image.index.v1+json",
            index.to_string().as_bytes(),
        )
    }

    fn all_files(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        let mut files = self.files.clone();
        files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        files
    }

    pub(crate) fn write_dir(&self, dir: &Path) {
        for (name, bytes) in self.all_files() {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = Tar::new()
            .add(Entry::dir("blobs/"))
            .add(Entry::dir("blobs/sha256/"));
        for (name, bytes) in self.all_files() {
            tar = tar.add(Entry::file(name, bytes));
        }
        tar.end()
    }
}

/// What `docker save` wrote before version 25: equal layers are links to each other.
pub(crate) fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|tar| format!("sha256:{}", hex(tar)))
        .collect();
    let config = config(arch(), &diff_ids).to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let mut tar = Tar::new().add(Entry::file(&config_name, config));
    let mut names = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let name = format!("layer{at}/layer.tar");
        tar = tar.add(Entry::dir(format!("layer{at}/")));
        tar = match layers[..at].iter().position(|earlier| earlier == layer) {
            Some(earlier) => tar.add(Entry::symlink(
                &name,
                format!("../layer{earlier}/layer.tar"),
            )),
            None => tar.add(Entry::file(&name, layer)),
        };
        names.push(name);
    }
    let manifest =
        json!([{"Config": config_name, "RepoTags": ["example:latest"], "Layers": names}]);
    tar.add(Entry::file("manifest.json", manifest.to_string()))
        .end()
}
