//! Bundles projects for tests, through the same command that a deploy runs.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  const path = await mkdtemp(join(tmpdir(), "helmr-sdk-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
