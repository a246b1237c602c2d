# shellcheck shell=bash
# shellcheck disable=SC2034 # read by the scripts that source this
# The versions that setup installs, each pinned in one place only.
#
# Rust and gVisor are pinned by the files their own tools read; they are read from there, never repeated.

# npm packages; the sums are of the archives as the registry serves them.
readonly NODE_VERSION=24.21.0
readonly NODE_SHA512=de750bb336795f47dc898a46d2de93add029273027f3e16520d3fa3a2317ed5f07aefa404cf37ddfa5352e545e389ae22d16b87bcc84a900580a72f23cd02ced
readonly NPM_VERSION=11.19.1
readonly NPM_SHA512=cedb312b1b7f92421a02cfb68b4194e88f8346651dacd6acc5364a25ef5309d4a32b19616a1ff8aff865e7280c0fa5c0835a99f5cd93368991e2a80ec9da75d2

# From crates.io, with its own lockfile.
readonly CARGO_DENY_VERSION=0.20.2

# The base image. Its epoch bounds every timestamp in it, so that the same packages give the same bytes.
readonly IMAGE_NAME=node:24-bookworm-slim
readonly IMAGE_SUITE=bookworm
readonly IMAGE_EPOCH=1788220800

# Prints the Rust version of rust-toolchain.toml.
rust_version() {
  sed -n 's/^channel = "\(.*\)"$/\1/p' "$HELMR_ROOT/rust-toolchain.toml"
}

# Prints the oldest Go that can build tools/.
go_version() {
  sed -n 's/^go //p' "$HELMR_ROOT/tools/go.mod"
}

# Prints the version string built into runsc. It comes from the module's version, so that a new pin cannot keep an old
# name: gVisor refuses a checkpoint of another version by this string alone. The form `release-...` is avoided because
# it turns on a check for helper programs that the module lacks.
runsc_version() {
  sed -nE 's/^.*gvisor\.dev\/gvisor v0\.0\.0-([0-9]{8})[0-9]{6}-([0-9a-f]{12}).*$/\1.0-\2/p' "$HELMR_ROOT/tools/go.mod"
}
