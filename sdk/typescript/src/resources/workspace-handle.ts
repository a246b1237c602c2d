//! A handle on one workspace.
import { HelmrError, NotFoundError } from "../errors.ts";
import { durationMs } from "../internal/duration.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import type { ExecHandle } from "./exec-handle.ts";
import type { ExecOptions } from "./exec-types.ts";
import { makeExec, WorkspaceExecs } from "./execs.ts";
import { WorkspaceFiles } from "./files.ts";
import { WorkspacePtys } from "./ptys.ts";
import type {
  ConnectOptions,
  ForkedWorkspace,
  ForkOptions,
  Workspace,
  WorkspaceConnection,
} from "./workspace-types.ts";
import { WorkspaceVersions } from "./workspace-versions.ts";

const CONNECT_USUAL_MS = 60_000;
const ANSWERS_WITHIN_MS = 30_000;

/** Finds a workspace's id. */
export interface WorkspaceLookup {
  /** The id, found now or before. */
  id(): Promise<string>;
  /** Forgets an id that turned out to be that of a deleted workspace; false where it was given and not found. */
  forget(): boolean;
}

/** One workspace. */
export class WorkspaceHandle {
  readonly #http: Http;
  readonly #lookup: WorkspaceLookup;
  readonly versions: WorkspaceVersions;
  readonly execs: WorkspaceExecs;
  readonly files: WorkspaceFiles;
  readonly pty: WorkspacePtys;

  /** @param lookup gives the workspace's id; asked when it is first needed. */
  constructor(http: Http, lookup: WorkspaceLookup) {
    this.#http = http;
    this.#lookup = lookup;
    this.versions = new WorkspaceVersions(http, () => lookup.id());
    this.execs = new WorkspaceExecs(http, () => lookup.id());
    this.files = new WorkspaceFiles(http, () => lookup.id());
    this.pty = new WorkspacePtys(
      http,
      () => lookup.id(),
      (work) => this.#use(work),
    );
  }

  /** Looks the workspace up. */
  async get(options: RequestOptions = {}): Promise<Workspace> {
    const found = await this.#get(await this.#lookup.id(), options);
    // An external id may name another workspace by now: after a deletion it is looked up once more.
    if (found.state !== "deleted" || !this.#lookup.forget()) return found;
    return this.#get(await this.#lookup.id(), options);
  }

  /**
   * Runs a command in the workspace's machine, which is started or woken for it. No shell reads the command. It goes on
   * when this program ends: `client.execs.open(id)` finds it again.
   *
   * @param options `timeout` is the command's; `timeoutMs` and `signal` are the request's, which starts it.
   * @throws HelmrError `workspace_not_active`, `limit_exceeded` for more than 4,096 arguments or 1 MiB of them.
   * @example
   * const workspace = client.workspaces.open({ externalId: "repo-7" });
   * const exec = await workspace.exec(["npm", "test"], { cwd: "web", env: { CI: "1" }, timeout: "10m" });
   * const { exitCode, stdout, stderr } = await exec.output();
   */
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<ExecHandle> {
    return this.#use((id) => makeExec(this.#http, id, command, options));
  }

  async #use<T>(work: (id: string) => Promise<T>): Promise<T> {
    const id = await this.#lookup.id();
    try {
      return await work(id);
    } catch (error) {
      // An external id may name another workspace by now: after a deletion it is looked up once more.
      if (!isOver(error) || !this.#lookup.forget()) throw error;
    }
    return work(await this.#lookup.id());
  }

  /**
   * Asks for the workspace's machine: it is started, or woken if it is parked, and stays as if something had just run in
   * it. The answer does not wait.
   */
  async materialize(options: RequestOptions = {}): Promise<Workspace> {
    const path = ["workspaces", await this.#lookup.id(), "materialize"];
    return (await this.#http.post<{ workspace: Workspace }>(path, {}, options)).workspace;
  }

  /**
   * Waits until the workspace's machine is live, and says how it is reached.
   *
   * @throws HelmrError `workspace_not_live` says what became of the machine.
   */
  async connect(options: ConnectOptions = {}): Promise<WorkspaceConnection> {
    return connect(this.#http, await this.#lookup.id(), options);
  }

  /**
   * Makes a workspace that begins as a copy of this one: of a version of its files or, `live`, of its machine as it stands,
   * with its memory, every process in it and its sessions. A live fork copies whatever secrets are in that memory.
   *
   * @throws HelmrError `fork_unavailable` if there is no machine that could be copied, `fork_failed` if it was not.
   * @example const { fork } = await client.workspaces.open(ctx.workspace.id).fork({ live: true });
   */
  async fork(options: ForkOptions = {}): Promise<ForkedWorkspace> {
    return fork(this.#http, await this.#lookup.id(), options);
  }

  async #get(id: string, options: RequestOptions): Promise<Workspace> {
    return (await this.#http.get<{ workspace: Workspace }>(["workspaces", id], {}, options)).workspace;
  }
}

function isOver(error: unknown): boolean {
  return (
    error instanceof HelmrError &&
    (error.code === "workspace_not_active" || error.code === "workspace_not_found")
  );
}

/** Waits for a workspace's machine. The server answers in time, whatever came of it. */
export async function connect(http: Http, id: string, options: ConnectOptions): Promise<WorkspaceConnection> {
  const { timeout, ...request } = options;
  const within = timeout === undefined ? undefined : durationMs(timeout, "timeout");
  const timeoutMs = (within ?? CONNECT_USUAL_MS) + ANSWERS_WITHIN_MS;
  const body = within === undefined ? {} : { timeout: within };
  const path = ["workspaces", id, "connect"];
  const answer = await http.post<{ connection: WorkspaceConnection }>(path, body, { timeoutMs, ...request });
  return answer.connection;
}

/** Makes a fork. The server gives a live one up after a minute. */
export async function fork(http: Http, id: string, options: ForkOptions): Promise<ForkedWorkspace> {
  const { signal, timeoutMs, idempotencyKey, ...body } = options;
  return http.create<ForkedWorkspace>(["workspaces", id, "fork"], toWire(body), {
    signal,
    timeoutMs: timeoutMs ?? CONNECT_USUAL_MS + ANSWERS_WITHIN_MS,
    idempotencyKey,
  });
}

/** No workspace has the external id. */
export function noWorkspace(externalId: string): NotFoundError {
  const message = `no workspace has the external id "${externalId}"`;
  return new NotFoundError({ status: 404, code: "workspace_not_found", message });
}
