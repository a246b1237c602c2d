//! The files of one workspace: its machine may live, be parked or stopped.
import type { Http, Query, RequestOptions } from "../internal/http.ts";
import { Listing, type Page } from "../pagination.ts";
import type {
  AppendFileOptions,
  Bytes,
  FileCondition,
  FileMatch,
  GlobFilesOptions,
  ListFilesOptions,
  MakeDirectoryOptions,
  MoveFileOptions,
  OfVersion,
  ReadFileOptions,
  RemoveFileOptions,
  SearchFilesOptions,
  StatFileOptions,
  UploadedFiles,
  WorkspaceFile,
  WriteFileOptions,
} from "./file-types.ts";

/** Waking a machine may take its time. */
const WAKES_WITHIN_MS = 180_000;

/** The files of a workspace. */
export class WorkspaceFiles {
  readonly #http: Http;
  readonly #id: () => Promise<string>;

  /** @param id gives the workspace's id; asked when it is first needed. */
  constructor(http: Http, id: () => Promise<string>) {
    this.#http = http;
    this.#id = id;
  }

  /**
   * Lists a directory by name.
   *
   * @example for await (const { path, kind } of workspace.files.list("src")) console.log(kind, path);
   */
  list(path = "", options: ListFilesOptions = {}): Listing<WorkspaceFile> {
    const { limit, cursor, version, ...request } = options;
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<WorkspaceFile>>(await this.#path(), { path, version, limit, cursor: at }, request),
    );
  }

