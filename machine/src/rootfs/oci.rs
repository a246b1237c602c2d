//! OCI image layouts (image-spec 1.1): index, manifest, config, layers.

use oci_spec::image::{
    Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout,
};

use super::Error;
use super::digest::Digest;
use super::import::ImageConfig;
use super::source::Source;

/// Indexes within indexes.
const INDEX_DEPTH: u32 = 4;
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// An image, ready to be flattened.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) config: ImageConfig,
    /// The lowest first.
    pub(super) layers: Vec<Layer>,
}

/// A layer's file in the source and what it must turn out to be.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    /// Of the file as it is; an old Docker archive says nothing of it.
    pub(super) blob: Option<(Digest, u64)>,
    /// Of the tar inside.
    pub(super) diff_id: Digest,
}

/// Reads the image for this host from a layout.
pub(super) fn load(source: &Source) -> Result<Image, Error> {
    let layout: OciLayout = parse("oci-layout", &source.read_document("oci-layout")?)?;
    if !layout.image_layout_version().starts_with("1.") {
        return Err(Error::malformed(
            "oci-layout",
            "it is of another version of the format",
        ));
    }
    let index = source.read_document("index.json")?;
    let index = parse_index("index.json", &index)?;
    let mut found = Vec::new();
    let mut platforms = Vec::new();
    for descriptor in index.manifests() {
        if let Some(manifest) = select(source, descriptor, INDEX_DEPTH, &mut platforms)?
            && !found
                .iter()
                .any(|(_, other): &(String, Descriptor)| other.digest() == manifest.digest())
        {
            found.push((shown(descriptor), manifest));
        }
    }
    let manifest = match found.as_slice() {
        [(_, manifest)] => manifest,
        [] => {
            platforms.sort();
            platforms.dedup();
            return Err(Error::Platform {
                wanted: wanted(),
                found: if platforms.is_empty() {
                    "none".to_owned()
                } else {
                    platforms.join(", ")
                },
            });
        }
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::Ambiguous {
                images: names.join(", "),
            });
        }
    };
    load_manifest(source, manifest)
}

