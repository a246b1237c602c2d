//! A handle on one session: its streams, its transcript and what happened to it.
import { HelmrError } from "../errors.ts";
import type { InputStream } from "../execution/input-stream.ts";
import type { OutputStream } from "../execution/output-stream.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { type Growing, growing } from "./growing.ts";
import { type DataOf, type InputLane, inputLane, lane, type OutputLane } from "./lanes.ts";
import type { RunEvent } from "./run-types.ts";
import type { Session, SessionStream, TranscriptItem } from "./session-types.ts";

/** Which part of a transcript. */
export interface TranscriptFilter {
  readonly direction?: "input" | "output" | undefined;
  /** The name of one stream. */
  readonly stream?: string | undefined;
  readonly correlationId?: string | undefined;
}

/** Finds a session's id. */
export interface SessionLookup {
  /** The id, found now or before. */
  id(): Promise<string>;
  /** Forgets an id that turned out to be that of an ended session; false where it was given and not found. */
  forget(): boolean;
}

/** One session. */
export class SessionHandle {
  readonly #http: Http;
  readonly #lookup: SessionLookup;

  /** @param lookup gives the session's id; asked when it is first needed. */
  constructor(http: Http, lookup: SessionLookup) {
    this.#http = http;
    this.#lookup = lookup;
  }

  /** Looks the session up. */
  get(options: RequestOptions = {}): Promise<Session> {
    return this.#within(
      async (id) => (await this.#http.get<{ session: Session }>(["sessions", id], {}, options)).session,
    );
  }

  /** An input stream, by name or by its declaration, which brings its type along. */
  input<const S extends string | InputStream>(stream: S): InputLane<DataOf<S>> {
    const name = typeof stream === "string" ? stream : stream.id;
    return inputLane(this.#http, { direction: "input", name, within: (use) => this.#within(use) });
  }

  /** An output stream, by name or by its declaration, which brings its type along. */
  output<const S extends string | OutputStream>(stream: S): OutputLane<DataOf<S>> {
    const name = typeof stream === "string" ? stream : stream.id;
    return lane(this.#http, { direction: "output", name, within: (use) => this.#within(use) });
  }

  /** The streams that the session's task declares, with how much each holds. */
  streams(options: PageOptions & RequestOptions = {}): Listing<SessionStream> {
    const { limit, cursor, ...request } = options;
    return new Listing(cursor, (at) =>
      this.#within((id) =>
        this.#http.get<Page<SessionStream>>(["sessions", id, "streams"], { limit, cursor: at }, request),
      ),
    );
  }

  /**
   * Input and output of all streams, interleaved in the order in which the server took them.
   *
   * @example for await (const item of session.transcript().follow()) show(item.direction, item.stream, item.data);
   */
  transcript(filter: TranscriptFilter = {}): Growing<TranscriptItem> {
    const { direction, stream, correlationId } = filter;
    const query = { direction, stream, correlation_id: correlationId };
    return growing(this.#http, () => this.#path("transcript"), query);
  }

  /** What happened to the session outside of its runs, such as `session.closed`. */
  events(): Growing<RunEvent> {
    return growing(this.#http, () => this.#path("events"), {});
  }

  #path(part: string): Promise<readonly string[]> {
    return this.#within((id) => Promise.resolve(["sessions", id, part]));
  }

  /** An external id may name another session by now: after an end it is looked up once more. */
  async #within<T>(use: (id: string) => Promise<T>): Promise<T> {
    const id = await this.#lookup.id();
    try {
      return await use(id);
    } catch (error) {
      if (!isOver(error) || !this.#lookup.forget()) throw error;
    }
    const next = await this.#lookup.id();
    return use(next);
  }
}

function isOver(error: unknown): boolean {
  return (
    error instanceof HelmrError && (error.code === "session_ended" || error.code === "session_not_found")
  );
}
