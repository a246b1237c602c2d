//! Where a task finds a secret.

/** Puts the secret's value in an environment variable of the task. */
export interface SecretEnv {
  readonly name: string;
  readonly env: string;
}

/** Puts the secret's value in a file in memory, never in a version. */
export interface SecretFile {
  readonly name: string;
  /** An absolute path. */
  readonly file: string;
  /** Permissions, such as `0o400` (the default). */
  readonly mode?: number | undefined;
}

/** Puts a secret that holds several values in a folder in memory, a file for each. */
export interface SecretDir {
  readonly name: string;
  /** An absolute path. */
  readonly dir: string;
  /** Permissions of the files, such as `0o400` (the default). */
  readonly mode?: number | undefined;
}

/** Where a task finds a secret. */
export type SecretPlacement = SecretEnv | SecretFile | SecretDir;
