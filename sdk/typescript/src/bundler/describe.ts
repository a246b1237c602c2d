//! Turns declared tasks, sandboxes and streams into the index that the server stores, and finds their faults.
//!
//! The definitions are read without trust in their types: a project may be plain JavaScript.
import type { TaskDefinition } from "../authoring/task.ts";
import { type Duration, durationMs } from "../internal/duration.ts";
import type { JsonObject } from "../internal/json.ts";
import { nameFault } from "../internal/names.ts";
import { isSchema, jsonSchema, type Schema } from "../internal/schema.ts";
import type { Complain } from "./complain.ts";
import { describeSandbox, type SandboxEntry } from "./describe-sandbox.ts";
import { describeSecrets } from "./describe-secrets.ts";

/** A task as the index has it. */
export interface TaskEntry {
  readonly id: string;
  readonly sandbox_id: string | null;
  readonly max_duration_seconds: number;
  readonly queue: JsonObject | null;
  readonly ttl: number | null;
  readonly retry: JsonObject | null;
  readonly secrets: JsonObject[];
  readonly payload_schema: JsonObject | null;
  readonly schedule: JsonObject | null;
}

const DEFAULT_MAX_DURATION_SECONDS = 900;

/** Describes a task and the sandbox it names. */
export function describeTask(
  task: TaskDefinition,
  complain: Complain,
): { task: TaskEntry; sandbox: SandboxEntry | undefined } {
  const { settings } = task;
  const bad = nameFault("task", settings.id);
  if (bad !== undefined) complain("task_id_invalid", bad);
  const sandbox = settings.sandbox === undefined ? undefined : describeSandbox(settings.sandbox, complain);
  const entry: TaskEntry = {
    id: String(settings.id),
    sandbox_id: sandbox?.id ?? null,
    max_duration_seconds: maxDuration(settings.maxDuration, complain),
    queue: queueOf(settings.queue, complain),
    ttl: settings.ttl === undefined ? null : milliseconds(settings.ttl, "ttl", complain),
    retry: retryOf(settings.retry, complain),
    secrets: describeSecrets(settings.secrets ?? [], complain),
    payload_schema: task.payload === undefined ? null : describeSchema(task.payload, "the payload", complain),
    schedule: scheduleOf(task, complain),
  };
  return { task: entry, sandbox };
}

/** The JSON Schema of a schema; one that gives none is a fault, because the server could not check with it. */
export function describeSchema(schema: Schema, what: string, complain: Complain): JsonObject | null {
  const code = "schema_without_json_schema";
  if (!isSchema(schema)) {
    complain("schema_invalid", `the schema of ${what} does not follow the Standard Schema specification`);
    return null;
  }
  try {
    const found = jsonSchema(schema);
    if (found !== undefined) return JSON.parse(JSON.stringify(found)) as JsonObject;
    const vendor = schema["~standard"].vendor;
    complain(
      code,
      `the schema of ${what} (${vendor}) gives no JSON Schema, so it could not be checked before a run`,
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    complain(code, `the schema of ${what} cannot be written as JSON Schema: ${reason}`);
  }
  return null;
}

function maxDuration(seconds: number | undefined, complain: Complain): number {
  if (seconds === undefined) return DEFAULT_MAX_DURATION_SECONDS;
  if (Number.isInteger(seconds) && seconds >= 5 && seconds <= 86_400) return seconds;
  complain(
    "max_duration_invalid",
    `maxDuration must be whole seconds from 5 to 86400, not ${JSON.stringify(seconds)}`,
  );
  return DEFAULT_MAX_DURATION_SECONDS;
}

function milliseconds(duration: Duration, what: string, complain: Complain): number | null {
  try {
    return durationMs(duration, what);
  } catch (error) {
    complain("duration_invalid", error instanceof Error ? error.message : String(error));
    return null;
  }
}

function queueOf(queue: TaskDefinition["settings"]["queue"], complain: Complain): JsonObject | null {
  if (queue === undefined) return null;
  const bad = nameFault("queue", queue.name);
  if (bad !== undefined) complain("queue_invalid", bad);
  const limit = queue.concurrencyLimit;
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1)) {
    complain("queue_invalid", `the concurrencyLimit of queue "${queue.name}" must be a whole number from 1`);
  }
  return {
    name: String(queue.name),
    concurrency_limit: limit ?? null,
    concurrency_key: queue.concurrencyKey ?? null,
    priority: queue.priority ?? 0,
  };
}

function retryOf(retry: TaskDefinition["settings"]["retry"], complain: Complain): JsonObject | null {
  if (retry === undefined) return null;
  const attempts = retry.maxAttempts;
  if (!Number.isInteger(attempts) || attempts < 1 || attempts > 10) {
    complain(
      "retry_invalid",
      `retry.maxAttempts must be a whole number from 1 to 10, not ${JSON.stringify(attempts)}`,
    );
  }
  const backoff = retry.backoff ?? {};
  return {
    max_attempts: attempts,
    backoff: {
      min_ms: milliseconds(backoff.min ?? "1s", "retry.backoff.min", complain),
      max_ms: milliseconds(backoff.max ?? "1m", "retry.backoff.max", complain),
      factor: backoff.factor ?? 2,
      jitter: backoff.jitter ?? true,
    },
  };
}

function scheduleOf(task: TaskDefinition, complain: Complain): JsonObject | null {
  const { schedule } = task;
  if (schedule === undefined) return null;
  if (typeof schedule.cron !== "string" || schedule.cron.trim() === "") {
    complain("schedule_invalid", 'a scheduled task needs cron, such as "0 3 * * *" or "@daily"');
  }
  return {
    cron: String(schedule.cron),
    timezone: schedule.timezone ?? "UTC",
    overlap: schedule.overlap ?? "skip",
    catch_up: schedule.catchUp ?? "none",
  };
}
