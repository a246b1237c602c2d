# shellcheck shell=bash
# cargo-deny, which checks licences, banned crates and sources of the dependencies. Kept in the checkout's own toolchain.

readonly CARGO_DENY=$HELMR_STATE/toolchain/cargo/bin/cargo-deny

cargo_deny_is_current() {
  local found
  for found in "$CARGO_DENY" "$(type -P cargo-deny || true)"; do
    [[ -x $found && $("$found" --version 2>/dev/null) == "cargo-deny $CARGO_DENY_VERSION" ]] && return 0
  done
  return 1
}

install_cargo_deny() {
  local cargo
  cargo=$(find_cargo)
  # In the checkout, so that the pinned Rust builds it; with a target folder of its own, which is not needed again.
  (cd "$HELMR_ROOT" && "$cargo" install --locked --quiet --version "$CARGO_DENY_VERSION" --no-track --force \
    --root "$HELMR_STATE/toolchain/cargo" --target-dir "$HELMR_STATE/tmp/cargo-deny" cargo-deny)
}
