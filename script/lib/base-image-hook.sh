#!/bin/sh
# Finishes the root filesystem in the folder $1 before mmdebstrap packs it: Node and its user.
#
# Runs as root outside the filesystem. Everything written here is the same for the same packages: files of the build's
# host and logs with times are taken out.
set -eu
root=$1

# Node where its usual image has it, without the manuals.
mkdir -p "$root/usr/local/lib/node_modules" "$root/usr/local/bin"
install -m 0755 "$HELMR_IMAGE_NODE/bin/node" "$root/usr/local/bin/node"
install -m 0644 "$HELMR_IMAGE_NODE/LICENSE" "$root/usr/local/LICENSE"
cp -R "$HELMR_IMAGE_NODE/lib/node_modules/npm" "$root/usr/local/lib/node_modules/npm"
rm -rf "$root/usr/local/lib/node_modules/npm/docs" "$root/usr/local/lib/node_modules/npm/man"
chown -R 0:0 "$root/usr/local"
chmod -R u=rwX,go=rX "$root/usr/local/lib/node_modules"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"

chroot "$root" groupadd --gid 1000 node
chroot "$root" useradd --uid 1000 --gid node --shell /bin/bash --create-home node

# mmdebstrap puts the host's name and resolver here. A machine gets its own; `localhost` has to work without any.
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
cat >"$root/etc/hosts" <<HOSTS
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
HOSTS

# The mirrors stay as they are; a proxy may be one that only this host can reach.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"

# What is in the image, for those who look at it later and for setup's own record.
mkdir -p "$root/usr/local/share/helmr"
# shellcheck disable=SC2016 # dpkg's own field names
chroot "$root" dpkg-query --show --showformat '${Package}\t${Version}\t${Architecture}\n' \
  >"$root/usr/local/share/helmr/packages.tsv"

# Caches and logs that differ from build to build. dpkg's and useradd's backups hold the state before the last change.
find "$root/var/log" -type f -delete
rm -f "$root/var/cache/ldconfig/aux-cache" "$root/var/lib/dpkg/status-old" "$root/var/cache/debconf/"*-old
rm -f "$root/etc/passwd-" "$root/etc/group-" "$root/etc/shadow-" "$root/etc/gshadow-" "$root/etc/subuid-" "$root/etc/subgid-"
