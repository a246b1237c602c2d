//! `client.execs`, and the execs of one workspace: commands that run in workspaces' machines.
import { durationMs } from "../internal/duration.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { ExecHandle } from "./exec-handle.ts";
import type { Exec, ExecOptions } from "./exec-types.ts";

/** Execs. They are made with `client.workspaces.open(id).exec()`. */
export class Execs {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * A handle on an exec, by its id. Nothing is sent yet.
   *
   * @example const { exitCode } = await client.execs.open(id).wait();
   */
  open(id: string): ExecHandle {
    return new ExecHandle(this.#http, id);
  }

  /**
   * Looks an exec up.
   *
   * @example const { state } = await client.execs.get(id);
   */
  get(id: string, options: RequestOptions = {}): Promise<Exec> {
    return this.open(id).get(options);
  }
}

/** The execs of a workspace. */
export class WorkspaceExecs {
  readonly #http: Http;
  readonly #id: () => Promise<string>;

  /** @param id gives the workspace's id; asked when it is first needed. */
  constructor(http: Http, id: () => Promise<string>) {
    this.#http = http;
    this.#id = id;
  }

  /**
   * Lists execs, newest first.
   *
   * @example for await (const { command, state } of workspace.execs.list()) console.log(state, command);
   */
  list(options: PageOptions & RequestOptions = {}): Listing<Exec> {
    const { limit, cursor, ...request } = options;
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<Exec>>(["workspaces", await this.#id(), "execs"], { limit, cursor: at }, request),
    );
  }
}

/** Runs a command in a workspace's machine. */
export async function makeExec(
  http: Http,
  workspaceId: string,
  command: readonly string[],
  options: ExecOptions,
): Promise<ExecHandle> {
  const { signal, timeoutMs, idempotencyKey, timeout, ...rest } = options;
  const body = toWire({
    command,
    ...rest,
    timeout: timeout === undefined ? undefined : durationMs(timeout, "timeout"),
  });
  const request = { signal, timeoutMs, idempotencyKey };
  const made = await http.create<{ exec: Exec }>(["workspaces", workspaceId, "execs"], body, request);
  return new ExecHandle(http, made.exec.id, true);
}
