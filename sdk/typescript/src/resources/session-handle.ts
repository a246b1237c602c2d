//! A handle on one session: its input and output streams.
import type { InputStream } from "../execution/input-stream.ts";
import type { OutputStream } from "../execution/output-stream.ts";
import type { StreamRecord } from "../execution/records.ts";
import { follow } from "../internal/follow.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import type { JsonValue } from "../internal/json.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import type { Session } from "./session-types.ts";

/** Options of `send()`. */
export interface SendOptions extends RequestOptions {
  /** A second record with the same key on the same stream is the first one again; other data is refused. */
  readonly idempotencyKey?: string | undefined;
  readonly correlationId?: string | undefined;
}

/** Which records. */
export interface ReadOptions extends PageOptions, RequestOptions {
  /** Only records with this correlation id. */
  readonly correlationId?: string | undefined;
}

/** An input stream of a session, to send to. */
export interface InputLane<Data> {
  /**
   * Appends a record; an idle session starts its next run.
   *
   * @throws HelmrError `record_invalid` when the data does not match the stream's schema, `session_ended`.
   * @example await client.sessions.open(id).input("messages").send({ text: "continue" });
   */
  send(data: Data, options?: SendOptions): Promise<StreamRecord<Data>>;
}

/** An output stream of a session, to read from. */
export interface OutputLane<Data> {
  /** A page of records, oldest first; iterate it for everything so far. */
  list(options?: ReadOptions): Listing<StreamRecord<Data>>;
  /** Every record so far, oldest first. */
  read(options?: ReadOptions): Promise<StreamRecord<Data>[]>;
  /**
   * Every record so far and then what comes, until the session has ended.
   *
   * @example for await (const event of client.sessions.open(id).output("agent.events").follow()) show(event.data);
   */
  follow(options?: Omit<ReadOptions, "limit" | "timeoutMs">): AsyncIterable<StreamRecord<Data>>;
}

/** What a record of a declared stream holds on the wire. */
export type DataOf<S> =
  S extends InputStream<string, infer Input, infer _>
    ? Input
    : S extends OutputStream<string, infer Input, infer _>
      ? Input
      : JsonValue;

/** One session. */
export class SessionHandle {
  readonly #http: Http;
  readonly #id: () => Promise<string>;

  /** @param id gives the session's id; asked when it is first needed. */
  constructor(http: Http, id: () => Promise<string>) {
    this.#http = http;
    this.#id = id;
  }

  /** Looks the session up. */
  async get(options: RequestOptions = {}): Promise<Session> {
    return (await this.#http.get<{ session: Session }>(["sessions", await this.#id()], {}, options)).session;
  }

  /** An input stream, by name or by its declaration, which brings its type along. */
  input<const S extends string | InputStream>(stream: S): InputLane<DataOf<S>> {
    const name = typeof stream === "string" ? stream : stream.id;
    return {
      send: async (data, { correlationId, idempotencyKey, ...request } = {}) => {
        const path = ["sessions", await this.#id(), "inputs", name];
        // In the body it holds for this stream, while the header's key holds for the whole environment: that one is
        // made up, and only keeps a request that is sent again from being two.
        const body = toWire({ data, correlationId, idempotencyKey });
        return (await this.#http.create<{ record: StreamRecord<DataOf<S>> }>(path, body, request)).record;
      },
    };
  }

  /** An output stream, by name or by its declaration, which brings its type along. */
  output<const S extends string | OutputStream>(stream: S): OutputLane<DataOf<S>> {
    const name = typeof stream === "string" ? stream : stream.id;
    const list = (options: ReadOptions = {}): Listing<StreamRecord<DataOf<S>>> => {
      const { limit, cursor, correlationId, ...request } = options;
      return new Listing(cursor, async (at) => {
        const path = ["sessions", await this.#id(), "outputs", name];
        const query = { limit, cursor: at, correlation_id: correlationId };
        return this.#http.get<Page<StreamRecord<DataOf<S>>>>(path, query, request);
      });
    };
    return {
      list,
      read: async (options) => {
        const records: StreamRecord<DataOf<S>>[] = [];
        for await (const record of list(options)) records.push(record);
        return records;
      },
      follow: (options = {}) => this.#follow<DataOf<S>>(name, options),
    };
  }

  async *#follow<Data>(
    name: string,
    options: Omit<ReadOptions, "limit" | "timeoutMs">,
  ): AsyncGenerator<StreamRecord<Data>, void, undefined> {
    const { cursor, correlationId, signal } = options;
    yield* follow<StreamRecord<Data>>(this.#http, {
      path: ["sessions", await this.#id(), "outputs", name],
      query: { cursor, correlation_id: correlationId },
      signal,
    });
  }
}
