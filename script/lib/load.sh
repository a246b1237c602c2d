# shellcheck shell=bash
# The front door of script/lib: every script sources this file alone. It knows where the checkout is and starts nothing.

HELMR_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# Everything that setup makes, apart from tools/runsc and node_modules; git ignores it.
HELMR_STATE=$HELMR_ROOT/.helmr
readonly HELMR_ROOT HELMR_STATE

# shellcheck source=script/lib/terminal.sh
. "$HELMR_ROOT/script/lib/terminal.sh"
# shellcheck source=script/lib/versions.sh
. "$HELMR_ROOT/script/lib/versions.sh"
# shellcheck source=script/lib/host.sh
. "$HELMR_ROOT/script/lib/host.sh"
# shellcheck source=script/lib/toolchain.sh
. "$HELMR_ROOT/script/lib/toolchain.sh"
# shellcheck source=script/lib/packages.sh
. "$HELMR_ROOT/script/lib/packages.sh"
# shellcheck source=script/lib/runsc.sh
. "$HELMR_ROOT/script/lib/runsc.sh"
# shellcheck source=script/lib/node.sh
. "$HELMR_ROOT/script/lib/node.sh"
# shellcheck source=script/lib/base-image.sh
. "$HELMR_ROOT/script/lib/base-image.sh"
# shellcheck source=script/lib/cargo-deny.sh
. "$HELMR_ROOT/script/lib/cargo-deny.sh"
