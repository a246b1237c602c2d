//! Bundles a task project for a deploy: finds, bundles, loads, indexes.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { assemble, type Declarations, type Loaded } from "./assemble.ts";
import { loadConfig } from "./config.ts";
import { discover, type SourceModule } from "./discover.ts";
import { bundle, esbuildVersion, SDK_ROOT } from "./esbuild.ts";
import { type Fault, ProjectError } from "./fault.ts";
import type { LoadedModule } from "./index-child.ts";
import { load } from "./load.ts";

export type { IndexedStream, IndexedTask } from "./assemble.ts";
export { type Fault, ProjectError } from "./fault.ts";

/** The form of a bundle. A worker refuses one it does not know. */
export const BUNDLE_FORMAT = 1;
/** The protocol between the runtime in the bundle and the worker. */
export const WORKER_PROTOCOL = 1;
const MANIFEST = "helmr-bundle.json";
const DEFAULT_TIMEOUT_MS = 30_000;

/** What to bundle, and where to. */
export interface BundleOptions {
  /** The folder with `helmr.config.ts`. */
  readonly project: string;
  /** A folder for the bundle: absent, empty, or holding an earlier bundle, which is replaced. */
  readonly out: string;
  /** How long importing one module may take; 30 s when absent. */
  readonly timeoutMs?: number;
}

/** A file of a bundle. */
export interface BundleFile {
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

/** What a deploy is told about a project. */
export interface ProjectIndex extends Declarations {
  readonly project: string;
  readonly bundle: { readonly files: readonly BundleFile[] };
}

/**
 * Bundles a project and indexes what it declares.
 *
 * @throws ProjectError with every fault that could be found.
 */
export async function bundleProject(options: BundleOptions): Promise<ProjectIndex> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const project = await realpath(options.project);
  const out = resolve(options.out);
  const { file: configFile, config } = await loadConfig(project, timeoutMs);
  const modules = discover(project, configFile, config);
  await emptied(out);
  await bundle({
    project,
    entries: [
      { in: "@helmr/sdk/runtime", out: "runtime" },
      ...modules.map(({ file, module }) => ({ in: `./${file}`, out: module.replace(/\.mjs$/, "") })),
    ],
    outdir: out,
  });
  const declarations = assemble(await loadAll(modules, project, out, timeoutMs));
  if (declarations.tasks.length === 0 && declarations.sandboxes.length === 0) {
    const message = `no task or sandbox is exported from ${config.dirs.map((dir) => `"${dir}"`).join(", ")}`;
    throw new ProjectError([{ file: configFile, code: "no_tasks", message }]);
  }
  await writeManifest(out, declarations);
  return { project: config.project, ...declarations, bundle: { files: await filesOf(out) } };
}

/** Every module is loaded by itself, so that its streams are known to be its own. All faults are gathered. */
async function loadAll(
  modules: readonly SourceModule[],
  project: string,
  out: string,
  timeoutMs: number,
): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  const faults: Fault[] = [];
  const waiting = [...modules];
  const loader = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      try {
        const request = {
          mode: "module",
          file: join(out, next.module),
          project,
          source: next.file,
          timeoutMs,
        } as const;
        const answer = await load(request);
        loaded.push({ ...next, declared: answer.module as unknown as LoadedModule });
      } catch (error) {
        if (!(error instanceof ProjectError)) throw error;
        faults.push(...error.faults);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 8) }, loader));
  if (faults.length > 0) throw new ProjectError(faults);
  // Children end in any order; the index must not depend on it.
  return loaded.sort((a, b) => (a.file < b.file ? -1 : 1));
}

async function emptied(out: string): Promise<void> {
  await mkdir(out, { recursive: true });
  const entries = await readdir(out);
  if (entries.length > 0 && !existsSync(join(out, "runtime.mjs"))) {
    throw new ProjectError([
      { file: ".", code: "out_not_empty", message: `the output folder ${out} holds other files` },
    ]);
  }
  for (const entry of entries) await rm(join(out, entry), { recursive: true, force: true });
}

async function writeManifest(out: string, { tasks }: Declarations): Promise<void> {
  const { version } = JSON.parse(await readFile(join(SDK_ROOT, "package.json"), "utf8")) as {
    version: string;
  };
  const manifest = {
    format: BUNDLE_FORMAT,
    worker_protocol: WORKER_PROTOCOL,
    sdk: version,
    esbuild: esbuildVersion,
    runtime: "runtime.mjs",
    entries: Object.fromEntries(tasks.map((task) => [task.id, { module: task.module, export: task.export }])),
  };
  await writeFile(join(out, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function filesOf(out: string): Promise<BundleFile[]> {
  const entries = await readdir(out, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(
    paths.map(async (path) => {
      const bytes = await readFile(path);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      return { path: path.slice(out.length + 1), sha256, size: bytes.length };
    }),
  );
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}
