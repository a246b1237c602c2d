//! `client.runs`: look at runs, follow them, cancel them.
import { ConnectionError } from "../errors.ts";
import { follow } from "../internal/follow.ts";
import type { Http, Query, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { type FinishedRun, isFinished, type LogItem, type Run, type RunEvent } from "./run-types.ts";

/** Which runs. */
export interface ListRunsOptions extends PageOptions, RequestOptions {
  readonly sessionId?: string | undefined;
  readonly status?: Run["status"] | undefined;
}

/** How to wait for a run's end. */
export interface WaitForRunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Gives up after it with code `timeout`; the run goes on. Without end when absent. */
  readonly timeoutMs?: number | undefined;
}

/** From where on to read or follow. */
export interface GrowingOptions extends PageOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Something of a run that grows: its events or its log. */
export interface Growing<T> {
  /** A page, oldest first; iterate it for everything so far. */
  list(options?: GrowingOptions): Listing<T>;
  /** Everything so far and then what comes, until the run has ended. */
  follow(options?: Omit<GrowingOptions, "limit">): AsyncIterable<T>;
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
      for await (const event of this.#events(id, { signal })) {
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
   * What happened in a run.
   *
   * @example for await (const event of client.runs.events(id).follow()) console.log(event.kind);
   */
  events(id: string): Growing<RunEvent> {
    return {
      list: (options = {}) => this.#list<RunEvent>(["runs", id, "events"], {}, options),
      follow: (options = {}) => this.#events(id, options),
    };
  }

  /** What a run printed and logged; `stream` chooses one of the three. */
  logs(id: string, only: { readonly stream?: LogItem["stream"] | undefined } = {}): Growing<LogItem> {
    const path = ["runs", id, "logs"];
    return {
      list: (options = {}) => this.#list<LogItem>(path, { stream: only.stream }, options),
      follow: ({ cursor, signal } = {}) =>
        follow<LogItem>(this.#http, { path, query: { stream: only.stream, cursor }, signal }),
    };
  }

  #events(
    id: string,
    { cursor, signal }: Omit<GrowingOptions, "limit">,
  ): AsyncGenerator<RunEvent, void, undefined> {
    return follow(this.#http, { path: ["runs", id, "events"], query: { cursor }, signal });
  }

  #list<T>(path: readonly string[], query: Query, { limit, cursor, signal }: GrowingOptions): Listing<T> {
    return new Listing(cursor, (at) =>
      this.#http.get<Page<T>>(path, { ...query, limit, cursor: at }, { signal }),
    );
  }
}

function late(id: string, timeoutMs: number | undefined): ConnectionError {
  return new ConnectionError({
    status: 0,
    code: "timeout",
    message: `run ${id} did not end within ${timeoutMs} ms`,
  });
}
