//! Errors that the in-task APIs throw.
import type { JsonValue } from "../internal/json.ts";
import type { SchemaIssue } from "../internal/schema.ts";

/** A call made where it cannot work; the message says where it belongs. */
export class MisplacedCallError extends Error {
  override readonly name = "MisplacedCallError";
}

/** A second blocking wait was started while one was active. Await the first before starting the next. */
export class ConcurrentWaitError extends Error {
  override readonly name: string = "ConcurrentWaitError";

  constructor(active: string, refused: string) {
    super(
      `${refused} cannot start while ${active} is active: a run can be in one blocking wait at a time. ` +
        "Await the current wait first, or use once() or on() for input that should not block.",
    );
  }
}

/**
 * Why a run stops:
 * - `cancelled`: somebody cancelled the run
 * - `session_cancelled`: somebody cancelled its session
 * - `session_expired`: its session reached its `expiresAt`
 * - `max_duration`: it has used its `maxDuration`
 */
export type StopCode = "cancelled" | "session_cancelled" | "session_expired" | "max_duration";

/**
 * The run is being stopped. It is also the reason of `ctx.signal`; the message is what whoever cancelled it said.
 */
export class RunStoppedError extends Error {
  override readonly name = "RunStoppedError";
  readonly code: StopCode;

  constructor(code: StopCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The server refused an operation of the task. */
export class OperationError extends Error {
  override readonly name = "OperationError";
  readonly code: string;
  readonly details?: JsonValue;

  constructor(code: string, message: string, details?: JsonValue) {
    super(message);
    this.code = code;
    if (details !== undefined) this.details = details;
  }
}

/** Data did not match the schema of a stream. */
export class SchemaMismatchError extends Error {
  override readonly name = "SchemaMismatchError";
  readonly code = "schema_mismatch";
  readonly issues: readonly SchemaIssue[];

  constructor(message: string, issues: readonly SchemaIssue[]) {
    super(message);
    this.issues = issues;
  }
}

/** Why a wait ended without data. */
export interface WaitFailure {
  /**
   * - `timeout`: the wait's own timeout passed
   * - `expired`: the token's timeout passed
   * - `cancelled`: the token, or the wait, was cancelled
   * - `forked`: the machine was forked and the token stayed with the original
   * - `schema_mismatch`: data came, but did not match the schema; `issues` has the paths
   */
  readonly code: "timeout" | "expired" | "cancelled" | "forked" | "schema_mismatch";
  readonly message: string;
  readonly issues?: readonly SchemaIssue[];
}

/** Thrown by `.unwrap()` when a wait ended without data. */
export class WaitError extends Error {
  override readonly name = "WaitError";
  readonly code: WaitFailure["code"];
  readonly issues: readonly SchemaIssue[];

  constructor(failure: WaitFailure) {
    super(failure.message);
    this.code = failure.code;
    this.issues = failure.issues ?? [];
  }
}
