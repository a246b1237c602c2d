//! Input streams: durable input of a session, read by its task.
//!
//! Every kind of waiting consumes a record when it is delivered to the task; `peek` consumes nothing. A record that is
//! delivered but finds nobody is kept for the next taker, and goes back to the session if the run ends before one comes.
import { type Duration, durationMs } from "../internal/duration.ts";
import type { JsonObject } from "../internal/json.ts";
import { check, issuesText, type Schema } from "../internal/schema.ts";
import { Leftovers } from "./leftovers.ts";
import { checkedRecord, recordFromWire, type StreamRecord } from "./records.ts";
import { type Execution, type OpenWait, type Outcome, requireExecution } from "./slot.ts";
import { failureOf, WaitHandle, type WaitResult } from "./wait-handle.ts";

/** Options of `wait()`. */
export interface InputWaitOptions extends InputFilter {
  /** After it the wait gives `ok: false`, code `timeout`. */
  readonly timeout?: Duration | undefined;
  /** How long the machine stays live before it parks; the environment's hot window when absent. */
  readonly idleTimeout?: Duration | undefined;
}

/** Options of `once()`. */
export interface InputOnceOptions extends InputFilter {
  /** After it the wait gives `ok: false`, code `timeout`. */
  readonly timeout?: Duration | undefined;
  /** Ends the wait when it aborts: the handle throws its reason, and the record goes to the stream's next wait. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `on()`. */
export interface InputOnOptions extends InputFilter {
  /** Does what `off()` does when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** Chooses among the records of a stream. */
export interface InputFilter {
  /** Takes only records sent with this correlation id and leaves the others unread. */
  readonly correlationId?: string | undefined;
}

/** Options of `peek()`. */
export interface PeekOptions extends InputFilter {
  /** At most this many records; 50 when absent. */
  readonly limit?: number | undefined;
}

/** A running `on()`. */
export interface Subscription extends Disposable {
  /** Stops calling the handler. A record already on its way goes to the stream's next wait. */
  off(): void;
}

/** A named lane of durable input. `Input` is what is sent, `Output` what the task gets. */
export interface InputStream<Name extends string = string, Input = unknown, Output = Input> {
  readonly kind: "input";
  /** The stream's name. */
  readonly id: Name;
  readonly schema: Schema<Input, Output> | undefined;
  /**
   * Waits for the next unread record; the run parks meanwhile. For long waits.
   *
   * @example const message = await messages.wait({ timeout: "30m" }).unwrap();
   */
  wait(options?: InputWaitOptions): WaitHandle<Output>;
  /**
   * Waits for the next unread record while the run stays active and uses its compute.
   *
   * It goes on when it loses a race, keeps the run active and takes a record. Give it a signal to end it:
   *
   * @example
   * const lost = new AbortController();
   * const first = await Promise.race([messages.once({ signal: lost.signal }), work()]);
   * lost.abort();
   */
  once(options?: InputOnceOptions): WaitHandle<Output>;
  /** Calls the handler with each record, one after the other, while the run stays active. */
  on(
    handler: (data: Output, record: StreamRecord<Output>) => unknown,
    options?: InputOnOptions,
  ): Subscription;
  /** Unread records, without consuming them. */
  peek(options?: PeekOptions): Promise<readonly StreamRecord<Output>[]>;
}

export class TaskInputStream<Name extends string, Input, Output> implements InputStream<Name, Input, Output> {
  readonly kind = "input";
  readonly id: Name;
  readonly schema: Schema<Input, Output> | undefined;
  readonly #leftovers = new Leftovers();

  constructor(id: Name, schema: Schema<Input, Output> | undefined) {
    this.id = id;
    this.schema = schema;
  }

  wait(options: InputWaitOptions = {}): WaitHandle<Output> {
    return this.#handle("wait", options, undefined, true);
  }

  once(options: InputOnceOptions = {}): WaitHandle<Output> {
    return this.#handle("once", options, options.signal, false);
  }

  on(
    handler: (data: Output, record: StreamRecord<Output>) => unknown,
    options: InputOnOptions = {},
  ): Subscription {
    const execution = requireExecution(`${this.#label}.on()`);
    const stop = new AbortController();
    const off = () => stop.abort();
    if (options.signal?.aborted === true) off();
    else options.signal?.addEventListener("abort", off, { once: true });
    this.#deliver(execution, handler, options.correlationId, stop.signal)
      .catch((error: unknown) => {
        // An ended run has nobody to tell, and a stopped one goes on to clean up: it has its reason in `ctx.signal`.
        if (execution.phase === "running" && error !== stop.signal.reason && !isStop(error)) {
          execution.raise(error);
        }
      })
      .finally(() => options.signal?.removeEventListener("abort", off));
    return { off, [Symbol.dispose]: off };
  }

