//! `schedules`: tasks that start by the clock.

import type { TaskContext } from "./context.ts";
import {
  defineTask,
  type ScheduleSettings,
  type Task,
  type TaskDefinition,
  type TaskSettings,
} from "./task.ts";

/** What a scheduled run is told. Times are RFC 3339. */
export interface SchedulePayload {
  /** When this run was due. */
  readonly timestamp: string;
  /** When the run before was due. */
  readonly lastTimestamp?: string;
  readonly timezone: string;
  readonly scheduleId: string;
  readonly scheduleType: "declarative" | "imperative";
  readonly externalId?: string;
  /** The next five times. */
  readonly upcoming: readonly string[];
}

/** A task that runs by the clock. It declares no payload of its own. */
export interface ScheduledTaskOptions<Id extends string, Output> extends TaskSettings<Id>, ScheduleSettings {
  readonly run: (payload: SchedulePayload, ctx: TaskContext) => Output;
}

/**
 * Declares a task that runs by the clock.
 *
 * @example
 * export const nightly = schedules.task({ id: "nightly", cron: "0 3 * * *", run: async (payload) => payload.timestamp });
 */
function scheduledTask<const Id extends string, Output>(
  options: ScheduledTaskOptions<Id, Output>,
): Task<Id, SchedulePayload, SchedulePayload, Awaited<Output>> {
  const { run, cron, timezone, overlap, catchUp, ...settings } = options;
  const schedule: ScheduleSettings = { cron, timezone, overlap, catchUp };
  const made = defineTask(
    { settings, payload: undefined, schedule, run: run as TaskDefinition["run"] },
    "schedules.task()",
  );
  return made as Task<Id, SchedulePayload, SchedulePayload, Awaited<Output>>;
}

/** Tasks that start by the clock. */
export const schedules = { task: scheduledTask } as const;
