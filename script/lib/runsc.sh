# shellcheck shell=bash
# runsc, gVisor's program, built from the module that tools/go.mod pins.

readonly RUNSC=$HELMR_ROOT/tools/runsc

runsc_is_current() {
  [[ -x $RUNSC && $("$RUNSC" --version 2>/dev/null | head -n 1) == "runsc version $(runsc_version)" ]]
}

build_runsc() {
  local go part=$HELMR_STATE/tmp/runsc
  go=$(find_go)
  # GOFLAGS of the user could change what is built; the toolchain that was looked for is the one that builds.
  GOFLAGS='' GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0 "$go" build -C "$HELMR_ROOT/tools" -mod=readonly -trimpath \
    -o "$part" -ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$(runsc_version)" gvisor.dev/gvisor/runsc
  "$part" --version
  # Flushed before the rename: after a power cut there is the old file or the whole new one.
  sync "$part"
  mv -f "$part" "$RUNSC"
}
