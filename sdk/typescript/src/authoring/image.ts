//! `image`: the root filesystem of a sandbox, as steps upon a base image.
import { declare } from "../internal/declarations.ts";
import type { SecretPlacement } from "./secret.ts";
import type { Cache, Source } from "./source.ts";

/** Options of a `run` step. */
export interface RunStepOptions {
  readonly cache?: readonly { readonly mountPath: string; readonly cache: Cache }[] | undefined;
  /** Secrets that only this step sees. */
  readonly secrets?: readonly SecretPlacement[] | undefined;
  /** `false` runs the step without a network. */
  readonly network?: boolean | undefined;
}

/** One step of an image. */
export type ImageStep =
  | { readonly op: "run"; readonly argv: readonly string[]; readonly options: RunStepOptions }
  | { readonly op: "copy"; readonly dest: string; readonly from: Source | Image }
  | { readonly op: "copyFrom"; readonly dest: string; readonly image: Image; readonly path: string }
  | { readonly op: "workdir"; readonly path: string }
  | { readonly op: "env"; readonly variables: Readonly<Record<string, string>> }
  | { readonly op: "user"; readonly user: string };

/**
 * An image definition. Immutable: each step gives a new one.
 *
 * @example
 * const runtime = image("review")
 *   .from("node:24-bookworm-slim")
 *   .workdir("/workspace")
 *   .run(["npm", "install", "-g", "bun@1.3.10"]);
 */
export class Image {
  readonly kind = "image";
  readonly id: string;
  /** The base image's reference; empty until `from` is called. */
  readonly base: string;
  readonly steps: readonly ImageStep[];

  /** Use {@link image}. */
  constructor(id: string, base: string, steps: readonly ImageStep[]) {
    this.id = id;
    this.base = base;
    this.steps = Object.freeze([...steps]);
    Object.freeze(this);
    declare("image", this);
  }

  /** Names the base image. */
  from(reference: string): Image {
    return new Image(this.id, reference, this.steps);
  }

  /** Runs a command; what it changes becomes part of the image. */
  run(argv: readonly string[], options: RunStepOptions = {}): Image {
    return this.#with({ op: "run", argv: Object.freeze([...argv]), options: Object.freeze({ ...options }) });
  }

  /** Copies a file or folder of the project, or everything of another image, to `dest`. */
  copy(dest: string, from: Source | Image): Image {
    return this.#with({ op: "copy", dest, from });
  }

  /** Copies one path of another image to `dest`. */
  copyFrom(dest: string, image: Image, path: string): Image {
    return this.#with({ op: "copyFrom", dest, image, path });
  }

  /** Sets the working directory of later steps and of tasks. */
  workdir(path: string): Image {
    return this.#with({ op: "workdir", path });
  }

  /** Sets environment variables for later steps and for tasks. Never put a secret here: it is kept in clear. */
  env(variables: Readonly<Record<string, string>>): Image {
    return this.#with({ op: "env", variables: Object.freeze({ ...variables }) });
  }

  /** Sets the user of later steps and of tasks. */
  user(user: string): Image {
    return this.#with({ op: "user", user });
  }

  #with(step: ImageStep): Image {
    return new Image(this.id, this.base, [...this.steps, Object.freeze(step)]);
  }
}

/** Begins an image definition. */
export function image(id: string): Image {
  return new Image(id, "", []);
}
