//! Output streams: durable output of a session, written by its task.
//!
//! The wire holds what the task appended, in the schema's input form; reading checks again and gives its output form.
import { encodeJson, type JsonObject, type JsonValue } from "../internal/json.ts";
import { check, issuesText, type Schema } from "../internal/schema.ts";
import { SchemaMismatchError } from "./errors.ts";
import { checkedRecord, RECORD_LIMIT, recordFromWire, type StreamRecord } from "./records.ts";
import { requireExecution } from "./slot.ts";

/** Options of `append()`. */
export interface AppendOptions {
  readonly correlationId?: string | undefined;
  /** A second append with the same key gives the first record again. */
  readonly idempotencyKey?: string | undefined;
}

/** Options of `list()` and `read()`. */
export interface ListRecordsOptions {
  /** Only records after this sequence. */
  readonly after?: number | undefined;
  /** Records in a page; 50 when absent. */
  readonly limit?: number | undefined;
  /** Only records with this correlation id. */
  readonly correlationId?: string | undefined;
}

/** A page of records. */
export interface RecordPage<T> {
  readonly items: readonly StreamRecord<T>[];
  readonly nextCursor: string | null;
}

/** Appends records one after the other; waiting for `write` gives back-pressure. */
export interface OutputWriter<Input> extends AsyncDisposable {
  write(data: Input): Promise<void>;
  /** Resolves when everything written is on the server. */
  close(): Promise<void>;
}

/** A named lane of durable output. `Input` is what is appended, `Output` what reading gives. */
export interface OutputStream<Name extends string = string, Input = unknown, Output = Input> {
  readonly kind: "output";
  /** The stream's name. */
  readonly id: Name;
  readonly schema: Schema<Input, Output> | undefined;
  /**
   * Appends one record; resolves when the server has it.
   *
   * @throws SchemaMismatchError when the data does not match the schema.
   * @example await events.append({ type: "started" });
   */
  append(data: Input, options?: AppendOptions): Promise<StreamRecord>;
  /** Appends everything a source gives, in order; resolves with the number of records. */
  pipe(
    source: AsyncIterable<Input> | Iterable<Input>,
    options?: Pick<AppendOptions, "correlationId">,
  ): Promise<number>;
  /** A writer for records that come bit by bit. */
  writer(options?: Pick<AppendOptions, "correlationId">): OutputWriter<Input>;
  /** The records so far, oldest first, page by page as they are needed. */
  read(options?: ListRecordsOptions): AsyncIterable<StreamRecord<Output>>;
  /** One page of records, oldest first. */
  list(options?: ListRecordsOptions): Promise<RecordPage<Output>>;
}

export class TaskOutputStream<Name extends string, Input, Output>
  implements OutputStream<Name, Input, Output>
{
  readonly kind = "output";
  readonly id: Name;
  readonly schema: Schema<Input, Output> | undefined;

  constructor(id: Name, schema: Schema<Input, Output> | undefined) {
    this.id = id;
    this.schema = schema;
  }

  async append(data: Input, options: AppendOptions = {}): Promise<StreamRecord> {
    const execution = requireExecution(`${this.#label}.append()`);
    // Encoded before the first await: what the caller changes afterwards must not show.
    const json = JSON.parse(
      encodeJson(data, `the record for stream "${this.id}"`, RECORD_LIMIT),
    ) as JsonValue;
    const args: JsonObject = { stream: this.id, data: json };
    if (options.correlationId !== undefined) args.correlation_id = options.correlationId;
    if (options.idempotencyKey !== undefined) args.idempotency_key = options.idempotencyKey;
    if (this.schema !== undefined) {
      const checked = await check(this.schema, data);
      if (!checked.ok) {
        const message = `the record does not match the schema of stream "${this.id}": ${issuesText(checked.issues)}`;
        throw new SchemaMismatchError(message, checked.issues);
      }
    }
    return recordFromWire((await execution.call("stream.append", args)) as JsonObject);
  }

  async pipe(
    source: AsyncIterable<Input> | Iterable<Input>,
    options: Pick<AppendOptions, "correlationId"> = {},
  ): Promise<number> {
    let count = 0;
    for await (const data of source) {
      await this.append(data, options);
      count++;
    }
    return count;
  }

  writer(options: Pick<AppendOptions, "correlationId"> = {}): OutputWriter<Input> {
    requireExecution(`${this.#label}.writer()`);
    let tail: Promise<unknown> = Promise.resolve();
    let closed = false;
    const close = async () => {
      closed = true;
      await tail;
    };
    return {
      write: (data) => {
        if (closed) return Promise.reject(new Error(`the writer of stream "${this.id}" is closed`));
        const written = tail.then(async () => {
          await this.append(data, options);
        });
        // A failed write fails every later one and `close`, so it is never lost even if nobody awaits it.
        tail = written;
        written.catch(() => undefined);
        return written;
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  async *read(options: ListRecordsOptions = {}): AsyncGenerator<StreamRecord<Output>, void, undefined> {
    let after = options.after;
    for (;;) {
      const page = await this.list({ ...options, after });
      yield* page.items;
      if (page.nextCursor === null) return;
      after = page.items.at(-1)?.sequence ?? Number(page.nextCursor);
    }
  }

  async list(options: ListRecordsOptions = {}): Promise<RecordPage<Output>> {
    const args: JsonObject = { direction: "output", stream: this.id };
    if (options.after !== undefined) args.after = options.after;
    if (options.limit !== undefined) args.limit = options.limit;
    if (options.correlationId !== undefined) args.correlation_id = options.correlationId;
    const answer = (await requireExecution(`${this.#label}.list()`).call("stream.list", args)) as JsonObject;
    const items = (answer.items ?? []) as JsonObject[];
    const cursor = answer.next_cursor ?? null;
    return {
      items: await Promise.all(
        items.map((item) => checkedRecord(this.id, this.schema, recordFromWire(item))),
      ),
      nextCursor: cursor === null ? null : String(cursor),
    };
  }

  get #label(): string {
    return `streams.output("${this.id}")`;
  }
}
