//! What is wrong with a project, each fault with its place, so that all are told at once.

/** One fault of a project. */
export interface Fault {
  /** Relative to the project. */
  readonly file: string;
  /** The export to blame. */
  readonly export?: string;
  /** From 1. */
  readonly line?: number;
  /** From 1. */
  readonly column?: number;
  /** Stable, for programs. */
  readonly code: string;
  readonly message: string;
}

/** A project that cannot be bundled. */
export class ProjectError extends Error {
  override readonly name = "ProjectError";
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.map((fault) => `${fault.file}: ${fault.message}`).join("\n"));
    this.faults = faults;
  }
}

/** A place in the project's sources. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

const FRAME = /(?:\(|at )(?:async )?((?:file:\/\/)?\/[^()]*?):(\d+):(\d+)\)?$/;

/**
 * The places in a stack that lie in the project, innermost first. Frames of installed packages and of this
 * package are left out: a user cannot act on them.
 *
 * @param sdk the folder of this package.
 */
export function placesOf(stack: string, project: string, sdk: string): Place[] {
  const places: Place[] = [];
  for (const line of stack.split("\n")) {
    const match = FRAME.exec(line.trim());
    if (match === null) continue;
    const path = decodeURIComponent((match[1] ?? "").replace(/^file:\/\//, ""));
    if (!path.startsWith(`${project}/`) || path.startsWith(`${sdk}/`) || path.includes("/node_modules/"))
      continue;
    places.push({ file: path.slice(project.length + 1), line: Number(match[2]), column: Number(match[3]) });
  }
  return places;
}
