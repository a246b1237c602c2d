// Puts one layer into an OCI image layout (image-spec 1.1) and records what it holds.
//
// The layer is moved, not copied, and stays an uncompressed tar: the image is read once, on the same machine. Nothing
// here depends on the time or the machine, so the same layer gives the same image.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    layer: { type: "string" },
    layout: { type: "string" },
    record: { type: "string" },
    name: { type: "string" },
    epoch: { type: "string" },
    packages: { type: "string" },
    env: { type: "string", multiple: true, default: [] },
    cmd: { type: "string", multiple: true, default: [] },
  },
});
for (const [option, value] of Object.entries({ ...options })) {
  if (value === undefined || value === "") throw new Error(`--${option} has no value`);
}
for (const option of ["layer", "layout", "record", "name", "epoch", "packages"]) {
  if (options[option] === undefined) throw new Error(`--${option} is missing`);
}

const blobs = join(options.layout, "blobs", "sha256");
const created = new Date(Number(options.epoch) * 1000).toISOString().replace(".000Z", "Z");

/** Reads the lines `package, version, architecture` that dpkg-query wrote. */
async function readPackages(path) {
  const text = await readFile(path, "utf8");
  const rows = text.split("\n").filter((line) => line !== "").map((line) => line.split("\t"));
  return rows.map(([name, version, architecture]) => ({ name, version, architecture }));
}

/** Moves the layer among the blobs under the name of its content. */
async function addLayer(path) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  const hex = hash.digest("hex");
  const { size } = await stat(path);
  await rename(path, join(blobs, hex));
  return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: `sha256:${hex}`, size };
}

async function addDocument(mediaType, document) {
  const bytes = Buffer.from(JSON.stringify(document));
  const hex = createHash("sha256").update(bytes).digest("hex");
  await writeFile(join(blobs, hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

await rm(options.layout, { recursive: true, force: true });
await mkdir(blobs, { recursive: true });
const packages = await readPackages(options.packages);
const layer = await addLayer(options.layer);

const config = await addDocument("application/vnd.oci.image.config.v1+json", {
  created,
  architecture: "amd64",
  os: "linux",
  config: { Env: options.env, Cmd: options.cmd, WorkingDir: "/" },
  // The layer is not compressed: its digest is also the digest of its content.
  rootfs: { type: "layers", diff_ids: [layer.digest] },
  history: [{ created, created_by: "script/setup" }],
});
const manifest = await addDocument("application/vnd.oci.image.manifest.v1+json", {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config,
  layers: [layer],
});
await writeFile(
  join(options.layout, "index.json"),
  JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...manifest,
        platform: { architecture: "amd64", os: "linux" },
        annotations: { "org.opencontainers.image.ref.name": options.name },
      },
    ],
  }),
);
await writeFile(join(options.layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));

const record = { name: options.name, created, manifest: manifest.digest, layer: layer.digest, size: layer.size, packages };
await writeFile(options.record, `${JSON.stringify(record, null, 2)}\n`);
console.log(`${options.name} ${manifest.digest}, ${layer.size} bytes, ${packages.length} packages`);