  /**
   * Tells what is at a path: of a link the link itself, unless `follow` is set.
   *
   * @throws NotFoundError `file_not_found`
   */
  async stat(path: string, options: StatFileOptions = {}): Promise<WorkspaceFile> {
    const { version, follow, ...request } = options;
    const query = { path, version, follow: flag(follow) };
    return (await this.#http.get<{ file: WorkspaceFile }>(await this.#path("stat"), query, request)).file;
  }

  /**
   * Reads a file, or the part from `start` to `end`.
   *
   * @throws NotFoundError `file_not_found`
   * @example const bytes = await workspace.files.read("out/report.pdf");
   */
  async read(path: string, options: ReadFileOptions = {}): Promise<Uint8Array> {
    const response = await this.#open(path, options);
    return new Uint8Array(await response.arrayBuffer());
  }

  /**
   * Reads a file as text.
   *
   * @example const readme = await workspace.files.readText("README.md");
   */
  async readText(path: string, options: ReadFileOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /** Reads a file as its bytes come: for large ones. */
  async stream(path: string, options: ReadFileOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return bodyOf(await this.#open(path, options));
  }

  /**
   * Writes a file as a whole: readers see the old bytes or the new ones.
   *
   * @throws HelmrError `file_changed` if `ifMatch` or `ifAbsent` does not hold; its details have the revision that is there.
   * @example
   * const { revision } = await workspace.files.write("config.json", "{}", { ifAbsent: true });
   * await workspace.files.write("config.json", '{"a":1}', { ifMatch: revision });
   */
  async write(path: string, data: Bytes, options: WriteFileOptions = {}): Promise<WorkspaceFile> {
    const { mode, parents, ifMatch, ifAbsent, ...request } = options;
    const query = { path, mode, parents: flag(parents) };
    const sent = { query, headers: condition({ ifMatch, ifAbsent }), body: data };
    const response = await this.#http.open("PUT", await this.#path("content"), sent, request);
    return (await this.#http.read<{ file: WorkspaceFile }>(response)).file;
  }

  /** Adds bytes at a file's end; a file that is missing is made. */
  async append(path: string, data: Bytes, options: AppendFileOptions = {}): Promise<WorkspaceFile> {
    const { offset, parents, ifMatch, ifAbsent, ...request } = options;
    const query = { path, offset, parents: flag(parents) };
    const sent = { query, headers: condition({ ifMatch, ifAbsent }), body: data };
    const response = await this.#http.open("POST", await this.#path("append"), sent, request);
    return (await this.#http.read<{ file: WorkspaceFile }>(response)).file;
  }

  /** Makes a directory. */
  async mkdir(path: string, options: MakeDirectoryOptions = {}): Promise<WorkspaceFile> {
    const { mode, parents, ...request } = options;
    const body = { path, ...(mode !== undefined && { mode }), ...(parents !== undefined && { parents }) };
    const made = this.#http.postOnce<{ file: WorkspaceFile }>(await this.#path("mkdir"), body, request);
    return (await made).file;
  }

  /** Moves a file, a directory or a link. A parked machine is woken for it. */
  async move(from: string, to: string, options: MoveFileOptions = {}): Promise<WorkspaceFile> {
    const { overwrite, timeoutMs = WAKES_WITHIN_MS, ...request } = options;
    const body = { from, to, ...(overwrite !== undefined && { overwrite }) };
    const moved = this.#http.postOnce<{ file: WorkspaceFile }>(await this.#path("move"), body, {
      ...request,
      timeoutMs,
    });
    return (await moved).file;
  }

  /** Gives a file or a directory another mode, in octal. */
  async chmod(path: string, mode: string, options: RequestOptions = {}): Promise<WorkspaceFile> {
    const body = { path, mode };
    const changed = this.#http.post<{ file: WorkspaceFile }>(await this.#path("chmod"), body, options);
    return (await changed).file;
  }

  /** Removes a file, a link or a directory. A parked machine is woken for it. */
  async remove(path: string, options: RemoveFileOptions = {}): Promise<void> {
    const { recursive, ifMatch, timeoutMs = WAKES_WITHIN_MS, ...request } = options;
    const sent = { query: { path, recursive: flag(recursive) }, headers: condition({ ifMatch }) };
    const response = await this.#http.open("DELETE", await this.#path(), sent, { ...request, timeoutMs });
    await response.body?.cancel();
  }

  /**
   * Unpacks a tar into a directory, which is made if it is missing.
   *
   * @example await workspace.files.upload("vendor", Readable.toWeb(createReadStream("vendor.tar")));
   */
  async upload(path: string, tar: Bytes, options: RequestOptions = {}): Promise<UploadedFiles> {
    const sent = { query: { path }, body: tar };
    return this.#http.read(await this.#http.open("PUT", await this.#path("archive"), sent, options));
  }

  /** Reads a directory with everything in it, or a file, as a tar. */
  async download(path = "", options: OfVersion & RequestOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const { version, ...request } = options;
    const sent = { query: { path, version } };
    return bodyOf(await this.#http.open("GET", await this.#path("archive"), sent, request));
  }

  /**
   * Finds files by a pattern of their paths: `*`, `?`, `[…]`, `{a,b}`, and `**` for any directories.
   *
   * @example for await (const { path } of workspace.files.glob("src/**\/*.ts")) console.log(path);
   */
  glob(pattern: string, options: GlobFilesOptions = {}): Listing<WorkspaceFile> {
    const { limit, cursor, version, path, ...request } = options;
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<WorkspaceFile>>(
        await this.#path("glob"),
        { pattern, path, version, limit, cursor: at },
        request,
      ),
    );
  }

  /**
   * Finds lines in files.
   *
   * @example for await (const { path, line } of workspace.files.search("deprecated", { glob: "**\/*.ts" })) console.log(path, line);
   */
  search(query: string, options: SearchFilesOptions = {}): Listing<FileMatch> {
    const { limit, cursor, version, path, regex, ignoreCase, glob, ...request } = options;
    const asked = { query, regex: flag(regex), ignore_case: flag(ignoreCase), glob, path, version, limit };
    return new Listing(cursor, async (at) =>
      this.#http.get<Page<FileMatch>>(await this.#path("search"), { ...asked, cursor: at }, request),
    );
  }

  async #path(...rest: readonly string[]): Promise<readonly string[]> {
    return ["workspaces", await this.#id(), "files", ...rest];
  }

  async #open(path: string, options: ReadFileOptions): Promise<Response> {
    const { version, start, end, ...request } = options;
    const headers: Record<string, string> = {};
    if (start !== undefined || end !== undefined)
      headers.range = `bytes=${start ?? 0}-${end === undefined ? "" : end - 1}`;
    const sent = { query: { path, version }, headers };
    return this.#http.open("GET", await this.#path("content"), sent, request);
  }
}

function condition({ ifMatch, ifAbsent }: FileCondition): Record<string, string> {
  return {
    ...(ifMatch !== undefined && { "if-match": `"${ifMatch}"` }),
    ...(ifAbsent === true && { "if-none-match": "*" }),
  };
}

function flag(value: boolean | undefined): Query[string] {
  return value === undefined ? undefined : String(value);
}

function bodyOf(response: Response): ReadableStream<Uint8Array> {
  return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
}
