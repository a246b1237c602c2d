//! `timers`: durable sleeps. The run parks and no compute is used while it sleeps.
import { type Duration, durationMs } from "../internal/duration.ts";
import type { JsonObject } from "../internal/json.ts";
import { requireExecution } from "./slot.ts";
import { failureOf, WaitHandle, type WaitResult } from "./wait-handle.ts";

/** Options of a time wait. */
export interface TimerOptions {
  /** How long the machine stays live before it parks; the environment's hot window when absent. */
  readonly idleTimeout?: Duration | undefined;
}

/**
 * Resumes after a duration.
 *
 * @example await timers.waitFor("10m");
 */
function waitFor(duration: Duration, options: TimerOptions = {}): WaitHandle<void> {
  const args: JsonObject = { duration_ms: durationMs(duration, "the duration of timers.waitFor()") };
  return timer("timers.waitFor()", args, options);
}

/**
 * Resumes at a point in time; at once when it has passed.
 *
 * @example await timers.waitUntil(new Date("2026-06-01T00:00:00Z"));
 */
function waitUntil(time: Date | number | string, options: TimerOptions = {}): WaitHandle<void> {
  const due = new Date(time).getTime();
  if (Number.isNaN(due)) {
    throw new RangeError(`timers.waitUntil() needs a point in time, not ${JSON.stringify(time)}`);
  }
  return timer("timers.waitUntil()", { due_at_ms: due }, options);
}

function timer(call: string, due: JsonObject, options: TimerOptions): WaitHandle<void> {
  const args: JsonObject = { kind: "timer", ...due };
  if (options.idleTimeout !== undefined) {
    args.idle_timeout_ms = durationMs(options.idleTimeout, "idleTimeout");
  }
  return new WaitHandle(async (): Promise<WaitResult<void>> => {
    const outcome = await requireExecution(call).wait(args);
    return outcome.ok ? { ok: true, data: undefined } : { ok: false, error: failureOf(outcome.error) };
  });
}

/** Durable sleeps. */
export const timers = { waitFor, waitUntil } as const;
