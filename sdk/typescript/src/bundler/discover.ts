//! Finds the modules of a project: every script under its `dirs` that no pattern ignores.
import { readdirSync, statSync } from "node:fs";
import { join, posix, relative, resolve, sep } from "node:path";
import type { ProjectConfig } from "../authoring/config.ts";
import { type Fault, ProjectError } from "./fault.ts";
import { matcher } from "./glob.ts";

/** A module that may declare tasks. */
export interface SourceModule {
  /** Relative to the project, with `/`. */
  readonly file: string;
  /** Its name in the bundle, such as `tasks/release.mjs`. */
  readonly module: string;
}

const SCRIPT = /\.(ts|mts|tsx|js|mjs|jsx)$/;
const NOT_A_TASK = /(\.d\.m?ts|\.(test|spec)\.[a-z]+)$/;

/**
 * Lists the modules in a stable order.
 *
 * @throws ProjectError when a folder is missing or lies outside of the project.
 */
export function discover(project: string, configFile: string, config: ProjectConfig): SourceModule[] {
  const faults: Fault[] = [];
  const ignored = matcher(config.ignorePatterns ?? []);
  const found = new Map<string, string>();
  for (const dir of config.dirs) {
    const root = resolve(project, dir);
    if (root !== project && !root.startsWith(project + sep)) {
      faults.push({
        file: configFile,
        code: "dir_outside_project",
        message: `"${dir}" lies outside of the project`,
      });
    } else if (!isDirectory(root)) {
      faults.push({ file: configFile, code: "dir_missing", message: `"${dir}" is not a folder` });
    } else {
      for (const path of scripts(root)) {
        const file = portable(relative(project, path));
        if (!ignored(file)) found.set(file, portable(relative(root, path)));
      }
    }
  }
  if (faults.length > 0) throw new ProjectError(faults);
  return named([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names modules by their path in their own folder, or in the project where two would get the same name. */
function named(files: readonly [file: string, inDir: string][]): SourceModule[] {
  const count = new Map<string, number>();
  const short = (inDir: string) => inDir.replace(SCRIPT, "");
  for (const [, inDir] of files) count.set(short(inDir), (count.get(short(inDir)) ?? 0) + 1);
  return files.map(([file, inDir]) => ({
    file,
    module: posix.join("tasks", `${count.get(short(inDir)) === 1 ? short(inDir) : file}.mjs`),
  }));
}

function* scripts(dir: string): Generator<string> {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
    if (entry.isDirectory()) yield* scripts(path);
    else if (SCRIPT.test(entry.name) && !NOT_A_TASK.test(entry.name)) yield path;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function portable(path: string): string {
  return path.split(sep).join("/");
}
