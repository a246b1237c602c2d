//! Images.

use helmr_api::http::images::Image;

use super::{ago, when};
use crate::moment;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No images yet: `helmr image import --name NAME SOURCE` adds one.";

pub(crate) fn list(images: &[Image], style: Style) -> String {
    let mut table = Table::new(["NAME", "DIGEST", "SIZE", "IMPORTED"]);
    for image in images {
        table.row([
            image.name.clone(),
            image.digest.chars().take(19).collect(),
            moment::size(image.size_bytes),
            ago(image.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(image: &Image, style: Style) -> String {
    Properties::new()
        .line("image", &image.name)
        .line("id", image.id.to_string())
        .line("digest", &image.digest)
        .line("size", moment::size(image.size_bytes))
        .line("imported", when(image.created_at))
        .render(style)
}
