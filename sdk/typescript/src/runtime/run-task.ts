//! One run from its first message to its end: load, check, run, tell.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { TaskContext } from "../authoring/context.ts";
import { type TaskDefinition, taskDefinition } from "../authoring/task.ts";
import { encodeJson, isJsonObject, JsonError, type JsonObject, type JsonValue } from "../internal/json.ts";
import { check, issuesText } from "../internal/schema.ts";
import type { Channel } from "./channel.ts";
import { type Failure, failureOf } from "./failure.ts";
import { Identity } from "./identity.ts";
import type { TaskExecution } from "./task-execution.ts";

const OUTPUT_LIMIT = 4 * 1024 * 1024;

/** The first message of the worker. */
export interface Init {
  readonly bundle: string;
  readonly entry: { readonly module: string; readonly export: string };
  readonly payload: JsonValue | undefined;
  readonly context: JsonObject;
  readonly identity: Identity;
  readonly metadata: JsonObject;
}

/** How a run ended: the JSON text of its output (nothing when it gave none), or its failure. */
export type Ending =
  | { readonly ok: true; readonly output: string | undefined }
  | { readonly ok: false; readonly failure: Failure };

/**
 * Reads the first message.
 *
 * @throws Error when this runtime does not speak the worker's protocol.
 */
export function readInit(document: JsonObject): Init {
  if (document.type !== "init" || document.protocol !== 1) {
    throw new Error(
      `this runtime speaks protocol 1 and got ${JSON.stringify(document.type)} of protocol ${String(document.protocol)}`,
    );
  }
  const entry = section(document, "entry");
  return {
    bundle: String(document.bundle),
    entry: { module: String(entry.module), export: String(entry.export) },
    payload: document.has_payload === true ? (document.payload ?? null) : undefined,
    context: section(document, "context"),
    identity: new Identity(section(document, "context")),
    metadata: section(document, "metadata"),
  };
}

/** Runs the task of `init`. Never rejects. */
export async function runTask(init: Init, execution: TaskExecution, channel: Channel): Promise<Ending> {
  const fail = (kind: Failure["kind"], error: unknown): Ending => ({
    ok: false,
    failure: failureOf(kind, error),
  });
  let task: TaskDefinition;
  try {
    task = await load(init);
  } catch (error) {
    return fail("task_error", error);
  }

  let payload: unknown;
  try {
    const checked = await checkPayload(task, init.payload);
    if (!checked.ok) return fail("payload_invalid", checked.fault);
    payload = checked.payload;
  } catch (error) {
    return fail("payload_invalid", error);
  }

  let output: unknown;
  try {
    channel.send(JSON.stringify({ type: "started" }));
    execution.phase = "running";
    output = await task.run(payload, contextOf(init.context, execution.signal, init.identity));
  } catch (error) {
    return fail("task_error", error);
  }

  if (output === undefined) return { ok: true, output: undefined };
  try {
    return { ok: true, output: encodeJson(output, "the run's output", OUTPUT_LIMIT) };
  } catch (error) {
    return fail("output_invalid", error instanceof JsonError ? plain(error) : error);
  }
}

async function load(init: Init): Promise<TaskDefinition> {
  const url = pathToFileURL(join(init.bundle, init.entry.module)).href;
  const module = (await import(url)) as Readonly<Record<string, unknown>>;
  const definition = taskDefinition(module[init.entry.export]);
  if (definition === undefined) {
    throw new Error(`${init.entry.module} has no task as its export "${init.entry.export}"`);
  }
  return definition;
}

type CheckedPayload =
  | { readonly ok: true; readonly payload: unknown }
  | { readonly ok: false; readonly fault: Error };

async function checkPayload(task: TaskDefinition, payload: JsonValue | undefined): Promise<CheckedPayload> {
  if (task.schedule !== undefined) return { ok: true, payload };
  if (task.payload === undefined) {
    if (payload === undefined) return { ok: true, payload };
    return { ok: false, fault: plain(new TypeError(`task "${task.settings.id}" takes no payload`)) };
  }
  const checked = await check(task.payload, payload);
  if (checked.ok) return { ok: true, payload: checked.value };
  const message = `the payload does not match the schema of task "${task.settings.id}": ${issuesText(checked.issues)}`;
  return { ok: false, fault: plain(new TypeError(message)) };
}

/** Drops a stack that shows nothing of the task. */
function plain<E extends Error>(error: E): E {
  error.stack = `${error.name}: ${error.message}`;
  return error;
}

function contextOf(wire: JsonObject, signal: AbortSignal, identity: Identity): TaskContext {
  const { run, task, workspace, deployment, attempt } = {
    run: section(wire, "run"),
    task: section(wire, "task"),
    workspace: section(wire, "workspace"),
    deployment: section(wire, "deployment"),
    attempt: section(wire, "attempt"),
  };
  const number = Number(attempt.number ?? run.attempt_number ?? 1);
  return Object.freeze({
    signal,
    run: Object.freeze({
      get id() {
        return identity.run;
      },
      attemptNumber: Number(run.attempt_number ?? number),
      reason: String(run.reason ?? "start"),
    }),
    task: Object.freeze({ id: String(task.id) }),
    session: Object.freeze(sessionOf(identity)),
    workspace: Object.freeze({
      get id() {
        return identity.workspace;
      },
      path: String(workspace.path),
    }),
    deployment: Object.freeze({ id: String(deployment.id), version: String(deployment.version) }),
    attempt: Object.freeze({ number }),
  });
}

/** The session as `ctx` gives it: with an external id only if it has one. */
function sessionOf(identity: Identity): TaskContext["session"] {
  const session = {
    get id() {
      return identity.session;
    },
  };
  if (identity.externalId === undefined) return session;
  return Object.defineProperty(session, "externalId", { enumerable: true, get: () => identity.externalId });
}

function section(wire: JsonObject, name: string): JsonObject {
  const value = wire[name];
  return isJsonObject(value) ? value : {};
}
