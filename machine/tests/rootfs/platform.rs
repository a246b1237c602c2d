//! Which of several manifests is taken.

use serde_json::json;

use crate::bundle::{Image, Packing, arch};
use crate::tar::{Entry, Tar};
use crate::workshop::{Workshop, names};

fn layer(name: &str) -> (Vec<u8>, Packing) {
    (Tar::of(&[Entry::file(name, name)]), Packing::Gzip)
}

#[test]
fn the_manifest_for_this_host_is_taken_from_a_nested_index() {
    let mut image = Image::new();
    let other = image.add_manifest("s390x", &[layer("other")]);
    let mut attestation = image.add_manifest("amd64", &[layer("attestation")]);
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let ours = image.add_manifest(arch(), &[layer("ours")]);
    let inner = image.add_index(&[attestation, other, ours]);
    let outer = image.add_index(&[inner]);
    image.manifests.push(outer);
    let workshop = Workshop::new();
    workshop.import_bytes(&image.tar()).unwrap();
    assert_eq!(names(&workshop.listing()), ["ours"]);
}

#[test]
fn an_image_for_other_hosts_is_refused_with_what_it_is_for() {
    let mut image = Image::new();
    let one = image.add_manifest("s390x", &[layer("a")]);
    let mut other = image.add_manifest("ppc64le", &[layer("b")]);
    image.manifests = vec![one, other.clone()];
    let refused = Workshop::new().import_bytes(&image.tar()).unwrap_err();
    assert_eq!(refused.code(), "image_platform_unsupported");
    assert!(
        refused.to_string().contains("linux/ppc64le, linux/s390x"),
        "{refused}"
    );
    // Where the index does not say, the config does.
    other.as_object_mut().unwrap().remove("platform");
    image.manifests = vec![other];
    let refused = Workshop::new().import_bytes(&image.tar()).unwrap_err();
    assert_eq!(refused.code(), "image_platform_unsupported");
}

#[test]
fn several_images_are_not_guessed_between() {
    let mut image = Image::new();
    let mut one = image.add_manifest(arch(), &[layer("a")]);
    one["annotations"] = json!({"org.opencontainers.image.ref.name": "first:1"});
    let mut other = image.add_manifest(arch(), &[layer("b")]);
    other["annotations"] = json!({"io.containerd.image.name": "docker.io/second:2"});
    image.manifests = vec![one.clone(), other];
    let refused = Workshop::new().import_bytes(&image.tar()).unwrap_err();
    assert_eq!(refused.code(), "image_ambiguous");
    assert!(
        refused.to_string().contains("first:1, docker.io/second:2"),
        "{refused}"
    );
    // Two names of one image are one image.
    image.manifests = vec![one.clone(), one];
    Workshop::new().import_bytes(&image.tar()).unwrap();
}

#[test]
fn indexes_that_nest_without_end_are_refused() {
    let mut image = Image::new();
    let mut inner = image.add_manifest(arch(), &[layer("a")]);
    for _ in 0..10 {
        inner = image.add_index(&[inner]);
    }
    image.manifests.push(inner);
    assert_eq!(
        Workshop::new()
            .import_bytes(&image.tar())
            .unwrap_err()
            .code(),
        "image_invalid"
    );
}
