//! `client.workspaces`: durable files, and the machines in which they are worked on.
import { durationMs } from "../internal/duration.ts";
import type { Http, Query, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page } from "../pagination.ts";
import { connect, fork, noWorkspace, WorkspaceHandle } from "./workspace-handle.ts";
import type {
  ConnectOptions,
  EndWorkspaceOptions,
  ForkedWorkspace,
  ForkOptions,
  ListWorkspacesOptions,
  NewWorkspace,
  RecoverWorkspaceOptions,
  Workspace,
  WorkspaceChanges,
  WorkspaceConnection,
} from "./workspace-types.ts";

interface Answer {
  readonly workspace: Workspace;
}

/** Workspaces. */
export class Workspaces {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * Makes a workspace from a sandbox of the promoted deployment. It costs nothing until something runs in it.
   *
   * @throws HelmrError `external_id_taken` if another one has the external id, `sandbox_not_found`.
   * @example
   * const workspace = await client.workspaces.create({ externalId: "repo-7", tags: ["review"] });
   * await client.sessions.start(reviewPr, { prNumber: 7 }, { workspaceId: workspace.id });
   */
  async create(options: NewWorkspace = {}): Promise<Workspace> {
    const { signal, timeoutMs, idempotencyKey, autoStopAfter, ...rest } = options;
    const body = toWire({ ...rest, autoStopAfter: span(autoStopAfter) });
    const request = { signal, timeoutMs, idempotencyKey };
    return (await this.#http.create<Answer>(["workspaces"], body, request)).workspace;
  }

  /** A handle on a workspace, by its id or by its external id. Nothing is sent yet. */
  open(workspace: string | { readonly externalId: string }): WorkspaceHandle {
    if (typeof workspace === "string") {
      return new WorkspaceHandle(this.#http, { id: () => Promise.resolve(workspace), forget: () => false });
    }
    let found: Promise<string> | undefined;
    const forget = () => {
      found = undefined;
      return true;
    };
    const id = () => {
      found ??= this.#idOf(workspace.externalId);
      // A workspace that is not there yet may be there the next time.
      found.catch(forget);
      return found;
    };
    return new WorkspaceHandle(this.#http, { id, forget });
  }

  /** Looks a workspace up. A deleted one is given too, in that state. */
  get(id: string, options: RequestOptions = {}): Promise<Workspace> {
    return this.open(id).get(options);
  }

  /**
   * Lists workspaces, newest first.
   *
   * @example for await (const workspace of client.workspaces.list({ tag: "review" })) console.log(workspace.id);
   */
  list(options: ListWorkspacesOptions = {}): Listing<Workspace> {
    const { signal, timeoutMs, cursor, ...query } = options;
    return new Listing(cursor, (at) =>
      this.#http.get<Page<Workspace>>(["workspaces"], toWire({ ...query, cursor: at }) as Query, {
        signal,
        timeoutMs,
      }),
    );
  }

  /**
   * Changes a workspace. Tags and metadata replace the whole of what was there; null takes a value away.
   *
   * @throws HelmrError `external_id_taken`.
   * @example await client.workspaces.update(id, { tags: ["done"], autoStopAfter: "30m" });
   */
  async update(id: string, changes: WorkspaceChanges): Promise<Workspace> {
    const { signal, timeoutMs, autoStopAfter, ...rest } = changes;
    const body = toWire({ ...rest, autoStopAfter: span(autoStopAfter) });
    return (await this.#http.patch<Answer>(["workspaces", id], body, { signal, timeoutMs })).workspace;
  }

  /**
   * Deletes a workspace: its open sessions are cancelled and its machine ends.
   *
   * @throws HelmrError `workspace_busy` while a run in it has not ended, unless `force` cancels it.
   */
  async delete(id: string, options: EndWorkspaceOptions = {}): Promise<Workspace> {
    const { force, ...request } = options;
    const query = force === true ? { force: "true" } : {};
    return (await this.#http.delete<Answer>(["workspaces", id], query, request)).workspace;
  }

  /**
   * Stops a workspace's machine: its files are captured and its processes end. The answer does not wait for that.
   *
   * @throws HelmrError `workspace_busy` while a run in it has not ended, unless `force` cancels it.
   */
  async stop(id: string, options: EndWorkspaceOptions = {}): Promise<Workspace> {
    const { force, ...request } = options;
    return (await this.#http.post<Answer>(["workspaces", id, "stop"], toWire({ force }), request)).workspace;
  }

  /**
   * Asks for a workspace's machine: it is started, or woken if it is parked, and stays as if something had just run in
   * it. The answer does not wait; asking again only makes it stay longer.
   *
   * @throws HelmrError `workspace_not_active`.
   */
  async materialize(id: string, options: RequestOptions = {}): Promise<Workspace> {
    return (await this.#http.post<Answer>(["workspaces", id, "materialize"], {}, options)).workspace;
  }

  /**
   * Waits until a workspace's machine is live, and says how it is reached.
   *
   * @throws HelmrError `workspace_not_live` says what became of the machine.
   * @example const { urls } = await client.workspaces.connect(id, { timeout: "2m" });
   */
  async connect(id: string, options: ConnectOptions = {}): Promise<WorkspaceConnection> {
    return connect(this.#http, id, options);
  }

  /**
   * Archives a workspace: its machine ends, and nothing runs in it until it is unarchived.
   *
   * @throws HelmrError `workspace_busy` while a run in it has not ended, unless `force` cancels it.
   */
  async archive(id: string, options: EndWorkspaceOptions = {}): Promise<Workspace> {
    const { force, ...request } = options;
    return (await this.#http.post<Answer>(["workspaces", id, "archive"], toWire({ force }), request))
      .workspace;
  }

  /** Has an archived workspace be used again. */
  async unarchive(id: string, options: RequestOptions = {}): Promise<Workspace> {
    return (await this.#http.post<Answer>(["workspaces", id, "unarchive"], {}, options)).workspace;
  }

  /**
   * Makes a workspace that begins as a copy of this one: of a version of its files or, `live`, of its machine as it stands,
   * with its memory, every process in it and its sessions. A live fork copies whatever secrets are in that memory.
   *
   * @throws HelmrError `fork_unavailable` if there is no machine that could be copied, `fork_failed` if it was not.
   * @example
   * const { workspace, fork } = await client.workspaces.fork(id, { live: true });
   * const branch = client.sessions.open(fork.sessions[0].sessionId);
   */
  async fork(id: string, options: ForkOptions = {}): Promise<ForkedWorkspace> {
    return fork(this.#http, id, options);
  }

  /**
   * Goes on with a workspace in state `recovery_required`. Whoever rather waits for its worker calls nothing.
   *
   * @example await client.workspaces.recover(id, { from: "last_version" });
   */
  async recover(id: string, options: RecoverWorkspaceOptions): Promise<Workspace> {
    const { from, ...request } = options;
    const path = ["workspaces", id, "recover"];
    return (await this.#http.post<Answer>(path, toWire({ from }), request)).workspace;
  }

  async #idOf(externalId: string): Promise<string> {
    for await (const workspace of this.list({ externalId })) {
      if (workspace.externalId === externalId) return workspace.id;
    }
    throw noWorkspace(externalId);
  }
}

/** Null stays null: it takes the value away. */
function span(duration: NewWorkspace["autoStopAfter"] | null): number | null | undefined {
  return duration === undefined || duration === null ? duration : durationMs(duration, "autoStopAfter");
}
