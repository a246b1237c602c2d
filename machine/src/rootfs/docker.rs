//! What `docker save` writes: `manifest.json` names a config and the layers' tars. (Newer versions write an OCI layout
//! beside it, which is preferred.)

use serde::Deserialize;

use super::Error;
use super::digest::Digest;
use super::oci::{self, Image, Layer};
use super::source::Source;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Reads the one image of the archive.
pub(super) fn load(source: &Source) -> Result<Image, Error> {
    let text = source.read_document("manifest.json")?;
    let images: Vec<Saved> = oci::parse("manifest.json", &text)?;
    let image = match images.as_slice() {
        [image] => image,
        [] => return Err(Error::malformed("manifest.json", "it names no image")),
        several => {
            let names: Vec<_> = several.iter().map(Saved::shown).collect();
            return Err(Error::Ambiguous {
                images: names.join(", "),
            });
        }
    };
    let text = source.read_document(&image.config)?;
    // The config is named by its digest, in every version of the format.
    let name = image.config.rsplit('/').next().unwrap_or_default();
    let digest = Digest::parse(name.strip_suffix(".json").unwrap_or(name))
        .ok_or_else(|| Error::malformed(&image.config, "its name is not its digest"))?;
    digest.check(&image.config, &Digest::of(&text))?;
    let (config, diff_ids) = oci::parse_config(&image.config, &text)?;
    if diff_ids.len() != image.layers.len() {
        return Err(Error::malformed(
            &image.config,
            "it has more or fewer layers than manifest.json",
        ));
    }
    let layers = image
        .layers
        .iter()
        .zip(diff_ids)
        .map(|(name, diff_id)| Layer {
            name: name.clone(),
            blob: None,
            diff_id,
        });
    Ok(Image {
        config,
        layers: layers.collect(),
    })
}

impl Saved {
    fn shown(&self) -> String {
        let tag = self.repo_tags.as_ref().and_then(|tags| tags.first());
        tag.unwrap_or(&self.config).clone()
    }
}
