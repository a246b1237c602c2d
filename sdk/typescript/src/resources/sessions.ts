//! `client.sessions`: start tasks, and talk with what was started.
import { NotFoundError } from "../errors.ts";
import { durationMs } from "../internal/duration.ts";
import type { Http, Query, RequestOptions } from "../internal/http.ts";
import type { JsonValue } from "../internal/json.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { type FinishedRun, isFinished } from "./run-types.ts";
import type { Runs, WaitForRunOptions } from "./runs.ts";
import { SessionHandle } from "./session-handle.ts";
import type {
  OutputOf,
  Session,
  SessionChanges,
  StartArguments,
  StartedSession,
  StartOptions,
  TaskReference,
} from "./session-types.ts";

/** Options of `startAndWait()`. */
export interface StartAndWaitOptions extends StartOptions {
  /** Gives up waiting after it with code `timeout`; the run goes on. */
  readonly waitTimeoutMs?: number | undefined;
}

/** Which sessions. */
export interface ListSessionsOptions extends PageOptions, RequestOptions {
  readonly status?: Session["status"] | undefined;
  /** The task's id. */
  readonly task?: string | undefined;
  readonly externalId?: string | undefined;
  /** Only those that have this tag. */
  readonly tag?: string | undefined;
  readonly workspaceId?: string | undefined;
}

/** Sessions. */
export class Sessions {
  readonly #http: Http;
  readonly #runs: Runs;

  constructor(http: Http, runs: Runs) {
    this.#http = http;
    this.#runs = runs;
  }

  /**
   * Starts a task in a new session, or finds the open one of the same `externalId`.
   *
   * @throws HelmrError `payload_invalid` with the path, `session_fingerprint_mismatch`.
   * @example const { session, run } = await client.sessions.start(reviewPr, { prNumber: 7 });
   */
  start<T extends TaskReference>(
    task: T,
    ...[payload, options = {}]: StartArguments<T, StartOptions>
  ): Promise<StartedSession<OutputOf<T>>> {
    return this.#start(task, payload as JsonValue | undefined, options);
  }

  /**
   * Starts a task and waits until its run has ended. It follows the run's events; nothing polls.
   *
   * @example
   * const { run } = await client.sessions.startAndWait(reviewPr, { prNumber: 7 });
   * if (run.status === "succeeded") console.log(run.output.ok);
   */
  async startAndWait<T extends TaskReference>(
    task: T,
    ...[payload, options = {}]: StartArguments<T, StartAndWaitOptions>
  ): Promise<StartedSession<OutputOf<T>> & { readonly run: FinishedRun<OutputOf<T>> }> {
    const { waitTimeoutMs, ...start } = options;
    const started = await this.#start<OutputOf<T>>(task, payload as JsonValue | undefined, start);
    if (isFinished(started.run)) return { ...started, run: started.run };
    const wait: WaitForRunOptions = { signal: start.signal, timeoutMs: waitTimeoutMs };
    const run = (await this.#runs.wait(started.run.id, wait)) as FinishedRun<OutputOf<T>>;
    return { ...started, run };
  }

  /** A handle on a session, by its id or by the external id of an open one. Nothing is sent yet. */
  open(session: string | { readonly externalId: string }): SessionHandle {
    if (typeof session === "string") {
      return new SessionHandle(this.#http, { id: () => Promise.resolve(session), forget: () => false });
    }
    let found: Promise<string> | undefined;
    const forget = () => {
      found = undefined;
      return true;
    };
    const id = () => {
      found ??= this.#openId(session.externalId);
      // A session that is not there yet may be there the next time.
      found.catch(forget);
      return found;
    };
    return new SessionHandle(this.#http, { id, forget });
  }

  /** Looks a session up. */
  get(id: string, options: RequestOptions = {}): Promise<Session> {
    return this.open(id).get(options);
  }

  /** Lists sessions, newest first. */
  list(options: ListSessionsOptions = {}): Listing<Session> {
    const { signal, timeoutMs, cursor, ...query } = options;
    return new Listing(cursor, (at) =>
      this.#http.get<Page<Session>>(["sessions"], toWire({ ...query, cursor: at }) as Query, {
        signal,
        timeoutMs,
      }),
    );
  }

  /**
   * Changes tags or metadata of a session; each replaces the whole of what was there.
   *
   * @example await client.sessions.update(id, { tags: ["urgent"] });
   */
  async update(id: string, changes: SessionChanges): Promise<Session> {
    const { signal, timeoutMs, tags, metadata } = changes;
    const body = toWire({ tags, metadata });
    return (await this.#http.patch<{ session: Session }>(["sessions", id], body, { signal, timeoutMs }))
      .session;
  }

  /**
   * Closes a session: nothing can be sent to it any more.
   *
   * @throws HelmrError `session_run_active` while a run is active.
   */
  async close(id: string, options: RequestOptions = {}): Promise<Session> {
    return (await this.#http.post<{ session: Session }>(["sessions", id, "close"], {}, options)).session;
  }

  /** Cancels a session and its active run. */
  async cancel(
    id: string,
    options: RequestOptions & { readonly reason?: string | undefined } = {},
  ): Promise<Session> {
    const { reason, ...request } = options;
    return (
      await this.#http.post<{ session: Session }>(["sessions", id, "cancel"], toWire({ reason }), request)
    ).session;
  }

  #start<Output>(
    task: TaskReference,
    payload: JsonValue | undefined,
    options: StartOptions,
  ): Promise<StartedSession<Output>> {
    const { signal, timeoutMs, idempotencyKey, ttl, expiresAt, ...rest } = options;
    const body = toWire({
      task: typeof task === "string" ? task : task.id,
      payload,
      ...rest,
      ttl: ttl === undefined ? undefined : durationMs(ttl, "ttl"),
      expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt).toISOString(),
    });
    return this.#http.create(["sessions"], body, { signal, timeoutMs, idempotencyKey });
  }

  async #openId(externalId: string): Promise<string> {
    for await (const session of this.list({ externalId, status: "open" })) {
      if (session.externalId === externalId && session.status === "open") return session.id;
    }
    const message = `no open session has the external id "${externalId}"`;
    throw new NotFoundError({ status: 404, code: "session_not_found", message });
  }
}
