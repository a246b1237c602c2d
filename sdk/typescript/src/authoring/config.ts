//! `defineConfig`: what `helmr.config.ts` exports.

/** The configuration of a task project. */
export interface ProjectConfig {
  /** The project's slug or id. */
  readonly project: string;
  /** Folders with task modules, relative to the configuration. */
  readonly dirs: readonly string[];
  /** Glob patterns, relative to the configuration, of files that are not task modules. */
  readonly ignorePatterns?: readonly string[] | undefined;
}

/**
 * Declares a task project.
 *
 * @example export default defineConfig({ project: "main", dirs: ["./tasks"] });
 */
export function defineConfig(config: ProjectConfig): ProjectConfig {
  return Object.freeze({ ...config, dirs: Object.freeze([...config.dirs]) });
}
