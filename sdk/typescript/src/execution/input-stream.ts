//! Input streams: durable input of a session, read by its task.
//!
//! Every kind of waiting consumes a record when it is delivered to the task; `peek` consumes nothing.
import { type Duration, durationMs } from "../internal/duration.ts";
import type { JsonObject } from "../internal/json.ts";
import { check, issuesText, type Schema } from "../internal/schema.ts";
import { checkedRecord, recordFromWire, type StreamRecord } from "./records.ts";
import { type Execution, type Outcome, requireExecution } from "./slot.ts";
import { failureOf, WaitHandle, type WaitResult } from "./wait-handle.ts";

/** Options of `wait()`. */
export interface InputWaitOptions extends InputOnceOptions {
  /** How long the machine stays live before it parks; the environment's hot window when absent. */
  readonly idleTimeout?: Duration | undefined;
}

/** Options of `once()`. */
export interface InputOnceOptions extends InputFilter {
  /** After it the wait gives `ok: false`, code `timeout`. */
  readonly timeout?: Duration | undefined;
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
  /** Waits for the next unread record while the run stays active and uses its compute. */
  once(options?: InputOnceOptions): WaitHandle<Output>;
  /** Calls the handler with each record, one after the other, while the run stays active. */
  on(handler: (data: Output, record: StreamRecord<Output>) => unknown, options?: InputFilter): Subscription;
  /** Unread records, without consuming them. */
  peek(options?: PeekOptions): Promise<readonly StreamRecord<Output>[]>;
}

export class TaskInputStream<Name extends string, Input, Output> implements InputStream<Name, Input, Output> {
  readonly kind = "input";
  readonly id: Name;
  readonly schema: Schema<Input, Output> | undefined;
  // Waits that `on()` had begun when it was stopped, by correlation id: the server knows them still and may
  // deliver to them, so the next taker takes them over.
  readonly #left = new Map<string | undefined, Promise<Outcome>>();

  constructor(id: Name, schema: Schema<Input, Output> | undefined) {
    this.id = id;
    this.schema = schema;
  }

  wait(options: InputWaitOptions = {}): WaitHandle<Output> {
    return this.#handle("wait", options, options.idleTimeout, true);
  }

  once(options: InputOnceOptions = {}): WaitHandle<Output> {
    return this.#handle("once", options, undefined, false);
  }

  on(
    handler: (data: Output, record: StreamRecord<Output>) => unknown,
    options: InputFilter = {},
  ): Subscription {
    const execution = requireExecution(`${this.#label}.on()`);
    const stop = new AbortController();
    this.#deliver(execution, handler, options.correlationId, stop.signal).catch((error: unknown) => {
      // An ended run has nobody to tell, a stopped one has its reason in `ctx.signal`.
      if (execution.phase === "running" && !stop.signal.aborted) execution.raise(error);
    });
    const off = () => stop.abort();
    return { off, [Symbol.dispose]: off };
  }

  async peek(options: PeekOptions = {}): Promise<readonly StreamRecord<Output>[]> {
    const args: JsonObject = { stream: this.id };
    if (options.correlationId !== undefined) args.correlation_id = options.correlationId;
    if (options.limit !== undefined) args.limit = options.limit;
    const answer = (await requireExecution(`${this.#label}.peek()`).call("stream.peek", args)) as JsonObject;
    const items = (answer.items ?? []) as JsonObject[];
    return Promise.all(items.map((item) => checkedRecord(this.id, this.schema, recordFromWire(item))));
  }

  get #label(): string {
    return `streams.input("${this.id}")`;
  }

  #handle(
    verb: string,
    options: InputOnceOptions,
    idleTimeout: Duration | undefined,
    blocking: boolean,
  ): WaitHandle<Output> {
    const call = `${this.#label}.${verb}()`;
    const args: JsonObject = { kind: "stream", stream: this.id };
    const timeoutMs =
      options.timeout === undefined ? undefined : durationMs(options.timeout, `the timeout of ${call}`);
    if (options.correlationId !== undefined) args.correlation_id = options.correlationId;
    if (timeoutMs !== undefined) args.timeout_ms = timeoutMs;
    if (idleTimeout !== undefined) args.idle_timeout_ms = durationMs(idleTimeout, "idleTimeout");
    return new WaitHandle(async (): Promise<WaitResult<Output>> => {
      const execution = requireExecution(call);
      const left = this.#takeLeft(options.correlationId);
      const outcome =
        left === undefined
          ? await execution.wait(args, blocking)
          : await this.#within(left, timeoutMs, options.correlationId);
      return this.#result(outcome);
    });
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
    const args: JsonObject = { kind: "stream", stream: this.id };
    if (correlationId !== undefined) args.correlation_id = correlationId;
    const stopped = new Promise<"stopped">((resolve) =>
      stop.addEventListener("abort", () => resolve("stopped")),
    );
    while (!stop.aborted) {
      const next = this.#takeLeft(correlationId) ?? execution.wait(args, false);
      const outcome = await Promise.race([next, stopped]);
      if (outcome === "stopped" || stop.aborted) {
        this.#leave(correlationId, next);
        return;
      }
      // A wait without a timeout that ends without data was cancelled with the run or the fork: nothing follows.
      if (!outcome.ok) return;
      const record = await checkedRecord(this.id, this.schema, recordFromWire(outcome.data as JsonObject));
      await handler(record.data, record);
    }
  }

  #takeLeft(correlationId: string | undefined): Promise<Outcome> | undefined {
    const left = this.#left.get(correlationId);
    this.#left.delete(correlationId);
    return left;
  }

  #leave(correlationId: string | undefined, wait: Promise<Outcome>): void {
    wait.catch(() => undefined);
    this.#left.set(correlationId, wait);
  }

  /** Takes a wait over under a timeout of its own; at the timeout it is left again. */
  async #within(
    left: Promise<Outcome>,
    timeoutMs: number | undefined,
    correlationId: string | undefined,
  ): Promise<Outcome> {
    if (timeoutMs === undefined) return left;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), Math.min(timeoutMs, 2 ** 31 - 1));
    });
    try {
      const outcome = await Promise.race([left, late]);
      if (outcome !== "late") return outcome;
      this.#leave(correlationId, left);
      return { ok: false, error: { code: "timeout", message: `no input within ${timeoutMs} ms` } };
    } finally {
      clearTimeout(timer);
    }
  }
}
