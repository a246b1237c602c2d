//! The streams of one session, as a client has them: lanes to send to and to read from.
import type { InputStream } from "../execution/input-stream.ts";
import type { OutputStream } from "../execution/output-stream.ts";
import type { StreamRecord } from "../execution/records.ts";
import { follow } from "../internal/follow.ts";
import type { CreateOptions, Http, RequestOptions } from "../internal/http.ts";
import type { JsonValue } from "../internal/json.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { type CreatedPublicToken, type PublicTokenLimits, PublicTokens } from "./public-tokens.ts";

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

/** Options of `publicToken()`. */
export interface StreamTokenOptions extends PublicTokenLimits, CreateOptions {
  /** Only for records of this correlation id. */
  readonly correlationId?: string | undefined;
}

/** A record that was sent. */
export interface SentRecord<Data> extends StreamRecord<Data> {
  /** The run that the record started, if the session was idle. */
  readonly startedRunId: string | null;
}

/** A stream of a session, to read from. */
export interface Lane<Data> {
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
  /**
   * Makes a public access token for this stream, with which a browser sends to it (input) or reads it (output).
   *
   * @example const { secret } = await session.input("messages").publicToken({ allowedOrigins: ["https://app.example.com"] });
   */
  publicToken(options?: StreamTokenOptions): Promise<CreatedPublicToken>;
}

/** An output stream of a session, to read from. */
export type OutputLane<Data> = Lane<Data>;

/** An input stream of a session, to send to. */
export interface InputLane<Data> extends Lane<Data> {
  /**
   * Appends a record; an idle session starts its next run.
   *
   * @throws HelmrError `record_invalid` when the data does not match the stream's schema, `session_ended`.
   * @example await client.sessions.open(id).input("messages").send({ text: "continue" });
   */
  send(data: Data, options?: SendOptions): Promise<SentRecord<Data>>;
}

/** What a record of a declared stream holds on the wire. */
export type DataOf<S> =
  S extends InputStream<string, infer Input, infer _>
    ? Input
    : S extends OutputStream<string, infer Input, infer _>
      ? Input
      : JsonValue;

/** Which stream: its direction and name, and the id of its session, asked for when it is first needed. */
export interface LaneAddress {
  readonly direction: "input" | "output";
  readonly name: string;
  /** Does what it is given with the session's id. */
  readonly within: <T>(use: (sessionId: string) => Promise<T>) => Promise<T>;
}

/** Makes the ways to read a stream. */
export function lane<Data>(http: Http, { direction, name, within }: LaneAddress): Lane<Data> {
  const path = (id: string) => ["sessions", id, `${direction}s`, name];
  const list = (options: ReadOptions = {}): Listing<StreamRecord<Data>> => {
    const { limit, cursor, correlationId, ...request } = options;
    return new Listing(cursor, (at) =>
      within((id) => {
        const query = { limit, cursor: at, correlation_id: correlationId };
        return http.get<Page<StreamRecord<Data>>>(path(id), query, request);
      }),
    );
  };
  return {
    list,
    read: async (options) => {
      const records: StreamRecord<Data>[] = [];
      for await (const record of list(options)) records.push(record);
      return records;
    },
    follow: async function* ({ cursor, correlationId, signal } = {}) {
      const id = await within((found) => Promise.resolve(found));
      const query = { cursor, correlation_id: correlationId };
      yield* follow<StreamRecord<Data>>(http, { path: path(id), query, signal });
    },
    publicToken: ({ correlationId, ...options } = {}) =>
      within((sessionId) => {
        const capability = { kind: "stream", sessionId, stream: name, direction, correlationId } as const;
        return new PublicTokens(http).create({ ...options, capability });
      }),
  };
}

/** Makes the ways to send to an input stream and to read it. */
export function inputLane<Data>(http: Http, address: LaneAddress): InputLane<Data> {
  return {
    ...lane<Data>(http, address),
    send: (data, { correlationId, idempotencyKey, ...request } = {}) =>
      address.within(async (id) => {
        // In the body it holds for this stream, while the header's key holds for the whole environment: that one is
        // made up, and only keeps a request that is sent again from being two.
        const body = toWire({ data, correlationId, idempotencyKey });
        const path = ["sessions", id, "inputs", address.name];
        const sent = await http.create<{ record: StreamRecord<Data>; startedRunId?: string | null }>(
          path,
          body,
          request,
        );
        return { ...sent.record, startedRunId: sent.startedRunId ?? null };
      }),
  };
}
