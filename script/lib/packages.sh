# shellcheck shell=bash
# The system packages, and which of them this machine lacks.

# Each line: a command that stands for it elsewhere than on Debian, the package, what it is for.
readonly SYSTEM_PACKAGES='
mkfs.erofs    erofs-utils             root images
mke2fs        e2fsprogs               writable disks
mmdebstrap    mmdebstrap              the base image
ip            iproute2                machine networks
nft           nftables                machine networks
pasta         passt                   machine networks
newuidmap     uidmap                  running without root
git           git                     tests and the demo
gcc           gcc                     C code under Rust crates
-             libc6-dev               C code under Rust crates
make          make                    C code under Rust crates
shellcheck    shellcheck              tests of the scripts
-             ca-certificates         downloads
-             debian-archive-keyring  the base image
'

# What only tests need, in the same form: a terminal for the command line, and programs that fill one.
readonly TEST_PACKAGES='
tmux          tmux                    tests of terminals
vim           vim                     tests of terminals
htop          htop                    tests of terminals
less          less                    tests of terminals
'

# The commands that stand for the browser in which pages are tested. Any of them will do.
readonly BROWSERS='chromium chromium-browser google-chrome'

has_browser() {
  local browser
  for browser in $BROWSERS; do
    command -v "$browser" >/dev/null && return 0
  done
  return 1
}

# Succeeds where the browser is a package of its own: Ubuntu's is a snap, which needs a running snapd.
browser_is_packaged() {
  [[ $(os_release ID) == debian ]]
}

# Prints the packages that are not installed, one a line; with `tests` as its argument also what only tests need.
# PostgreSQL from 15 on will do; the distribution's own is installed where there is none. npm is only needed to fetch our
# Node, so any npm will do.
missing_packages() {
  local installed package
  # shellcheck disable=SC2016 # dpkg's own field names
  installed=$(dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^[ih]i  *//p')
  while read -r _ package _; do
    [[ -z $package ]] || grep -qxF "$package" <<<"$installed" || echo "$package"
  done <<<"$SYSTEM_PACKAGES"
  grep -qxE 'postgresql-(1[5-9]|[2-9][0-9])' <<<"$installed" || echo postgresql
  node_is_current || command -v npm >/dev/null || echo npm
  [[ ${1:-} == tests ]] || return 0
  while read -r _ package _; do
    [[ -z $package ]] || grep -qxF "$package" <<<"$installed" || echo "$package"
  done <<<"$TEST_PACKAGES"
  has_browser || ! browser_is_packaged || echo chromium
}

# Prints the commands that are not found, for systems whose packages have other names.
missing_commands() {
  local command package purpose
  while read -r command package purpose; do
    [[ -z $command || $command == - ]] && continue
    command -v "$command" >/dev/null || printf '  %-12s %s (Debian: %s)\n' "$command" "$purpose" "$package"
  done <<<"$SYSTEM_PACKAGES"
  command -v postgres >/dev/null || printf '  %-12s %s (Debian: %s)\n' postgres "tests, 15 or newer" postgresql
}

install_packages() {
  local no_cluster=/etc/postgresql-common/createcluster.d/helmr-setup.conf
  # A service that a package starts would keep setup's lock for as long as it runs.
  exec 9>&-
  # A dpkg that was killed half-way refuses everything else until this is done.
  as_root dpkg --configure -a
  as_root apt-get update
  # Tests start servers of their own: nobody asked for one on port 5432.
  if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
    as_root mkdir -p "${no_cluster%/*}"
    as_root tee "$no_cluster" <<<'create_main_cluster = false' >/dev/null
    # shellcheck disable=SC2064 # the path as it is now
    trap "as_root rm -f '$no_cluster'" EXIT
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}
