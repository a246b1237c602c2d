//! The client offers what the API does: every operation on sessions, streams, runs, tokens, workspaces, execs and PTYs has its
//! method.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { HelmrClient } from "../src/index.ts";

const client = new HelmrClient({ url: "http://127.0.0.1:1", apiKey: "k" });
const session = client.sessions.open("ses_1");
const workspace = client.workspaces.open("ws_1");
const exec = client.execs.open("exec_1");
const pty = client.ptys.open("pty_1");

/** The method for each operation. A callback is for providers, which have no client. */
const METHODS: Readonly<Record<string, unknown>> = {
  start_session: client.sessions.start,
  list_sessions: client.sessions.list,
  get_session: client.sessions.get,
  update_session: client.sessions.update,
  close_session: client.sessions.close,
  cancel_session: client.sessions.cancel,
  list_session_runs: client.runs.list,
  list_session_events: session.events().follow,
  list_transcript: session.transcript().follow,
  list_streams: session.streams,
  list_inputs: session.input("a").follow,
  send_input: session.input("a").send,
  list_outputs: session.output("a").follow,
  list_runs: client.runs.list,
  get_run: client.runs.get,
  cancel_run: client.runs.cancel,
  retry_run: client.runs.retry,
  list_run_events: client.runs.events("r").follow,
  list_run_logs: client.runs.logs("r").follow,
  create_token: client.tokens.create,
  list_tokens: client.tokens.list,
  get_token: client.tokens.get,
  complete_token: client.tokens.complete,
  cancel_token: client.tokens.cancel,
  complete_by_callback: fetch,
  look_at_callback: fetch,
  create_public_token: client.auth.publicTokens.create,
  list_public_tokens: client.auth.publicTokens.list,
  get_public_token: client.auth.publicTokens.get,
  revoke_public_token: client.auth.publicTokens.revoke,
  create_workspace: client.workspaces.create,
  list_workspaces: client.workspaces.list,
  get_workspace: client.workspaces.get,
  update_workspace: client.workspaces.update,
  delete_workspace: client.workspaces.delete,
  materialize_workspace: client.workspaces.materialize,
  connect_workspace: client.workspaces.connect,
  stop_workspace: client.workspaces.stop,
  archive_workspace: client.workspaces.archive,
  unarchive_workspace: client.workspaces.unarchive,
  fork_workspace: workspace.fork,
  recover_workspace: client.workspaces.recover,
  list_workspace_versions: workspace.versions.list,
  get_workspace_version: workspace.versions.get,
  capture_workspace: workspace.versions.capture,
  restore_workspace: workspace.versions.restore,
  diff_workspace: workspace.versions.diff,
  diff_workspace_text: workspace.versions.diffText,
  export_workspace_version: workspace.versions.export,
  import_workspace_version: workspace.versions.import,
  get_storage: client.storage.get,
  sweep_storage: client.storage.sweep,
  get_retention: client.storage.retention,
  update_retention: client.storage.setRetention,
  list_files: workspace.files.list,
  stat_file: workspace.files.stat,
  read_file: workspace.files.read,
  write_file: workspace.files.write,
  append_file: workspace.files.append,
  make_directory: workspace.files.mkdir,
  move_file: workspace.files.move,
  change_mode: workspace.files.chmod,
  remove_file: workspace.files.remove,
  download_files: workspace.files.download,
  upload_files: workspace.files.upload,
  glob_files: workspace.files.glob,
  search_files: workspace.files.search,
  create_exec: workspace.exec,
  list_execs: workspace.execs.list,
  get_exec: client.execs.get,
  read_exec_stdout: exec.stdout.follow,
  read_exec_stderr: exec.stderr.follow,
  write_exec_stdin: exec.stdin.write,
  signal_exec: exec.signal,
  create_pty: workspace.pty.create,
  list_ptys: workspace.pty.list,
  get_pty: client.ptys.get,
  read_pty_output: pty.output.follow,
  write_pty_input: pty.write,
  resize_pty: pty.resize,
  close_pty: pty.close,
  attach_pty: pty.attach,
  get_quotas: client.quotas.get,
  update_quotas: client.quotas.update,
};

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
}

test("every operation on sessions, streams, runs, tokens, workspaces, execs and PTYs has a method", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../docs/openapi.json"), "utf8");
  const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, Operation>> };
  const mine = new Set([
    "sessions",
    "streams",
    "runs",
    "tokens",
    "public-tokens",
    "workspaces",
    "execs",
    "ptys",
    "quotas",
    "storage",
    "files",
  ]);
  const operations = Object.values(paths)
    .flatMap((path) => Object.values(path))
    .filter(({ tags }) => tags?.some((tag) => mine.has(tag)))
    .map(({ operationId }) => operationId);
  expect(operations.length).toBeGreaterThan(15);
  expect(operations.filter((operation) => typeof METHODS[operation] !== "function")).toEqual([]);
});
