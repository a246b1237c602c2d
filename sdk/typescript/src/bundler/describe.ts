//! Turns declared tasks, sandboxes and streams into the index that the server stores, and finds their faults.
//!
//! The definitions are read without trust in their types: a project may be plain JavaScript.
import type { SecretPlacement } from "../authoring/secret.ts";
import type { TaskDefinition } from "../authoring/task.ts";
import { type Duration, durationMs } from "../internal/duration.ts";
import type { JsonObject } from "../internal/json.ts";
import { nameFault } from "../internal/names.ts";
import { isSchema, jsonSchema, type Schema } from "../internal/schema.ts";
import { describeSandbox, type SandboxEntry } from "./describe-sandbox.ts";

/** What is wrong, without the place, which the caller knows. */
export interface Complaint {
  readonly code: string;
  readonly message: string;
}

/** Collects complaints while a definition is read. */
export type Complain = (code: string, message: string) => void;

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

const PLACEMENTS = ["env", "file", "dir"] as const;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Describes secret placements: each names a secret and exactly one place. */
export function describeSecrets(secrets: readonly SecretPlacement[], complain: Complain): JsonObject[] {
  const taken = new Set<string>();
  return secrets.map((secret) => {
    const wild = secret as unknown as Readonly<Record<string, unknown>>;
    const bad = nameFault("secret", wild.name);
    if (bad !== undefined) complain("secret_invalid", bad);
    const name = String(wild.name);
    const used = PLACEMENTS.filter((placement) => wild[placement] !== undefined);
    const [placement] = used;
    const unknown = Object.keys(wild).filter((key) => !["name", "mode", ...PLACEMENTS].includes(key));
    if (placement === undefined || used.length > 1 || unknown.length > 0) {
      const got = [...used, ...unknown].join(", ") || "nothing";
      complain(
        "secret_placement_unknown",
        `secret "${name}" must be placed by one of env, file or dir, not by ${got}`,
      );
      return { name };
    }
    const target = wild[placement];
    const fits =
      typeof target === "string" && (placement === "env" ? VARIABLE.test(target) : target.startsWith("/"));
    if (!fits) {
      const rule = placement === "env" ? "a variable name" : "an absolute path";
      complain(
        "secret_placement_invalid",
        `the ${placement} of secret "${name}" must be ${rule}, not ${JSON.stringify(target)}`,
      );
    }
    if (taken.has(`${placement}:${String(target)}`)) {
      complain(
        "secret_placement_conflict",
        `two secrets are placed at ${placement} ${JSON.stringify(target)}`,
      );
    }
    taken.add(`${placement}:${String(target)}`);
    return { name, [placement]: String(target), ...modeOf(wild.mode, placement, name, complain) };
  });
}

function modeOf(mode: unknown, placement: string, name: string, complain: Complain): { mode?: number } {
  if (mode === undefined) return {};
  if (
    placement !== "env" &&
    typeof mode === "number" &&
    Number.isInteger(mode) &&
    mode >= 0 &&
    mode <= 0o777
  ) {
    return { mode };
  }
  complain("secret_placement_invalid", `the mode of secret "${name}" must be file permissions such as 0o400`);
  return {};
}
