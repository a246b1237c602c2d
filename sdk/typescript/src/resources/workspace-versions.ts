//! `workspace.versions`: a workspace's files as they were, and as they are to be again.
import type { Http, RequestOptions } from "../internal/http.ts";
import { toWire } from "../internal/wire.ts";
import { Listing, type Page, type PageOptions } from "../pagination.ts";
import type {
  CaptureVersionOptions,
  DiffTextOptions,
  DiffVersionsOptions,
  FileChange,
  ImportedVersion,
  ImportVersionOptions,
  RestoredWorkspace,
  RestoreVersionOptions,
  WorkspaceVersion,
} from "./workspace-types.ts";

/** The server waits a minute for a worker, and then says so. */
const CAPTURED_WITHIN_MS = 90_000;
/** A worker may have to read what changed first. */
const LOOKED_AT_WITHIN_MS = 150_000;

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

  /**
   * Makes a version of the files as they are now. A live machine stands still for as long as that takes; one that is
   * parked or stopped stays so.
   *
   * @throws HelmrError `workspace_empty` if nothing has run in the workspace, `capture_failed`, `capture_unfinished` if
   * it takes more than a minute: the same `idempotencyKey` goes on waiting for the same version.
   * @example const before = await workspace.versions.capture({ message: "before the rewrite" });
   */
  async capture(options: CaptureVersionOptions = {}): Promise<WorkspaceVersion> {
    const { message, ...request } = options;
    const path = ["workspaces", await this.#id(), "versions"];
    const answer = await this.#http.create<{ version: WorkspaceVersion }>(path, toWire({ message }), {
      timeoutMs: CAPTURED_WITHIN_MS,
      ...request,
    });
    return answer.version;
  }

  /**
   * Lists what differs between two versions, or a version and the files as they are now. Times do not count, and nothing
   * is woken for it.
   *
   * @example for await (const { path, change } of workspace.versions.diff({ from: before.id })) console.log(change, path);
   */
  diff(options: DiffVersionsOptions = {}): Listing<FileChange> {
    const { from, to, limit, cursor, ...request } = options;
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<FileChange>>(
        ["workspaces", await this.#id(), "diff"],
        { from, to, limit, cursor: at },
        { timeoutMs: LOOKED_AT_WITHIN_MS, ...request },
      ),
    );
  }

  /** The same as unified text, as `git diff` gives it. Files over 1 MiB and those that are not text are named only. */
  async diffText(options: DiffTextOptions = {}): Promise<string> {
    const { from, to, ...request } = options;
    const path = ["workspaces", await this.#id(), "diff", "text"];
    const text = await this.#http.bytes(path, { from, to }, request);
    return new Response(text).text();
  }

  /**
   * A version's files as a tar archive in the POSIX form, as they come.
   *
   * @example await pipeline(Readable.fromWeb(await workspace.versions.export(id)), createWriteStream("files.tar"));
   */
  async export(
    version: string,
    options: Pick<RequestOptions, "signal"> = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const path = ["workspaces", await this.#id(), "versions", version, "archive"];
    return this.#http.bytes(path, {}, options);
  }

  /**
   * Makes a tar archive, uncompressed, the files of a workspace that has no machine, as a new version.
   *
   * @throws HelmrError `workspace_not_stopped`, `archive_invalid`, `archive_too_large`.
   * @example await workspace.versions.import(await readFile("files.tar"), { message: "from the old server" });
   */
  async import(
    archive: Uint8Array | ReadableStream<Uint8Array>,
    options: ImportVersionOptions = {},
  ): Promise<ImportedVersion> {
    const { message, ...request } = options;
    const path = ["workspaces", await this.#id(), "versions", "import"];
    const sent = { contentType: "application/x-tar", ...request };
    return this.#http.sendBytes<ImportedVersion>(path, { message }, archive, sent);
  }

  /**
   * Makes the files those of an earlier version again, as a new version. The machine is told to stop; what is written in
   * it until then is kept as a version beside.
   *
   * @throws HelmrError `workspace_busy` while a run in the workspace has not ended, unless `force` cancels it.
   * @example await workspace.versions.restore(before.id, { message: "the rewrite did not work" });
   */
  async restore(version: string, options: RestoreVersionOptions = {}): Promise<RestoredWorkspace> {
    const { message, force, ...request } = options;
    const path = ["workspaces", await this.#id(), "restore"];
    return this.#http.create<RestoredWorkspace>(
      path,
      toWire({ versionId: version, message, force }),
      request,
    );
  }
}
