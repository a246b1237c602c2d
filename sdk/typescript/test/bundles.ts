//! Bundles projects for tests, through the same command that a deploy runs.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const MAIN = join(import.meta.dirname, "../dist/bundler/main.js");
/** The folder with the example projects. */
export const EXAMPLES = join(import.meta.dirname, "../../../examples");
/** The folder with the projects that tests bundle. */
export const FIXTURES = join(import.meta.dirname, "fixtures");

/** What the bundler printed, and how it exited. */
export interface Bundled {
  readonly code: number;
  readonly document: Record<string, unknown>;
  readonly stderr: string;
}

/** Runs the bundler. */
export async function runBundler(project: string, out: string, ...more: string[]): Promise<Bundled> {
  const args = [MAIN, "--project", project, "--out", out, ...more];
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
    return { code: 0, document: JSON.parse(stdout), stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, document: JSON.parse(stdout), stderr };
  }
}

/** A folder that is gone when the test ends. */
export async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "helmr-sdk-test-")));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const PACKAGE = join(import.meta.dirname, "..");

/** A project of its own, with a configuration unless one is given, and zod to import. */
export async function project(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly path: string; readonly out: string }> {
  const folder = await scratch();
  const path = join(folder.path, "project");
  const config = `import { defineConfig } from "@helmr/sdk"; export default defineConfig({ project: "main", dirs: ["./tasks"] });`;
  for (const [file, content] of Object.entries({ "helmr.config.ts": config, ...files })) {
    if (content === "") continue;
    await mkdir(dirname(join(path, file)), { recursive: true });
    await writeFile(join(path, file), content);
  }
  await mkdir(join(path, "node_modules"), { recursive: true });
  await symlink(join(PACKAGE, "node_modules/zod"), join(path, "node_modules/zod"));
  return { path, out: join(folder.path, "out"), [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** Bundles a project made of these files. */
export async function bundled(files: Readonly<Record<string, string>>, ...more: string[]): Promise<Bundled> {
  await using made = await project(files);
  return await runBundler(made.path, made.out, ...more);
}
