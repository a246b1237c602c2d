//! What a deployment was made with, for those who look at it later.

use std::path::Path;

use serde_json::{Map, Value};

use super::node::Node;
use crate::VERSION;

/// The bundler's own note on the bundle.
const MANIFEST: &str = "helmr-bundle.json";

/// What the bundle says of itself that belongs into a deployment's provenance.
const FROM_MANIFEST: [(&str, &str); 4] = [
    ("sdk", "sdk"),
    ("format", "bundle_format"),
    ("worker_protocol", "worker_protocol"),
    ("esbuild", "esbuild"),
];

/// Collects versions: ours, Node's, and those that the bundle states.
pub(crate) fn of(node: &Node, bundle: &Path) -> Map<String, Value> {
    let mut provenance = Map::new();
    provenance.insert("cli".to_owned(), VERSION.into());
    provenance.insert("node".to_owned(), node.version.clone().into());
    let manifest = std::fs::read(bundle.join(MANIFEST))
        .ok()
        .and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok())
        .unwrap_or_default();
    for (theirs, ours) in FROM_MANIFEST {
        if let Some(value) = manifest.get(theirs) {
            provenance.insert(ours.to_owned(), value.clone());
        }
    }
    provenance
}
