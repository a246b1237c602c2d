# shellcheck shell=bash
# The base image `node:24-bookworm-slim`, made of Debian packages and our Node, as an OCI layout in a tar file.
#
# It stands in for the registry's image of that name, so that a machine without a registry can run tasks. The server
# takes it with `helmr image import`; nothing here needs one running.

readonly IMAGE_FOLDER=$HELMR_STATE/images
readonly IMAGE_FILE=$IMAGE_FOLDER/node-24-bookworm-slim.oci.tar
readonly IMAGE_RECORD=$IMAGE_FOLDER/node-24-bookworm-slim.json
readonly IMAGE_PACKAGES=bash,ca-certificates,git,libstdc++6,procps

# Everything the image is made from, bar the packages' own versions: what changes it makes the image again.
image_recipe() {
  node_label
  cat "$HELMR_ROOT"/script/lib/{versions.sh,base-image.sh,base-image-hook.sh,oci-layout.mjs} | sha256sum
}

image_is_current() {
  [[ -f $IMAGE_FILE && -f $IMAGE_RECORD && -f $HELMR_STATE/stamps/image ]] &&
    [[ $(<"$HELMR_STATE/stamps/image") == "$(image_recipe)" ]]
}

# Prints apt source lines: on a host of the same Debian release the mirrors that the host itself uses for it. Sources that
# are not Debian's own stay out of the image. On other hosts there are none, and mmdebstrap takes its own.
image_sources() {
  [[ $(os_release VERSION_CODENAME) == "$IMAGE_SUITE" ]] || return 0
  local sources keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016 # apt's own field names
  sources=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI) $(RELEASE)' \
    'Created-By: Packages' | awk -v suite="$IMAGE_SUITE" -v keyring="$keyring" '
      $1 == "Debian" && $2 == "main" && ($3 == suite || $3 == suite "-updates" || $3 == suite "-security") \
        && $4 ~ /^https?:/ && !seen[$4, $5]++ { print "deb [signed-by=" keyring "] " $4 " " $5 " main" }')
  # Without the release itself the rest is of no use.
  if grep -q " $IMAGE_SUITE main\$" <<<"$sources"; then
    echo "$sources"
  fi
}

# Prints the host's settings of apt that decide whether a mirror can be reached: proxies, certificates, clocks. They serve
# the build alone; the hook takes them out of the image.
image_apt_options() {
  apt-config dump Acquire | grep -iE '^Acquire::(https?::|Check-Valid-Until |Check-Date |ForceIPv[46] )' || true
  echo 'Acquire::Retries "3";'
}

# Writes the root filesystem as a tar to the file $1 and the list of its packages to $2.
make_root_filesystem() {
  local layer=$1 packages=$2 options=$HELMR_STATE/tmp/image/apt.conf hook=$HELMR_ROOT/script/lib/base-image-hook.sh
  local sources=$HELMR_STATE/tmp/image/sources.list mirrors=()
  image_apt_options >"$options"
  image_sources >"$sources"
  if [[ -s $sources ]]; then mirrors=(-); fi
  # The tar comes through stdout, so that it belongs to whoever runs setup.
  # shellcheck disable=SC2016 # the hook is a command for mmdebstrap's own shell
  as_root env SOURCE_DATE_EPOCH="$IMAGE_EPOCH" TMPDIR="$HELMR_STATE/tmp/image" \
    HELMR_IMAGE_HOOK="$hook" HELMR_IMAGE_NODE="$NODE_HOME" \
    mmdebstrap --mode=root --variant=minbase --architectures=amd64 --format=tar --include="$IMAGE_PACKAGES" \
    --aptopt="$options" \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/share/groff/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-include=/usr/share/locale/locale.alias' \
    --customize-hook='"$HELMR_IMAGE_HOOK" "$1"' \
    --skip=output/dev \
    "$IMAGE_SUITE" - "${mirrors[@]}" <"$sources" >"$layer"
  # An empty /dev in place of Debian's device nodes: a machine mounts its own there. Some mmdebstraps leave it out.
  if ! tar -tf "$layer" | grep -x ./dev/ >/dev/null; then
    mkdir -p "$HELMR_STATE/tmp/image/extra/dev"
    tar -rf "$layer" -C "$HELMR_STATE/tmp/image/extra" --numeric-owner --owner=0 --group=0 --mode=0755 \
      --mtime="@$IMAGE_EPOCH" ./dev
  fi
  tar -xOf "$layer" ./usr/local/share/helmr/packages.tsv >"$packages"
}

make_image() {
  local work=$HELMR_STATE/tmp/image recipe
  recipe=$(image_recipe)
  rm -f "$HELMR_STATE/stamps/image"
  mkdir -p "$work" "$IMAGE_FOLDER" "$HELMR_STATE/stamps"
  make_root_filesystem "$work/layer.tar" "$work/packages.tsv"
  "$NODE_HOME/bin/node" "$HELMR_ROOT/script/lib/oci-layout.mjs" \
    --layer "$work/layer.tar" --layout "$work/layout" --record "$work/record.json" \
    --name "$IMAGE_NAME" --epoch "$IMAGE_EPOCH" --packages "$work/packages.tsv" \
    --env 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --env "NODE_VERSION=$NODE_VERSION" \
    --cmd node
  # The small files come first, so that a reader of a stream knows what it gets.
  tar -cf "$work/image.tar" -C "$work/layout" --sort=name --format=gnu --numeric-owner --owner=0 --group=0 \
    --mode='u=rwX,go=rX' --mtime="@$IMAGE_EPOCH" oci-layout index.json blobs
  sync "$work/image.tar"
  mv -f "$work/image.tar" "$IMAGE_FILE"
  mv -f "$work/record.json" "$IMAGE_RECORD"
  echo "$recipe" >"$HELMR_STATE/stamps/image.part"
  mv "$HELMR_STATE/stamps/image.part" "$HELMR_STATE/stamps/image"
  rm -rf "$work"
}
