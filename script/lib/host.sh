# shellcheck shell=bash
# What this machine is, and what setup may do on it.

# Prints one field of os-release, unquoted; HELMR_OS_RELEASE_FILE names another file for tests.
os_release() {
  local file=${HELMR_OS_RELEASE_FILE:-/etc/os-release}
  [[ -r $file ]] || return 0
  sed -n "s/^$1=//p" "$file" | tail -n 1 | sed -E "s/^[\"'](.*)[\"']\$/\\1/"
}

# Succeeds if version $1 is at least version $2.
at_least() {
  [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# Succeeds on Debian 12 or newer, Ubuntu 24.04 or newer, and what calls itself like them. Older ones lack a package or
# have PostgreSQL before 15. Debian's testing and unstable have no version.
supported_system() {
  local id version
  id=$(os_release ID)
  version=$(os_release VERSION_ID)
  case $id in
    debian) [[ -z $version ]] || at_least "$version" 12 ;;
    ubuntu) at_least "$version" 24.04 ;;
    *) [[ " $(os_release ID_LIKE) " =~ \ (debian|ubuntu)\  ]] && command -v apt-get >/dev/null ;;
  esac
}

supported_processor() {
  [[ $(uname -m) == x86_64 ]]
}

is_root() {
  ((EUID == 0))
}

# Succeeds if commands can be run as root, perhaps after a password.
may_become_root() {
  is_root || command -v sudo >/dev/null
}

# Asks for the password, if one is needed, before a step hides the terminal.
become_root_once() {
  is_root || sudo -v
}

as_root() {
  if is_root; then "$@"; else sudo -- "$@"; fi
}
