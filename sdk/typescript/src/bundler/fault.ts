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

const FRAME = /project:\/\/\/([^():]+):(\d+):(\d+)\)?$/;

/**
 * The places in a stack that lie in the project, innermost first. Installed packages are left out: a user cannot
 * act on them.
 */
export function placesOf(stack: string): Place[] {
  const places: Place[] = [];
  for (const line of stack.split("\n")) {
    const match = FRAME.exec(line);
    if (match === null) continue;
    const file = decodeURI(match[1] ?? "");
    if (file.startsWith("node_modules/")) continue;
    places.push({ file, line: Number(match[2]), column: Number(match[3]) });
  }
  return places;
}
