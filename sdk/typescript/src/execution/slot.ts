//! The place where the in-sandbox runtime leaves the running execution for the in-task APIs to find.
//!
//! It is a well-known symbol on the global object, not a module variable, because a bundle may hold two copies
//! of this package (the bundler's runtime and the project's own) and both must meet.
import type { JsonObject, JsonValue } from "../internal/json.ts";
import { MisplacedCallError } from "./errors.ts";

/** How a wait ended, as the server decided it. */
export type Outcome =
  | { readonly ok: true; readonly data: JsonValue }
  | {
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string; readonly details?: JsonValue };
    };

/** What became of a wait that was dropped: it is gone, or it had its answer already, or the server cannot drop waits. */
export type Dropped = "dropped" | "answered" | "unsupported";

/** A wait that the server was told of. */
export interface OpenWait {
  readonly outcome: Promise<Outcome>;
  /** Ends the wait. Unless it had its answer already, it will have none. */
  drop(): Promise<Dropped>;
  /** Ends the hold of a wait that was opened with `hold` and has its answer: the run need not stay active for it. */
  release(): void;
  /** Says that the task has what the wait brought. What nobody has taken at the run's end goes back to the session. */
  taken(): void;
}

/** A log entry on its way to the run's log. */
export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields?: JsonObject;
}

/** What the in-task APIs need of the runtime. */
export interface Execution {
  /** `loading` while modules are imported, `running` inside `run`, `ended` afterwards. */
  readonly phase: "loading" | "running" | "ended";
  /** Performs an operation; resolves when the server has it. */
  call(op: string, args: JsonObject): Promise<JsonValue>;
  /** Waits for an outcome. The run parks meanwhile; only one such wait may be active. */
  wait(args: JsonObject): Promise<Outcome>;
  /**
   * Begins a wait. A blocking one is as that of `wait()`; another one keeps the run active.
   *
   * @throws ConcurrentWaitError for a second blocking wait; the reason of the run's stop.
   */
  open(args: JsonObject, blocking: boolean): OpenWait;
  /** Writes a log entry. Never fails. */
  log(entry: LogEntry): void;
  /** Metadata as the server last told it. */
  metadata(): JsonObject;
  /** Fails the run with an error that nobody awaits. */
  raise(error: unknown): void;
}

const SLOT: unique symbol = Symbol.for("@helmr/sdk/execution") as never;

interface Holder {
  [SLOT]?: Execution | undefined;
}

/** Puts an execution in place, or takes it away with `undefined`. */
export function installExecution(execution: Execution | undefined): void {
  (globalThis as Holder)[SLOT] = execution;
}

/** The execution in this process, if there is one. */
export function currentExecution(): Execution | undefined {
  return (globalThis as Holder)[SLOT];
}

/**
 * The running execution, for a call that makes sense only inside `run`.
 *
 * @param elsewhere what to use outside of a task, as the end of a sentence.
 * @throws MisplacedCallError when no task is running here.
 */
export function requireExecution(call: string, elsewhere?: string): Execution {
  const execution = currentExecution();
  const hint = elsewhere === undefined ? "" : ` Elsewhere, ${elsewhere}.`;
  if (execution === undefined) {
    throw new MisplacedCallError(`${call} works only inside a task's run function.${hint}`);
  }
  if (execution.phase === "loading") {
    throw new MisplacedCallError(
      `${call} was called while the module was loading; move it into the task's run function.${hint}`,
    );
  }
  return execution;
}
