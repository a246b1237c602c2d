//! Sessions as the API tells of them, and the types that starting one takes from its task.
import type { Task } from "../authoring/task.ts";
import type { StreamRecord } from "../execution/records.ts";
import type { Duration } from "../internal/duration.ts";
import type { CreateOptions, RequestOptions } from "../internal/http.ts";
import type { JsonObject, JsonValue } from "../internal/json.ts";
import type { Run, RunFailure } from "./run-types.ts";

interface SessionBase {
  readonly id: string;
  readonly externalId: string | null;
  /** The task's id. */
  readonly task: string;
  readonly deploymentId: string;
  readonly workspaceId: string;
  readonly currentRunId: string | null;
  readonly metadata: JsonObject;
  readonly tags: readonly string[];
  readonly expiresAt: string | null;
  /** What the last succeeded run returned. */
  readonly result: JsonValue;
  /** Why the last run failed. */
  readonly error: RunFailure | null;
  readonly createdAt: string;
}

/** A task's invocation and its history. */
export type Session =
  | (SessionBase & {
      readonly status: "open";
      readonly activity: "idle" | "queued" | "running" | "waiting";
      readonly endedAt: null;
    })
  | (SessionBase & {
      readonly status: "closed" | "cancelled" | "expired";
      readonly activity: "idle" | "queued" | "running" | "waiting";
      readonly endedAt: string;
    });

/** A stream of a session. */
export interface SessionStream {
  readonly name: string;
  readonly direction: "input" | "output";
  /** How many records it holds: the sequence of the last one. */
  readonly records: number;
  readonly lastRecordAt: string | null;
  /** Of an input stream: how many of them the task has not read. */
  readonly unread: number;
}

/** A record in its place among all the records of its session. */
export interface TranscriptItem extends StreamRecord {
  /** From 1, over all streams. Give it as `cursor` for what follows. */
  readonly position: number;
  readonly direction: "input" | "output";
  readonly stream: string;
  /** The run that appended it; null for input. */
  readonly runId: string | null;
}

/** What may be changed of a session. What is absent stays as it is. */
export interface SessionChanges extends RequestOptions {
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
}

/** How a session is started. */
export interface StartOptions extends CreateOptions {
  /** While a session with this id is open, starting it again with the same task and payload gives that one. */
  readonly externalId?: string | undefined;
  /** Attaches the session to a workspace that exists. */
  readonly workspaceId?: string | undefined;
  /** 5 to 86,400. */
  readonly maxDurationSeconds?: number | undefined;
  /** How long the run may be queued. */
  readonly ttl?: Duration | undefined;
  /** Higher goes first; the queue's own when absent. */
  readonly priority?: number | undefined;
  /** Counts the queue's limit for this value separately. */
  readonly concurrencyKey?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly metadata?: JsonObject | undefined;
  /** When the session ends by itself. */
  readonly expiresAt?: Date | string | undefined;
}

/** A session that was started, or found open. */
export interface StartedSession<Output = JsonValue> {
  readonly session: Session;
  readonly run: Run<Output>;
  /** The session was open already. */
  readonly reused: boolean;
}

/** Anything that names a task: the task object, which brings its types along, or its id. */
export type TaskReference = Task | string;

/** The output of a task as JSON gives it back. */
export type OutputOf<T extends TaskReference> =
  T extends Task<string, infer _In, infer _Out, infer Output> ? JsonOf<Output> : JsonValue;

/** The arguments after the task: a payload where the task takes one, then options. */
export type StartArguments<T extends TaskReference, Options> =
  T extends Task<string, infer Input, infer _Out, infer _Output>
    ? undefined extends Input
      ? [payload?: Input, options?: Options]
      : [payload: Input, options?: Options]
    : [payload?: JsonValue, options?: Options];

/** What is left of a type after it went through JSON. */
export type JsonOf<T> = unknown extends T
  ? JsonValue
  : T extends { toJSON(): infer Written }
    ? JsonOf<Written>
    : T extends string | number | boolean | null
      ? T
      : T extends undefined | undefined
        ? null
        : T extends readonly (infer Item)[]
          ? JsonOf<Item>[]
          : T extends object
            ? {
                [Key in keyof T as T[Key] extends (...args: never[]) => unknown
                  ? never
                  : Key]: JsonOfProperty<T[Key]>;
              }
            : never;

/** An absent property stays absent, where an absent value becomes `null`. */
type JsonOfProperty<T> = T extends undefined ? undefined : JsonOf<T>;
