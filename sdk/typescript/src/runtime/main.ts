//! The process that runs a task in its sandbox: `node <bundle>/runtime.mjs`, with the channel on descriptor 3.
//!
//! It says exactly once how the run ended, whatever ends it: `run` returning or throwing, an error that nobody
//! caught, `process.exit`, or a promise that can never settle. The task's own stdout and stderr are left alone.
import { RunStoppedError, type StopCode } from "../execution/errors.ts";
import { installExecution } from "../execution/slot.ts";
import { isJsonObject, type JsonObject } from "../internal/json.ts";
import { Channel } from "./channel.ts";
import { installEntropy, reseed } from "./entropy.ts";
import { failureOf } from "./failure.ts";
import type { Identity } from "./identity.ts";
import { type Ending, readInit, runTask } from "./run-task.ts";
import { TaskExecution } from "./task-execution.ts";

const CHANNEL_FD = 3;
/** How long the worker has to take the last messages. */
const DRAIN_MS = 10_000;
/** How long a finished process waits for the worker to close the channel. */
const LINGER_MS = 1_000;

const STOP_CODES: readonly StopCode[] = ["cancelled", "session_cancelled", "session_expired", "max_duration"];

const exit = process.exit.bind(process);
let execution: TaskExecution | undefined;
let identity: Identity | undefined;
let ended = false;

const channel = new Channel(CHANNEL_FD, {
  message: (document) => {
    try {
      receive(document);
    } catch (error) {
      end({ ok: false, failure: failureOf("task_error", error) });
    }
  },
  closed: (fault) => {
    if (ended) return;
    ended = true;
    process.stderr.write(
      `helmr: the channel to the worker ended${fault === undefined ? "" : `: ${fault.message}`}\n`,
    );
    exit(1);
  },
});

process.setSourceMapsEnabled(true);
installEntropy();
process.exit = exitOfTask;
process.on("uncaughtException", (error) => {
  // A task with a handler of its own has decided what such an error means.
  if (process.listenerCount("uncaughtException") === 1) raise(error);
});
process.on("beforeExit", () => {
  const doing = execution?.phase === "running" ? "its run function" : "a module it imports";
  raise(new Error(`The task can never finish: ${doing} awaits a promise that nothing is left to settle.`));
});

function receive(document: JsonObject): void {
  switch (document.type) {
    case "init":
      begin(document);
      return;
    case "answer":
      execution?.answer(document);
      return;
    case "cancel":
      execution?.cancel(stopReason(document));
      return;
    case "resumed":
      reseed(Buffer.from(String(document.reseed ?? ""), "base64"));
      identity?.become(document.ids);
      return;
    default:
      // A newer worker may tell more than this runtime knows; nothing it must obey comes unasked.
      return;
  }
}

function begin(document: JsonObject): void {
  if (execution !== undefined) return;
  const init = readInit(document);
  identity = init.identity;
  execution = new TaskExecution(channel, init.metadata, raise);
  installExecution(execution);
  // From here on only pending calls keep the process alive, so that a task that can never finish shows.
  channel.unref();
  const running = execution;
  runTask(init, running, channel)
    .then(async (ending) => {
      channel.ref();
      await running.settled();
      end(ending);
    })
    .catch(raise);
}

function stopReason(document: JsonObject): RunStoppedError {
  const reason = isJsonObject(document.reason) ? document.reason : {};
  // A newer worker may know more reasons; to the task each of them is a cancellation.
  const code = STOP_CODES.find((known) => known === reason.code) ?? "cancelled";
  return new RunStoppedError(code, String(reason.message || "the run was cancelled"));
}

function raise(error: unknown): void {
  end({ ok: false, failure: failureOf("task_error", error) });
}

/** Says how the run ended and leaves. Only the first ending counts. */
function end(ending: Ending): void {
  if (!tell(ending)) return;
  channel.ref();
  const code = ending.ok ? 0 : 1;
  const leave = () => exit(code);
  const drained = setTimeout(leave, DRAIN_MS);
  channel.drained().then(() => {
    clearTimeout(drained);
    setTimeout(leave, LINGER_MS);
    channel.onceClosed(leave);
  }, leave);
}

function tell(ending: Ending): boolean {
  if (ended) return false;
  ended = true;
  if (execution !== undefined) execution.phase = "ended";
  const untaken = execution?.untaken ?? [];
  const more = untaken.length === 0 ? "" : `,"untaken":${JSON.stringify(untaken)}`;
  if (!ending.ok) channel.send(`{"type":"failed","error":${JSON.stringify(ending.failure)}${more}}`);
  else if (ending.output === undefined) channel.send(`{"type":"finished"${more}}`);
  else channel.send(`{"type":"finished","output":${ending.output}${more}}`);
  return true;
}

/** `process.exit` of the task. It must not return, so the last word is written without the event loop. */
function exitOfTask(code?: number | string | null): never {
  const status = code ?? process.exitCode ?? 0;
  const error = new Error(`the task called process.exit(${status}) before its run function had returned`);
  error.name = "ProcessExitError";
  const first = tell({ ok: false, failure: failureOf("task_exited", error) });
  channel.drainSync(DRAIN_MS);
  return exit(first && Number(status) === 0 ? 1 : status);
}
