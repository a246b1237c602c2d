//! `client.ptys`, and the PTYs of one workspace: terminals in workspaces' machines.
import type { Http, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import { PtyHandle } from "./pty-handle.ts";
import type { Pty, PtyOptions } from "./pty-types.ts";

/** PTYs. They are made with `client.workspaces.open(id).pty.create()`. */
export class Ptys {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * A handle on a PTY, by its id. Nothing is sent yet.
   *
   * @example await client.ptys.open(id).write("ls\n");
   */
  open(id: string): PtyHandle {
    return new PtyHandle(this.#http, id);
  }

  /**
   * Looks a PTY up.
   *
   * @example const { state, idle } = await client.ptys.get(id);
   */
  get(id: string, options: RequestOptions = {}): Promise<Pty> {
    return this.open(id).get(options);
  }
}

/** The PTYs of a workspace. */
export class WorkspacePtys {
  readonly #http: Http;
  readonly #use: <T>(work: (id: string) => Promise<T>) => Promise<T>;
  readonly #id: () => Promise<string>;

  /**
   * @param id gives the workspace's id; asked when it is first needed.
   * @param use does something with the id, and once more with another if that workspace is over.
   */
  constructor(
    http: Http,
    id: () => Promise<string>,
    use: <T>(work: (id: string) => Promise<T>) => Promise<T>,
  ) {
    this.#http = http;
    this.#id = id;
    this.#use = use;
  }

  /**
   * Opens a terminal in the workspace's machine, which is started or woken for it. It goes on when this program ends:
   * `client.ptys.open(id)` finds it again.
   *
   * @throws HelmrError `workspace_not_active`, `limit_exceeded` for a size that is not 1 to 500 either way.
   * @example
   * const pty = await client.workspaces.open(id).pty.create({ cols: 120, rows: 40 });
   * await pty.write("npm test\n");
   * for await (const { bytes } of pty.output.follow()) process.stdout.write(bytes);
   */
  create(options: PtyOptions = {}): Promise<PtyHandle> {
    const { signal, timeoutMs, idempotencyKey, ...rest } = options;
    const request = { signal, timeoutMs, idempotencyKey };
    return this.#use(async (id) => {
      const made = await this.#http.create<{ pty: Pty }>(["workspaces", id, "ptys"], toWire(rest), request);
      return new PtyHandle(this.#http, made.pty.id);
    });
  }

  /**
   * Lists PTYs, newest first.
   *
   * @example for await (const { id, state } of workspace.pty.list()) console.log(id, state);
   */
  list(options: PageOptions & RequestOptions = {}): Listing<Pty> {
    const { limit, cursor, ...request } = options;
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<Pty>>(["workspaces", await this.#id(), "ptys"], { limit, cursor: at }, request),
    );
  }
}
