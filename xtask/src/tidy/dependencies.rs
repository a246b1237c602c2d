//! Rules for who may depend on what: the arrows of the architecture.

use super::{Problem, Source};

/// Each crate, and the crates of ours that it may use outside its tests.
const ARROWS: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("guest-wire", &[]),
    ("api", &["domain"]),
    ("artifacts", &["domain"]),
    ("store", &["domain"]),
    ("guest", &["guest-wire"]),
    ("machine", &["domain", "guest-wire", "artifacts"]),
    ("files", &["api", "artifacts", "domain"]),
    ("control", &["api", "artifacts", "domain", "files", "store"]),
    ("cli", &["api", "domain"]),
];

/// The worker is apart because its list of forbidden crates is the shorter one: it never sees the store.
const WORKER: &[&str] = &[
    "api",
    "artifacts",
    "domain",
    "files",
    "guest-wire",
    "machine",
];

/// What the pure crate may use: data shapes, and the canonical form of JSON.
const DOMAIN: [&str; 5] = [
    "serde",
    "serde_json",
    "serde_json_canonicalizer",
    "thiserror",
    "uuid",
];

/// A crate uses only crates on its side of the arrows, and the domain nearly none at all.
pub(super) fn arrows(source: &Source<'_>) -> Vec<Problem> {
    let Some(folder) = source.path.strip_suffix("/Cargo.toml") else {
        return Vec::new();
    };
    let allowed = match ARROWS.iter().find(|(name, _)| *name == folder) {
        Some((_, allowed)) => *allowed,
        None if folder == "worker" => WORKER,
        None => return Vec::new(),
    };
    dependencies(source.text)
        .filter_map(|(index, name)| {
            let ours = name.strip_prefix("helmr-");
            let fine = match ours {
                Some(crate_name) => allowed.contains(&crate_name),
                None => folder != "domain" || DOMAIN.contains(&name),
            };
            let message =
                format!("{folder} may not depend on {name}: see the arrows in ARCHITECTURE.md");
            (!fine).then(|| Problem::line(index, message))
        })
        .collect()
}

/// Line index and name of each entry under `[dependencies]`. Manifests here are one entry a line.
fn dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    manifest
        .lines()
        .enumerate()
        .filter_map(move |(index, line)| {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]") && !line.contains("dev-dependencies");
                return None;
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            (inside && !name.is_empty() && !name.starts_with('#')).then_some((index, name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::lines;

    #[test]
    fn an_arrow_the_wrong_way_is_untidy() {
        let manifest = "[package]\nname = \"helmr-worker\"\n\n[dependencies]\nhelmr-store.workspace = true\ntokio.workspace = true\n";
        assert_eq!(lines(arrows, "worker/Cargo.toml", manifest), [5]);
        assert_eq!(lines(arrows, "control/Cargo.toml", manifest), [0; 0]);
        assert_eq!(lines(arrows, "Cargo.toml", manifest), [0; 0]);
    }

    #[test]
    fn a_dependency_of_the_domain_is_untidy() {
        let manifest = "[dependencies]\nserde.workspace = true\ntokio = { version = \"1\" }\n\n[dev-dependencies]\nproptest.workspace = true\n";
        assert_eq!(lines(arrows, "domain/Cargo.toml", manifest), [3]);
    }
}
