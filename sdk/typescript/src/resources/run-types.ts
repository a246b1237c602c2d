//! Runs as the API tells of them.
import type { JsonObject, JsonValue } from "../internal/json.ts";

/** What a run waits for. */
export interface PendingWait {
  readonly id: string;
  readonly kind: "stream" | "token" | "timer";
  readonly state: "hot" | "parked" | "resuming";
  readonly tokenId?: string;
  readonly stream?: string;
  readonly correlationId?: string;
  readonly dueAt?: string;
  readonly timeoutAt: string | null;
  readonly createdAt: string;
}

/** Why a run failed. */
export interface RunFailure {
  /** Such as `task_error`, `max_duration`, `out_of_memory` or `worker_lost`. */
  readonly kind: string;
  readonly message: string;
  readonly name?: string;
  readonly stack?: string;
}

/** The queue of a run. */
export interface RunQueue {
  readonly name: string;
  readonly concurrencyLimit: number | null;
  /** The limit counts for each value separately. */
  readonly concurrencyKey: string | null;
}

/** Why a run was asked to stop. */
export interface Cancellation {
  readonly code: "cancelled" | "session_cancelled" | "session_expired";
  /** What was said with it. */
  readonly reason: string | null;
  readonly requestedAt: string;
}

interface RunBase {
  readonly id: string;
  readonly sessionId: string;
  /** Counts the runs of a session from 1. */
  readonly number: number;
  /** The task's id. */
  readonly task: string;
  readonly deploymentId: string;
  readonly deploymentVersion: string;
  readonly workspaceId: string;
  /** Why the run exists, such as `start`, `input` or `retry`. */
  readonly reason: string;
  readonly payload?: JsonValue;
  readonly secretNames: readonly string[];
  readonly maxDurationSeconds: number;
  /** Time spent running, over all attempts; waiting does not count. */
  readonly activeSeconds: number;
  /** Null until a worker has the run. */
  readonly attemptNumber: number | null;
  readonly dispatchAttempts: number;
  readonly placement: { readonly state: string; readonly reason: string | null };
  /** The queue whose limit it counts against; absent for a task without one. */
  readonly queue?: RunQueue;
  /** Higher goes first. */
  readonly priority: number;
  /** While it is queued for another attempt: when that begins. */
  readonly notBefore?: string;
  /** When it expires, if no worker has had it until then. */
  readonly expiresAt?: string;
  /** There from the moment on when somebody asked it to stop. */
  readonly cancellation?: Cancellation;
  readonly exitCode: number | null;
  readonly metadata: JsonObject;
  readonly provenance: JsonValue;
  readonly createdAt: string;
  readonly startedAt: string | null;
}

/** A run that goes on. */
export interface UnfinishedRun extends RunBase {
  readonly status: "queued" | "running" | "waiting";
  readonly pendingWait: PendingWait | null;
  readonly output: null;
  readonly error: null;
  readonly finishedAt: null;
}

/** A run that gave its output. */
export interface SucceededRun<Output = JsonValue> extends RunBase {
  readonly status: "succeeded";
  readonly pendingWait: null;
  readonly output: Output;
  readonly error: null;
  readonly finishedAt: string;
}

/** A run that failed. */
export interface FailedRun extends RunBase {
  readonly status: "failed";
  readonly pendingWait: null;
  readonly output: null;
  readonly error: RunFailure;
  readonly finishedAt: string;
}

/** A run that was stopped, or was queued longer than its `ttl`. */
export interface StoppedRun extends RunBase {
  readonly status: "cancelled" | "expired";
  readonly pendingWait: null;
  readonly output: null;
  readonly error: RunFailure | null;
  readonly finishedAt: string;
}

/** A run that has ended. */
export type FinishedRun<Output = JsonValue> = SucceededRun<Output> | FailedRun | StoppedRun;

/** One execution of a session's task. Its `status` says what else it has. */
export type Run<Output = JsonValue> = UnfinishedRun | FinishedRun<Output>;

/** Whether a run has ended. */
export function isFinished<Output>(run: Run<Output>): run is FinishedRun<Output> {
  return run.status !== "queued" && run.status !== "running" && run.status !== "waiting";
}

/** Something that happened. */
export interface RunEvent {
  /** Give it as `cursor` for what follows. */
  readonly cursor: string;
  readonly at: string;
  /** Such as `run.started` or `wait.created`. */
  readonly kind: string;
  readonly runId: string | null;
  readonly sessionId: string | null;
  readonly workspaceId: string | null;
  readonly attemptNumber: number | null;
  readonly attributes: JsonObject;
}

/** A piece of what a run printed or logged. */
export interface LogItem {
  /** Give it as `cursor` for what follows. */
  readonly cursor: string;
  readonly at: string;
  readonly attemptNumber: number | null;
  readonly stream: "stdout" | "stderr" | "logger";
  /** Of the first byte in its stream; absent for `logger` entries. */
  readonly offset?: number;
  /** The bytes as `encoding` says; for `logger` entries the message. */
  readonly data: string;
  readonly encoding: "utf8" | "base64";
  readonly level?: string;
  readonly fields?: JsonObject;
}
