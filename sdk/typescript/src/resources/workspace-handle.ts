//! A handle on one workspace.
import { HelmrError, NotFoundError } from "../errors.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import type { ExecHandle } from "./exec-handle.ts";
import type { ExecOptions } from "./exec-types.ts";
import { makeExec, WorkspaceExecs } from "./execs.ts";
import type { Workspace, WorkspaceVersion } from "./workspace-types.ts";

/** Finds a workspace's id. */
export interface WorkspaceLookup {
  /** The id, found now or before. */
  id(): Promise<string>;
  /** Forgets an id that turned out to be that of a deleted workspace; false where it was given and not found. */
  forget(): boolean;
}

/** The versions of a workspace's files. */
export class WorkspaceVersions {
  readonly #http: Http;
  readonly #id: () => Promise<string>;

  /** @param id gives the workspace's id; asked when it is first needed. */
  constructor(http: Http, id: () => Promise<string>) {
    this.#http = http;
    this.#id = id;
  }

  /** Lists versions, newest first. */
  list(options: PageOptions & RequestOptions = {}): Listing<WorkspaceVersion> {
    const { limit, cursor, ...request } = options;
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<WorkspaceVersion>>(
        ["workspaces", await this.#id(), "versions"],
        { limit, cursor: at },
        request,
      ),
    );
  }

  /** Looks a version up. */
  async get(version: string, options: RequestOptions = {}): Promise<WorkspaceVersion> {
    const path = ["workspaces", await this.#id(), "versions", version];
    return (await this.#http.get<{ version: WorkspaceVersion }>(path, {}, options)).version;
  }
}

/** One workspace. */
export class WorkspaceHandle {
  readonly #http: Http;
  readonly #lookup: WorkspaceLookup;
  readonly versions: WorkspaceVersions;
  readonly execs: WorkspaceExecs;

  /** @param lookup gives the workspace's id; asked when it is first needed. */
  constructor(http: Http, lookup: WorkspaceLookup) {
    this.#http = http;
    this.#lookup = lookup;
    this.versions = new WorkspaceVersions(http, () => lookup.id());
    this.execs = new WorkspaceExecs(http, () => lookup.id());
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
    const id = await this.#lookup.id();
    try {
      return await makeExec(this.#http, id, command, options);
    } catch (error) {
      // An external id may name another workspace by now: after a deletion it is looked up once more.
      if (!isOver(error) || !this.#lookup.forget()) throw error;
    }
    return makeExec(this.#http, await this.#lookup.id(), command, options);
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

/** No workspace has the external id. */
export function noWorkspace(externalId: string): NotFoundError {
  const message = `no workspace has the external id "${externalId}"`;
  return new NotFoundError({ status: 404, code: "workspace_not_found", message });
}
