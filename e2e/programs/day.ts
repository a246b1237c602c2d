//! The part of a working day that is done with the client: `edits WORKSPACE`, `watches WORKSPACE` or
//! `compares WORKSPACE YESTERDAY TODAY`.
//!
//! Each step checks what it got; a step that is wrong ends the program with its reason.
import assert from "node:assert/strict";
import { HelmrClient, HelmrError } from "@helmr/sdk";

const client = new HelmrClient();
const [what = "", id = "", yesterday = "", today = ""] = process.argv.slice(2);
const workspace = client.workspaces.open(id);

function say(what: unknown): void {
  console.log(JSON.stringify(what));
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

async function passes(tests: number): Promise<void> {
  const { exitCode, stdout } = await (await workspace.exec(["npm", "test"])).output();
  assert.equal(exitCode, 0, stdout);
  assert.match(stdout, new RegExp(`^(ℹ|#) pass ${tests}$`, "m"));
}

const parts: Record<string, () => Promise<void>> = {
  /** Finds the line that is wrong, and repairs it unless somebody else has meanwhile. */
  async edits() {
    const { files } = workspace;
    const found = await all(files.search("Hello", { glob: "src/**" }));
    assert.deepEqual(
      found.map(({ path, line }) => `${path}:${line}`),
      ["src/greet.js:1"],
    );
    const { revision } = await files.stat("src/greet.js");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the repository's code
    const wrong = "Hello, ${name}.";
    const code = await files.readText("src/greet.js");
    assert(code.includes(wrong), code);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the repository's code
    const right = code.replace(wrong, "Hello, ${capital(name)}.");
    const repaired = `import { capital } from "words";\n\n${right}`;
    const written = await files.write("src/greet.js", repaired, { ifMatch: revision });
    assert.notEqual(written.revision, revision);
    await assert.rejects(files.write("src/greet.js", code, { ifMatch: revision }), (error) => {
      return error instanceof HelmrError && error.code === "file_changed";
    });
    await passes(1);
    say({ edited: written.path });
  },

  /** Starts the agent and looks on until it has ended. */
  async watches() {
    const { session, run } = await client.sessions.start("day", undefined, { workspaceId: id });
    say({ session: session.id, run: run.id });
    const [events, logs] = await Promise.all([
      all(client.runs.events(run.id).follow()),
      all(client.runs.logs(run.id).follow()),
    ]);
    const { status, output } = await client.runs.get(run.id);
    say({
      status,
      output,
      events: events.map(({ kind }) => kind),
      stdout: logs.map((item) => (item.stream === "stdout" ? item.data : "")).join(""),
      logged: logs.flatMap((item) => (item.stream === "logger" ? [item.fields] : [])),
    });
  },

  /** Keeps today in a fork, goes back to yesterday, and tells what lies between the two. */
  async compares() {
    const { workspace: fork } = await workspace.fork({ versionId: today, externalId: "kept" });
    const { version } = await workspace.versions.restore(yesterday, { message: "as it was yesterday" });
    assert.deepEqual([version.kind, version.current], ["restore", true]);
    const tracked = ({ path }: { readonly path: string }) => !path.startsWith(".git/") && path !== ".git";
    const between = await all(workspace.versions.diff({ from: version.id, to: today }));
    const unchanged = await all(workspace.versions.diff({ from: yesterday, to: version.id }));
    assert.deepEqual(unchanged, []);
    await passes(1);
    say({
      fork: fork.id,
      changes: between.filter(tracked).map(({ change, path }) => `${change} ${path}`),
      patch: await workspace.versions.diffText({ from: version.id, to: today }),
    });
  },
};

const part = parts[what];
assert(part !== undefined, `nothing is called ${what}`);
await part();
