//! A handle on one workspace.
import { NotFoundError } from "../errors.ts";
import type { Http, RequestOptions } from "../internal/http.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
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

  /** @param lookup gives the workspace's id; asked when it is first needed. */
  constructor(http: Http, lookup: WorkspaceLookup) {
    this.#http = http;
    this.#lookup = lookup;
    this.versions = new WorkspaceVersions(http, () => lookup.id());
  }

  /** Looks the workspace up. */
  async get(options: RequestOptions = {}): Promise<Workspace> {
    const found = await this.#get(await this.#lookup.id(), options);
    // An external id may name another workspace by now: after a deletion it is looked up once more.
    if (found.state !== "deleted" || !this.#lookup.forget()) return found;
    return this.#get(await this.#lookup.id(), options);
  }

  async #get(id: string, options: RequestOptions): Promise<Workspace> {
    return (await this.#http.get<{ workspace: Workspace }>(["workspaces", id], {}, options)).workspace;
  }
}

/** No workspace has the external id. */
export function noWorkspace(externalId: string): NotFoundError {
  const message = `no workspace has the external id "${externalId}"`;
  return new NotFoundError({ status: 404, code: "workspace_not_found", message });
}
