//! Waits for input that the task has left: `off()` was called, or the signal of `once()` aborted.
//!
//! The server is told to drop such a wait, so that it takes no record and does not keep the run active. A record that
//! was on its way already is kept for the stream's next taker; if the run ends before one comes, the session has it back.
import { isJsonObject } from "../internal/json.ts";
import type { Dropped, OpenWait, Outcome } from "./slot.ts";

/** What a wait brings when it ends with data. */
type Arrived = Extract<Outcome, { ok: true }>;

interface Leftover {
  readonly correlationId: string | undefined;
  readonly wait: OpenWait;
  /** The server's answer to the drop. */
  readonly dropped: Promise<Dropped>;
}

/** The waits on one stream that were left. */
export class Leftovers {
  readonly #all = new Set<Leftover>();

  /** Whether the next taker has to look here first. */
  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /** Drops a wait. */
  leave(wait: OpenWait, correlationId: string | undefined): void {
    wait.outcome.catch(() => undefined);
    const leftover: Leftover = { correlationId, wait, dropped: wait.drop() };
    this.#all.add(leftover);
    leftover.dropped.then(
      (dropped) => {
        if (dropped === "dropped") this.#all.delete(leftover);
      },
      () => this.#all.delete(leftover),
    );
  }

  /** A record that came to a wait that was left, and fits. Nothing when there is none, or it is not wanted any more. */
  async take(
    correlationId: string | undefined,
    timeoutMs: number | undefined,
    isWanted: () => boolean,
  ): Promise<Outcome | undefined> {
    for (const leftover of this.#all) {
      const dropped = await leftover.dropped.catch(() => "dropped" as const);
      if (!isWanted()) return undefined;
      // Another taker may have been here meanwhile.
      if (dropped === "dropped" || !this.#all.has(leftover)) continue;
      if (dropped === "unsupported") {
        // The server goes on with that wait: only who wants the same can have it.
        if (leftover.correlationId !== correlationId) continue;
        this.#all.delete(leftover);
        return this.#takeOver(leftover, timeoutMs);
      }
      const outcome = await leftover.wait.outcome.catch(() => undefined);
      if (!isWanted()) return undefined;
      if (outcome?.ok !== true) this.#all.delete(leftover);
      else if (fits(outcome, correlationId) && this.#all.delete(leftover)) {
        leftover.wait.taken();
        return outcome;
      }
    }
    return undefined;
  }

  /** Records that came to waits that were left, which the server counts as read. */
  async records(correlationId: string | undefined): Promise<Arrived[]> {
    const found: Arrived[] = [];
    for (const { dropped, wait } of this.#all) {
      if ((await dropped.catch(() => undefined)) !== "answered") continue;
      const outcome = await wait.outcome.catch(() => undefined);
      if (outcome?.ok === true && fits(outcome, correlationId)) found.push(outcome);
    }
    return found;
  }

  /** Waits on under a timeout of its own; at the timeout the wait is left again. */
  async #takeOver(leftover: Leftover, timeoutMs: number | undefined): Promise<Outcome> {
    const { outcome } = leftover.wait;
    if (timeoutMs === undefined) return taken(leftover.wait, await outcome);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), Math.min(timeoutMs, 2 ** 31 - 1));
    });
    try {
      const first = await Promise.race([outcome, late]);
      if (first !== "late") return taken(leftover.wait, first);
      this.#all.add(leftover);
      return { ok: false, error: { code: "timeout", message: `no input within ${timeoutMs} ms` } };
    } finally {
      clearTimeout(timer);
    }
  }
}

function taken(wait: OpenWait, outcome: Outcome): Outcome {
  wait.taken();
  return outcome;
}

function fits(outcome: Arrived, correlationId: string | undefined): boolean {
  if (correlationId === undefined) return true;
  return isJsonObject(outcome.data) && outcome.data.correlation_id === correlationId;
}