/// The manifest for this host's platform behind a descriptor, if there is one.
fn select(
    source: &Source,
    descriptor: &Descriptor,
    depth: u32,
    platforms: &mut Vec<String>,
) -> Result<Option<Descriptor>, Error> {
    if is_index(descriptor.media_type()) {
        if depth == 0 {
            return Err(Error::malformed(
                "index.json",
                "its indexes are nested too deeply",
            ));
        }
        let (name, text) = read_blob(source, descriptor)?;
        for inner in parse_index(&name, &text)?.manifests() {
            if let Some(found) = select(source, inner, depth - 1, platforms)? {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    if !is_manifest(descriptor.media_type()) {
        return Ok(None);
    }
    let Some(platform) = descriptor.platform() else {
        // Nothing is said of it here; its config says it.
        return Ok(Some(descriptor.clone()));
    };
    let platform = format!("{}/{}", platform.os(), platform.architecture());
    if platform == wanted() {
        return Ok(Some(descriptor.clone()));
    }
    if platform != "unknown/unknown" {
        platforms.push(platform);
    }
    Ok(None)
}

fn load_manifest(source: &Source, descriptor: &Descriptor) -> Result<Image, Error> {
    let (name, text) = read_blob(source, descriptor)?;
    let manifest: ImageManifest = parse(&name, &text)?;
    let (name, text) = read_blob(source, manifest.config())?;
    let (config, diff_ids) = parse_config(&name, &text)?;
    if diff_ids.len() != manifest.layers().len() {
        return Err(Error::malformed(
            name,
            "it has more or fewer layers than its manifest",
        ));
    }
    let mut layers = Vec::new();
    for (layer, diff_id) in manifest.layers().iter().zip(diff_ids) {
        if !is_layer(layer.media_type()) {
            let reason = format!("a layer of type {} cannot be read", layer.media_type());
            return Err(Error::malformed(shown(descriptor), reason));
        }
        let digest = digest_of(layer)?;
        layers.push(Layer {
            name: blob_name(&digest),
            blob: Some((digest, layer.size())),
            diff_id,
        });
    }
    Ok(Image { config, layers })
}

/// Reads a config: what the machine needs of it, and the digests of the layers' tars. Docker's is the same.
pub(super) fn parse_config(name: &str, text: &[u8]) -> Result<(ImageConfig, Vec<Digest>), Error> {
    let configuration: ImageConfiguration = parse(name, text)?;
    let platform = format!("{}/{}", configuration.os(), configuration.architecture());
    if platform != wanted() {
        return Err(Error::Platform {
            wanted: wanted(),
            found: platform,
        });
    }
    let diff_ids = configuration
        .rootfs()
        .diff_ids()
        .iter()
        .map(|text| {
            Digest::parse(text)
                .ok_or_else(|| Error::malformed(name, "a layer's digest is not of SHA-256"))
        })
        .collect::<Result<_, _>>()?;
    let mut config = ImageConfig::default();
    if let Some(given) = configuration.config() {
        config.env = given.env().clone().unwrap_or_default();
        config.user = given.user().clone().unwrap_or_default();
        config.entrypoint = given.entrypoint().clone().unwrap_or_default();
        config.cmd = given.cmd().clone().unwrap_or_default();
        if let Some(workdir) = given
            .working_dir()
            .as_ref()
            .filter(|workdir| !workdir.is_empty())
        {
            config.workdir.clone_from(workdir);
        }
    }
    Ok((config, diff_ids))
}

/// Reads a blob that is a document, checked.
fn read_blob(source: &Source, descriptor: &Descriptor) -> Result<(String, Vec<u8>), Error> {
    let digest = digest_of(descriptor)?;
    let name = blob_name(&digest);
    let text = source.read_document(&name)?;
    digest.check(&name, &Digest::of(&text))?;
    if text.len() as u64 != descriptor.size() {
        return Err(Error::malformed(
            name,
            "its size is not what its descriptor says",
        ));
    }
    Ok((name, text))
}

fn digest_of(descriptor: &Descriptor) -> Result<Digest, Error> {
    let text = descriptor.digest().to_string();
    match Digest::parse(&text) {
        Some(digest) if text.starts_with("sha256:") => Ok(digest),
        _ => Err(Error::malformed(text, "it is not a SHA-256 digest")),
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.digits())
}

fn parse_index(name: &str, text: &[u8]) -> Result<ImageIndex, Error> {
    parse(name, text)
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| Error::malformed(name, error.to_string()))
}

fn is_index(media_type: &MediaType) -> bool {
    match media_type {
        MediaType::ImageIndex => true,
        MediaType::Other(other) => other == DOCKER_INDEX,
        _ => false,
    }
}

fn is_manifest(media_type: &MediaType) -> bool {
    match media_type {
        MediaType::ImageManifest => true,
        MediaType::Other(other) => other == DOCKER_MANIFEST,
        _ => false,
    }
}

/// Whether a layer is a tar, compressed or not; its first bytes tell which. Encrypted ones are not.
fn is_layer(media_type: &MediaType) -> bool {
    let text = media_type.to_string();
    let known = [
        "application/vnd.oci.image.layer.",
        "application/vnd.docker.image.rootfs.",
    ];
    known.iter().any(|prefix| text.starts_with(prefix)) && !text.contains("encrypted")
}

fn shown(descriptor: &Descriptor) -> String {
    let annotations = descriptor.annotations().as_ref();
    let name = annotations.and_then(|all| all.get(CONTAINERD_NAME).or_else(|| all.get(REF_NAME)));
    name.cloned()
        .unwrap_or_else(|| descriptor.digest().to_string())
}

/// This host's platform as images name it.
fn wanted() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{arch}")
}
