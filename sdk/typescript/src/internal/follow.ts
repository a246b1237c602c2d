//! Follows something that grows, over as many connections as it takes, with no gap and no repeat.
//!
//! The server says `end` when nothing more can come. A connection that closes without it was lost, or its server is
//! going: then what follows is asked of the next one, after the last item that came.
import type { HelmrError } from "../errors.ts";
import { ConnectionError } from "../errors.ts";
import { errorOfBody, type Http, isPassing, pausing, type Query } from "./http.ts";
import { isJsonObject, type JsonValue } from "./json.ts";
import { EventParser, type ServerEvent } from "./sse.ts";
import { fromWire } from "./wire.ts";

/** What to follow. */
export interface Followed {
  readonly path: readonly string[];
  readonly query: Query;
  readonly signal?: AbortSignal | undefined;
}

/** The server says something every 15 s; after three times that a connection is taken for dead. */
const SILENCE_MS = 45_000;
const PAUSES_MS = [50, 200, 500, 1_000, 2_000];
/** How long attempts to connect may fail before that is an error. */
const PATIENCE_MS = 120_000;

/** Gives what is there and then what comes, until nothing more can come. */
export async function* follow<T>(http: Http, followed: Followed): AsyncGenerator<T, void, undefined> {
  const given = followed.signal ?? new AbortController().signal;
  let lastId: string | undefined;
  let failures = 0;
  let failingSince: number | undefined;
  for (;;) {
    given.throwIfAborted();
    // Ending this connection, for whatever reason, ends the request.
    const connection = new AbortController();
    const signal = AbortSignal.any([given, connection.signal]);
    try {
      const asked = http.events(followed.path, followed.query, lastId, signal);
      const body = await unlessSilent(asked, connection);
      failingSince = undefined;
      for await (const event of events(body, followed, connection)) {
        lastId = event.id ?? lastId;
        if (event.name === "end") return;
        if (event.name === "error") throw told(event);
        failures = 0;
        yield fromWire<T>(JSON.parse(event.data) as JsonValue);
      }
      throw lost(followed);
    } catch (error) {
      given.throwIfAborted();
      if (!isPassing(error)) throw error;
      failingSince ??= performance.now();
      if (performance.now() - failingSince > PATIENCE_MS) throw error;
      await pausing(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 0, given);
      failures++;
    } finally {
      connection.abort();
    }
  }
}

async function* events(
  body: ReadableStream<Uint8Array>,
  followed: Followed,
  connection: AbortController,
): AsyncGenerator<ServerEvent, void, undefined> {
  const parser = new EventParser();
  const reader = body.getReader();
  for (;;) {
    const read = await unlessSilent(reader.read(), connection).catch((cause: unknown) => {
      throw isLost(cause) ? lost(followed, cause) : cause;
    });
    if (read.done) return;
    yield* parser.push(read.value);
  }
}

/** Ends the connection when the server is silent. The time that the caller takes between two items does not count. */
async function unlessSilent<T>(saying: Promise<T>, connection: AbortController): Promise<T> {
  const watch = setTimeout(() => connection.abort(), SILENCE_MS);
  try {
    return await saying;
  } finally {
    clearTimeout(watch);
  }
}

/** `fetch` says `TypeError` for a broken connection, and aborting it gives an `AbortError`. */
function isLost(cause: unknown): boolean {
  return cause instanceof TypeError || (cause instanceof Error && cause.name === "AbortError");
}

function lost(followed: Followed, cause?: unknown): ConnectionError {
  const message = `${followed.path.join("/")}: the connection was lost`;
  return new ConnectionError({ status: 0, code: "connection_failed", message, cause });
}

/** Codes of a server that cannot answer now; asking again later may help. */
const PASSING: ReadonlySet<string> = new Set(["store_unavailable", "worker_unavailable", "shutting_down"]);

/** The status that a refusal has when it comes before the answer. */
function statusOf(code: unknown): number {
  if (code === "cursor_expired") return 410;
  return typeof code === "string" && PASSING.has(code) ? 503 : 500;
}

/** A refusal found after the answer had begun, when its status was out already. */
function told(event: ServerEvent): HelmrError {
  const body = JSON.parse(event.data) as JsonValue;
  const wrapped = isJsonObject(body) && body.error === undefined ? { error: body } : body;
  const code = isJsonObject(wrapped) && isJsonObject(wrapped.error) ? wrapped.error.code : undefined;
  const error = errorOfBody(wrapped, statusOf(code));
  return (
    error ??
    new ConnectionError({ status: 0, code: "invalid_response", message: "an error without a reason" })
  );
}
