//! `source` and `cache`: what image steps take from the project and keep between builds.

/** A file or folder of the task project. */
export interface Source {
  readonly kind: "file" | "directory";
  /** Relative to `helmr.config.ts`. */
  readonly path: string;
}

/** Names files and folders of the task project. */
export const source = {
  /** @example source.file("package.json") */
  file: (path: string): Source => Object.freeze({ kind: "file", path }),
  /** @example source.directory("prompts") */
  directory: (path: string): Source => Object.freeze({ kind: "directory", path }),
} as const;

/** A named folder that image builds share and keep. */
export interface Cache {
  readonly kind: "cache";
  readonly id: string;
}

/**
 * Names a build cache.
 *
 * @example image("app").from("node:24").run(["npm", "ci"], { cache: [{ mountPath: "/root/.npm", cache: cache("npm") }] })
 */
export function cache(id: string): Cache {
  return Object.freeze({ kind: "cache", id });
}