  async peek(options: PeekOptions = {}): Promise<readonly StreamRecord<Output>[]> {
    const args: JsonObject = { stream: this.id };
    if (options.correlationId !== undefined) args.correlation_id = options.correlationId;
    if (options.limit !== undefined) args.limit = options.limit;
    const execution = requireExecution(`${this.#label}.peek()`);
    const kept = await this.#leftovers.records(options.correlationId);
    const answer = (await execution.call("stream.peek", args)) as JsonObject;
    const unread = (answer.items ?? []) as JsonObject[];
    const items = [...kept.map(({ data }) => data as JsonObject), ...unread].slice(0, options.limit);
    return Promise.all(items.map((item) => checkedRecord(this.id, this.schema, recordFromWire(item))));
  }

  get #label(): string {
    return `streams.input("${this.id}")`;
  }

  #handle(
    verb: string,
    options: InputWaitOptions,
    signal: AbortSignal | undefined,
    blocking: boolean,
  ): WaitHandle<Output> {
    const call = `${this.#label}.${verb}()`;
    const args: JsonObject = { kind: "stream", stream: this.id };
    if (options.correlationId !== undefined) args.correlation_id = options.correlationId;
    if (options.timeout !== undefined) {
      args.timeout_ms = durationMs(options.timeout, `the timeout of ${call}`);
    }
    if (options.idleTimeout !== undefined) {
      args.idle_timeout_ms = durationMs(options.idleTimeout, "idleTimeout");
    }
    return new WaitHandle(async (): Promise<WaitResult<Output>> => {
      const execution = requireExecution(call);
      return this.#result(await this.#next(execution, args, blocking, signal));
    });
  }

  /** The next outcome: of a wait that was left, or of a new one. It rejects with the signal's reason. */
  async #next(
    execution: Execution,
    args: JsonObject,
    blocking: boolean,
    signal: AbortSignal | undefined,
    opened?: (wait: OpenWait) => void,
  ): Promise<Outcome> {
    signal?.throwIfAborted();
    const correlationId = args.correlation_id as string | undefined;
    if (!this.#leftovers.isEmpty) {
      const timeoutMs = args.timeout_ms as number | undefined;
      const left = await this.#leftovers.take(correlationId, timeoutMs, () => signal?.aborted !== true);
      if (left !== undefined) return left;
      signal?.throwIfAborted();
    }
    const wait = execution.open(args, blocking);
    opened?.(wait);
    const outcome =
      signal === undefined
        ? await wait.outcome
        : await unlessAborted(wait.outcome, signal, () => this.#leftovers.leave(wait, correlationId));
    wait.taken();
    return outcome;
  }

  async #result(outcome: Outcome): Promise<WaitResult<Output>> {
    if (!outcome.ok) return { ok: false, error: failureOf(outcome.error) };
    const record = recordFromWire(outcome.data as JsonObject);
    if (this.schema === undefined) return { ok: true, data: record.data as Output };
    const checked = await check(this.schema, record.data);
    if (checked.ok) return { ok: true, data: checked.value };
    const message = `record ${record.sequence} of stream "${this.id}" does not match its schema: ${issuesText(checked.issues)}`;
    return { ok: false, error: { code: "schema_mismatch", message, issues: checked.issues } };
  }

  async #deliver(
    execution: Execution,
    handler: (data: Output, record: StreamRecord<Output>) => unknown,
    correlationId: string | undefined,
    stop: AbortSignal,
  ): Promise<void> {
    // Held: the run stays active while a handler works, whatever else it waits for.
    const args: JsonObject = { kind: "stream", stream: this.id, hold: true };
    if (correlationId !== undefined) args.correlation_id = correlationId;
    const waits: { handled?: OpenWait | undefined; next?: OpenWait | undefined } = {};
    const opened = (wait: OpenWait) => {
      waits.next = wait;
      // Not before the next one is there: between the two nothing would hold the run.
      waits.handled?.release();
      waits.handled = undefined;
    };
    try {
      while (!stop.aborted) {
        const outcome = await this.#next(execution, args, false, stop, opened);
        waits.handled = waits.next ?? waits.handled;
        waits.next = undefined;
        // A wait without a timeout that ends without data was cancelled with the run or the fork: nothing follows.
        if (!outcome.ok) return;
        const record = await checkedRecord(this.id, this.schema, recordFromWire(outcome.data as JsonObject));
        await handler(record.data, record);
      }
    } finally {
      waits.handled?.release();
    }
  }
}

/** `leave` is called by the abort itself, so that who takes next in the same turn finds what was left. */
async function unlessAborted<T>(outcome: Promise<T>, signal: AbortSignal, leave: () => void): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  let left = false;
  const abort = () => {
    left = true;
    leave();
    reject(signal.reason);
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    const first = await Promise.race([outcome, promise]);
    // Both may have come in one turn: what was left is the next taker's.
    if (left) throw signal.reason;
    return first;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** By name, because a bundle may hold two copies of this package. */
function isStop(error: unknown): boolean {
  return error instanceof Error && error.name === "RunStoppedError";
}
