//! `client.runs`: look at runs, follow them, cancel them, run them again.
import { ConnectionError } from "../errors.ts";
import type { CreateOptions, Http, Query, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { type Growing, growing } from "./growing.ts";
import { type FinishedRun, isFinished, type LogItem, type Run, type RunEvent } from "./run-types.ts";

/** Which runs. */
export interface ListRunsOptions extends PageOptions, RequestOptions {
  readonly sessionId?: string | undefined;
  readonly status?: Run["status"] | undefined;
  /** The task's id. */
  readonly task?: string | undefined;
}

/** Which part of a log. */
export interface LogFilter {
  readonly stream?: LogItem["stream"] | undefined;
  /** From this byte of `stdout` or `stderr` on; `stream` says of which. */
  readonly offset?: number | undefined;
}

/** How to wait for a run's end. */
export interface WaitForRunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Gives up after it with code `timeout`; the run goes on. Without end when absent. */
  readonly timeoutMs?: number | undefined;
}

const FINAL_EVENTS: ReadonlySet<string> = new Set([
  "run.succeeded",
  "run.failed",
  "run.cancelled",
  "run.expired",
]);

/** Runs. */
export class Runs {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Looks a run up. */
  async get(id: string, options: RequestOptions = {}): Promise<Run> {
    return (await this.#http.get<{ run: Run }>(["runs", id], {}, options)).run;
  }

  /** Lists runs, newest first. */
  list(options: ListRunsOptions = {}): Listing<Run> {
    const { signal, timeoutMs, cursor, ...query } = options;
    return new Listing(cursor, (at) =>
      this.#http.get<Page<Run>>(["runs"], toWire({ ...query, cursor: at }) as Query, { signal, timeoutMs }),
    );
  }

  /**
   * Waits until a run has ended. It follows the run's events; nothing polls.
   *
   * @throws HelmrError `timeout` when `timeoutMs` passed first.
   * @example const run = await client.runs.wait(id, { timeoutMs: 60_000 });
   */
  async wait(id: string, options: WaitForRunOptions = {}): Promise<FinishedRun> {
    const signals = [
      options.signal,
      options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs),
    ];
    const signal = AbortSignal.any(signals.filter((given) => given !== undefined));
    try {
      for await (const event of this.events(id).follow({ signal })) {
        if (FINAL_EVENTS.has(event.kind)) break;
      }
      const run = await this.get(id, { signal });
      if (isFinished(run)) return run;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (signal.aborted) throw late(id, options.timeoutMs);
      throw error;
    }
    throw new ConnectionError({
      status: 0,
      code: "invalid_response",
      message: `run ${id} ended without a final status`,
    });
  }

  /** Asks a run to end. Repeating it is fine. */
  async cancel(
    id: string,
    options: RequestOptions & { readonly reason?: string | undefined } = {},
  ): Promise<Run> {
    const { reason, ...request } = options;
    return (await this.#http.post<{ run: Run }>(["runs", id, "cancel"], toWire({ reason }), request)).run;
  }

  /**
   * Starts a new run of the session of a run that has ended, with the same payload.
   *
   * @throws HelmrError `session_run_active` while another run of the session is active, `session_ended`.
   */
  async retry(id: string, options: CreateOptions = {}): Promise<Run> {
    return (await this.#http.create<{ run: Run }>(["runs", id, "retry"], {}, options)).run;
  }

  /**
   * What happened in a run.
   *
   * @example for await (const event of client.runs.events(id).follow()) console.log(event.kind);
   */
  events(id: string): Growing<RunEvent> {
    return growing(this.#http, () => Promise.resolve(["runs", id, "events"]), {});
  }

  /** What a run printed and logged; `stream` chooses one of the three. */
  logs(id: string, filter: LogFilter = {}): Growing<LogItem> {
    const { stream, offset } = filter;
    return growing(this.#http, () => Promise.resolve(["runs", id, "logs"]), { stream, offset });
  }
}

function late(id: string, timeoutMs: number | undefined): ConnectionError {
  return new ConnectionError({
    status: 0,
    code: "timeout",
    message: `run ${id} did not end within ${timeoutMs} ms`,
  });
}
