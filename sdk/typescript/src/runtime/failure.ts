//! How a run's failure is told to the worker.
import { inspect } from "node:util";
import { SOURCE_PREFIX } from "../internal/source-prefix.ts";

/** Why a run failed, as far as the runtime can know. */
export type FailureKind = "task_error" | "task_exited" | "disk_full" | "payload_invalid" | "output_invalid";

/** A failure on its way to the worker. */
export interface Failure {
  readonly kind: FailureKind;
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

const MESSAGE_LIMIT = 16 * 1024;
const STACK_LIMIT = 64 * 1024;

const FULL_DISK =
  "the machine's disk is full: remove files, or give the sandbox a larger one with resources({ disk })";

/** Describes anything that was thrown. */
export function failureOf(kind: FailureKind, thrown: unknown): Failure {
  if (!(thrown instanceof Error)) {
    return {
      kind,
      name: "Error",
      message: cut(typeof thrown === "string" ? thrown : describe(thrown), MESSAGE_LIMIT),
    };
  }
  const full = kind === "task_error" && isOfFullDisk(thrown);
  const message = cut(String(thrown.message), MESSAGE_LIMIT);
  return {
    kind: full ? "disk_full" : kind,
    name: cut(String(thrown.name), 256),
    message: full ? `${message} (${FULL_DISK})` : message,
    stack: cut(stackOf(thrown), STACK_LIMIT),
  };
}

/** Whether the system said that there is no room, to the error itself or to one that it was made from. */
function isOfFullDisk(error: Error): boolean {
  let at: unknown = error;
  for (let depth = 0; depth < 8 && at instanceof Error; depth++) {
    const code = (at as NodeJS.ErrnoException).code;
    if (code === "ENOSPC" || code === "EDQUOT") return true;
    at = at.cause;
  }
  return false;
}

/** The stack with the stacks of its causes, which Node leaves out of `stack`. */
function stackOf(error: Error): string {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  for (let at: unknown = error; at !== undefined && !seen.has(at) && parts.length < 8; ) {
    seen.add(at);
    const text = at instanceof Error ? String(at.stack) : describe(at);
    parts.push(parts.length === 0 ? text : `caused by: ${text}`);
    at = at instanceof Error ? at.cause : undefined;
  }
  // Source maps name the project's files under a prefix that says nothing to people.
  return parts.join("\n").replaceAll(SOURCE_PREFIX, "");
}

function describe(value: unknown): string {
  try {
    return inspect(value, { depth: 3, breakLength: Number.POSITIVE_INFINITY });
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function cut(text: string, limit: number): string {
  const whole = text.toWellFormed();
  return whole.length > limit ? `${whole.slice(0, limit).toWellFormed()}…` : whole;
}
