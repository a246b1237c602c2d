//! `task`: a unit of work with an id, a sandbox, a payload schema and a run function.
import { declare } from "../internal/declarations.ts";
import type { Duration } from "../internal/duration.ts";
import type { Schema, SchemaInput, SchemaOutput } from "../internal/schema.ts";
import type { TaskContext } from "./context.ts";
import type { Queue } from "./queue.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SecretPlacement } from "./secret.ts";

/** When a failed attempt is followed by another. */
export interface RetryOptions {
  /** 1 to 10, the first one included. */
  readonly maxAttempts: number;
  readonly backoff?:
    | {
        readonly min?: Duration | undefined;
        readonly max?: Duration | undefined;
        /** How much longer each pause is than the one before. */
        readonly factor?: number | undefined;
        /** Varies the pauses, so that many runs do not come back at once. */
        readonly jitter?: boolean | undefined;
      }
    | undefined;
}

/** What every task may say about itself. */
export interface TaskSettings<Id extends string = string> {
  /** Unique in the project; `^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`. */
  readonly id: Id;
  /** The default sandbox (`node:24-bookworm-slim` at `/workspace`) when absent. */
  readonly sandbox?: Sandbox | undefined;
  /** Seconds of running, without the time spent waiting: 5 to 86,400; 900 when absent. */
  readonly maxDuration?: number | undefined;
  readonly queue?: Queue | undefined;
  /** A run that is still queued after it expires. */
  readonly ttl?: Duration | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly secrets?: readonly SecretPlacement[] | undefined;
}

/** A task without a payload. */
export interface TaskOptions<Id extends string, Output> extends TaskSettings<Id> {
  readonly payload?: undefined;
  readonly run: (payload: undefined, ctx: TaskContext) => Output;
}

/** A task with a payload. */
export interface PayloadTaskOptions<Id extends string, S extends Schema, Output> extends TaskSettings<Id> {
  /** Checked when the task is started and again before `run`. */
  readonly payload: S;
  readonly run: (payload: SchemaOutput<S>, ctx: TaskContext) => Output;
}

/** How a task runs by the clock. */
export interface ScheduleSettings {
  /** Five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. */
  readonly cron: string;
  /** An IANA zone; UTC when absent. */
  readonly timezone?: string | undefined;
  /** What a fire does while the last run is unfinished; `skip` when absent. */
  readonly overlap?: "allow" | "skip" | "queue" | undefined;
  /** What happens to fires that were missed; `none` when absent. */
  readonly catchUp?: "none" | "last" | undefined;
}

/** What the runtime and the bundler read of a task. */
export interface TaskDefinition {
  readonly settings: TaskSettings;
  readonly payload: Schema | undefined;
  readonly schedule: ScheduleSettings | undefined;
  readonly run: (payload: unknown, ctx: TaskContext) => unknown;
}

/** The key under which a task keeps its definition, the same in every copy of this package. */
const DEFINITION: unique symbol = Symbol.for("@helmr/sdk/task") as never;

/** Carries the types of a task; there is no value behind it. */
declare const TYPES: unique symbol;

/**
 * A task. Start it with `client.sessions.start(task, payload)`; its types come along.
 *
 * `PayloadInput` is what callers send, `PayloadOutput` what `run` gets, `Output` what the run gives.
 */
export interface Task<
  Id extends string = string,
  PayloadInput = unknown,
  PayloadOutput = unknown,
  Output = unknown,
> {
  readonly kind: "task";
  readonly id: Id;
  readonly [TYPES]?: {
    readonly input: PayloadInput;
    readonly payload: PayloadOutput;
    readonly output: Output;
  };
}

export function task<const Id extends string, S extends Schema, Output>(
  options: PayloadTaskOptions<Id, S, Output>,
): Task<Id, SchemaInput<S>, SchemaOutput<S>, Awaited<Output>>;
export function task<const Id extends string, Output>(
  options: TaskOptions<Id, Output>,
): Task<Id, undefined, undefined, Awaited<Output>>;
/**
 * Declares a task. Export it from a module in one of the project's `dirs`.
 *
 * @example
 * export const reviewPr = task({
 *   id: "review-pr",
 *   payload: z.object({ prNumber: z.number() }),
 *   run: async (payload, ctx) => ({ reviewed: payload.prNumber }),
 * });
 */
export function task(
  options: TaskOptions<string, unknown> | PayloadTaskOptions<string, Schema, unknown>,
): Task {
  const { run, payload, ...settings } = options;
  return defineTask({ settings, payload, schedule: undefined, run: run as TaskDefinition["run"] }, "task()");
}

/** Makes the task object; shared with scheduled tasks. */
export function defineTask(definition: TaskDefinition, call: string): Task {
  if (typeof definition.run !== "function") {
    throw new TypeError(`${call} ${JSON.stringify(definition.settings.id)} needs a run function`);
  }
  const made: Task & { readonly [DEFINITION]: TaskDefinition } = {
    kind: "task",
    id: definition.settings.id,
    [DEFINITION]: Object.freeze({ ...definition, settings: Object.freeze(definition.settings) }),
  };
  Object.freeze(made);
  declare("task", made);
  return made;
}

/** The definition of a task, or nothing when the value is no task. */
export function taskDefinition(value: unknown): TaskDefinition | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as { readonly [DEFINITION]?: TaskDefinition })[DEFINITION];
}
