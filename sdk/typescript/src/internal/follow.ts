//! Follows something that grows, over as many connections as it takes, with no gap and no repeat.
import type { HelmrError } from "../errors.ts";
import { ConnectionError } from "../errors.ts";
import { errorOfBody, type Http, isPassing, pausing, type Query } from "./http.ts";
import type { JsonValue } from "./json.ts";
import { EventParser, type ServerEvent } from "./sse.ts";
import { fromWire } from "./wire.ts";

/** What to follow. */
export interface Followed<T> {
  readonly path: readonly string[];
  readonly query: Query;
  readonly signal?: AbortSignal | undefined;
  /** Whether an item is the last one there will ever be. */
  readonly isLast?: (item: T) => boolean;
  /** Asked when the server ended the stream: whether more may come. */
  readonly mayGrow: () => Promise<boolean>;
}

/** The server says something every 15 s; after three times that a connection is taken for dead. */
const SILENCE_MS = 45_000;
const PAUSES_MS = [50, 200, 500, 1_000, 2_000];
/** How long attempts to connect may fail before that is an error. */
const PATIENCE_MS = 120_000;

/** Gives what is there and then what comes, until nothing more can come. */
export async function* follow<T>(http: Http, followed: Followed<T>): AsyncGenerator<T, void, undefined> {
  const given = followed.signal ?? new AbortController().signal;
  let lastId: string | undefined;
  let failures = 0;
  let failingSince = 0;
  for (;;) {
    given.throwIfAborted();
    // Ending this connection, for whatever reason, ends the request.
    const connection = new AbortController();
    const signal = AbortSignal.any([given, connection.signal]);
    let brought = 0;
    try {
      for await (const event of events(http, followed, lastId, signal, connection)) {
        failures = 0;
        lastId = event.id ?? lastId;
        if (event.name === "error") throw told(event);
        brought++;
        const item = fromWire<T>(JSON.parse(event.data) as JsonValue);
        yield item;
        if (followed.isLast?.(item) === true) return;
      }
      // A server that is asked to end closes its streams too, so an end alone does not say that all was told.
      if (brought === 0 && !(await followed.mayGrow())) return;
      if (brought === 0) await pausing(PAUSES_MS[3] ?? 0, given);
    } catch (error) {
      given.throwIfAborted();
      if (!isPassing(error)) throw error;
      if (failures === 0) failingSince = performance.now();
      if (performance.now() - failingSince > PATIENCE_MS) throw error;
      await pausing(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 0, given);
      failures++;
    } finally {
      connection.abort();
    }
  }
}

async function* events<T>(
  http: Http,
  followed: Followed<T>,
  lastId: string | undefined,
  signal: AbortSignal,
  connection: AbortController,
): AsyncGenerator<ServerEvent, void, undefined> {
  let watch = setTimeout(() => connection.abort(), SILENCE_MS);
  try {
    const body = await http.events(followed.path, followed.query, lastId, signal);
    const parser = new EventParser();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(() => connection.abort(), SILENCE_MS);
      yield* parser.push(value);
    }
  } catch (cause) {
    if (cause instanceof ConnectionError || !isLost(cause)) throw cause;
    const message = `${followed.path.join("/")}: the connection was lost`;
    throw new ConnectionError({ status: 0, code: "connection_failed", message, cause });
  } finally {
    clearTimeout(watch);
  }
}

/** `fetch` says `TypeError` for a broken connection, and aborting it gives an `AbortError`. */
function isLost(cause: unknown): boolean {
  return cause instanceof TypeError || (cause instanceof Error && cause.name === "AbortError");
}

/** A refusal found after the answer had begun. */
function told(event: ServerEvent): HelmrError {
  const error = errorOfBody(JSON.parse(event.data) as JsonValue, 500);
  return (
    error ??
    new ConnectionError({ status: 0, code: "invalid_response", message: "an error without a reason" })
  );
}
