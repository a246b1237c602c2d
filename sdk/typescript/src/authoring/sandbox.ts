//! `sandbox`: the machine a task runs in.
import { declare } from "../internal/declarations.ts";
import type { Size } from "../internal/duration.ts";
import type { Image } from "./image.ts";

/** What a machine may use. */
export interface Resources {
  /** CPUs, such as `0.5` or `2`; 1 when absent. */
  readonly cpu?: number | undefined;
  /** Such as `"4Gi"`; `"1Gi"` when absent. */
  readonly memory?: Size | undefined;
  /** Such as `"20Gi"`; `"10Gi"` when absent. */
  readonly disk?: Size | undefined;
  /** Processes and threads; 1,024 when absent. */
  readonly processes?: number | undefined;
}

/** What a machine may reach. `deny` beats `allow`; a present `allow` denies the rest. */
export interface NetworkPolicy {
  readonly internet:
    | boolean
    | { readonly allow?: readonly string[] | undefined; readonly deny?: readonly string[] | undefined };
}

interface SandboxParts {
  readonly image: Image | undefined;
  readonly workspacePath: string;
  readonly resources: Resources;
  readonly network: NetworkPolicy;
}

/**
 * A sandbox definition. Immutable: each call gives a new one.
 *
 * @example
 * const sb = sandbox("review").image(runtime).workspace("/workspace").resources({ cpu: 2, memory: "4Gi" });
 */
export class Sandbox {
  readonly kind = "sandbox";
  readonly id: string;
  /** What was set so far. */
  readonly parts: SandboxParts;

  /** Use {@link sandbox}. */
  constructor(id: string, parts: SandboxParts) {
    this.id = id;
    this.parts = Object.freeze(parts);
    Object.freeze(this);
    declare("sandbox", this);
  }

  /** Sets the image. */
  image(image: Image): Sandbox {
    return this.#with({ image });
  }

  /** Sets where the workspace is mounted; `/workspace` when absent. Only files under it outlive the machine. */
  workspace(path: string): Sandbox {
    return this.#with({ workspacePath: path });
  }

  /** Sets what the machine may use; what is absent keeps its value. */
  resources(resources: Resources): Sandbox {
    return this.#with({ resources: Object.freeze({ ...this.parts.resources, ...resources }) });
  }

  /** Sets what the machine may reach; the internet, but nothing private, when absent. */
  network(network: NetworkPolicy): Sandbox {
    return this.#with({ network: Object.freeze({ ...network }) });
  }

  #with(change: Partial<SandboxParts>): Sandbox {
    return new Sandbox(this.id, { ...this.parts, ...change });
  }
}

/** Begins a sandbox definition. */
export function sandbox(id: string): Sandbox {
  return new Sandbox(id, {
    image: undefined,
    workspacePath: "/workspace",
    resources: Object.freeze({}),
    network: Object.freeze({ internet: true }),
  });
}
