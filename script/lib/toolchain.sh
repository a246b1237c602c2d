# shellcheck shell=bash
# Where Rust, Go and Node are. Rust and Go are looked for, never installed: people have their own ways for them.

# The folders after PATH in which Rust and Go are looked for.
rust_folder() {
  printf '%s' "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
}
readonly GO_FOLDER=${GOROOT:-/usr/local/go}/bin

# Prints each executable of the name $1 in PATH and then in the folder $2, best first.
candidates() {
  {
    type -aP "$1" || true
    [[ ! -x $2/$1 ]] || echo "$2/$1"
  } | awk '!seen[$0]++'
}

# Prints the version of a cargo, or nothing if it has none: rustup's stands for a toolchain that may not be installed,
# and must not fetch it for the question.
version_of_cargo() {
  { (cd "$HELMR_ROOT" && RUSTUP_AUTO_INSTALL=0 "$1" --version 2>/dev/null) || true; } | sed -nE 's/^cargo ([0-9.]+).*/\1/p'
}

version_of_go() {
  { (cd / && GOTOOLCHAIN=local "$1" version 2>/dev/null) || true; } | sed -nE 's/^go version go([0-9.]+).*/\1/p'
}

# Prints the path of a cargo of the pinned version.
find_cargo() {
  local cargo wanted
  wanted=$(rust_version)
  while read -r cargo; do
    if [[ $(version_of_cargo "$cargo") == "$wanted" ]]; then echo "$cargo" && return 0; fi
  done < <(candidates cargo "$(rust_folder)")
  return 1
}

# Prints the path of a Go that is new enough.
find_go() {
  local go version wanted
  wanted=$(go_version)
  while read -r go; do
    version=$(version_of_go "$go")
    if [[ -n $version ]] && at_least "$version" "$wanted"; then echo "$go" && return 0; fi
  done < <(candidates go "$GO_FOLDER")
  return 1
}

# Says what was looked for where: `explain_missing NAME VERSION FOLDER QUESTION HOW`.
explain_missing() {
  local program=$1 wanted=$2 folder=$3 version_of=$4 how=$5 found version
  say "  $BOLD$wanted$PLAIN"
  say "      looked for in: PATH and $folder"
  while read -r found; do
    version=$("$version_of" "$found")
    say "      found: $found, ${version:-which does not have this version installed}"
  done < <(candidates "$program" "$folder")
  say "      $how"
}

explain_missing_rust() {
  explain_missing cargo "Rust $(rust_version)" "$(rust_folder)" version_of_cargo \
    "install rustup (https://rustup.rs), then: rustup toolchain install $(rust_version) --component rustfmt,clippy"
}

explain_missing_go() {
  explain_missing go "Go $(go_version) or newer" "$GO_FOLDER" version_of_go \
    "install it (https://go.dev/doc/install); it builds runsc, the isolation runtime"
}

# Puts everything that setup found or installed on PATH, and names it to the programs that look for it.
use_toolchain() {
  local cargo
  cargo=$(find_cargo) || return 1
  PATH=$HELMR_STATE/toolchain/node/bin:$HELMR_STATE/toolchain/cargo/bin:${cargo%/*}:$PATH
  export PATH HELMR_HOME=$HELMR_ROOT HELMR_RUNSC=$HELMR_ROOT/tools/runsc
}
