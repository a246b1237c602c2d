//! Finds, loads and checks `helmr.config.ts`.
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProjectConfig } from "../authoring/config.ts";
import { isJsonObject, type JsonValue } from "../internal/json.ts";
import { nameFault } from "../internal/names.ts";
import { bundle } from "./esbuild.ts";
import { type Fault, ProjectError } from "./fault.ts";
import { load } from "./load.ts";

const NAMES = ["helmr.config.ts", "helmr.config.mts", "helmr.config.js", "helmr.config.mjs"];

/** A project's configuration and the file it stands in. */
export interface LoadedConfig {
  readonly file: string;
  readonly config: ProjectConfig;
}

/**
 * Loads the configuration of the project in a folder.
 *
 * @throws ProjectError `config_missing`, `config_invalid`, or what is wrong with the file itself.
 */
export async function loadConfig(project: string, timeoutMs: number): Promise<LoadedConfig> {
  const file = NAMES.find((name) => existsSync(join(project, name)));
  if (file === undefined) {
    const message = `there is no helmr.config.ts here; it exports defineConfig({ project, dirs })`;
    throw new ProjectError([{ file: "helmr.config.ts", code: "config_missing", message }]);
  }
  const scratch = await mkdtemp(join(tmpdir(), "helmr-config-"));
  try {
    await bundle({ project, entries: [{ in: `./${file}`, out: "config" }], outdir: scratch });
    const answer = await load({
      mode: "config",
      file: join(scratch, "config.mjs"),
      project,
      source: file,
      timeoutMs,
    });
    return { file, config: checked(file, answer.config ?? null) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function checked(file: string, config: JsonValue): ProjectConfig {
  const faults: Fault[] = [];
  const complain = (message: string) =>
    faults.push({ file, export: "default", code: "config_invalid", message });
  if (!isJsonObject(config)) {
    complain("the default export must be defineConfig({ project, dirs })");
    throw new ProjectError(faults);
  }
  const { project, dirs, ignorePatterns = [], ...unknown } = config;
  const bad = nameFault("project", project);
  if (bad !== undefined) complain(bad);
  if (!isStrings(dirs) || dirs.length === 0) complain("dirs must be a list of folders");
  if (!isStrings(ignorePatterns)) complain("ignorePatterns must be a list of patterns");
  for (const name of Object.keys(unknown)) complain(`"${name}" is not a setting`);
  if (faults.length > 0) throw new ProjectError(faults);
  return { project: project as string, dirs: dirs as string[], ignorePatterns: ignorePatterns as string[] };
}

function isStrings(value: JsonValue | undefined): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
