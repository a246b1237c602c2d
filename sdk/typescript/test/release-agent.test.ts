//! The release agent from its bundle to its commit, with a real repository and a real child process.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EXAMPLES, runBundler, scratch } from "./bundles.ts";
import { type Call, record, TaskHost } from "./task-host.ts";

let bundle: Awaited<ReturnType<typeof scratch>>;

beforeAll(async () => {
  bundle = await scratch();
  const { code, document } = await runBundler(join(EXAMPLES, "release-agent"), bundle.path);
  expect(document).toMatchObject({ tasks: [{ id: "release-agent" }] });
  expect(code).toBe(0);
});
afterAll(() => bundle[Symbol.asyncDispose]());

/** Takes every append until the agent asks for approval; gives what it appended and the call that creates the token. */
async function untilApproval(host: TaskHost): Promise<{ events: Record<string, unknown>[]; create: Call }> {
  const events: Record<string, unknown>[] = [];
  for (;;) {
    const next = await Promise.race([
      host.call("stream.append"),
      host.until(() => host.calls("token.create")[0]),
    ]);
    if (next.op === "token.create") return { events, create: next };
    const data = next.args.data as Record<string, unknown>;
    events.push(data);
    host.answer(next, record(events.length, data));
  }
}

async function answerAppends(host: TaskHost, count: number): Promise<Record<string, unknown>[]> {
  const events: Record<string, unknown>[] = [];
  for (let i = 0; i < count; i++) {
    const call = await host.call("stream.append");
    events.push(call.args.data as Record<string, unknown>);
    host.answer(call, record(100 + i, call.args.data));
  }
  return events;
}

const TOKEN = {
  id: "tok_1",
  status: "pending",
  timeout_at: "2026-06-15T11:00:00.000Z",
  tags: [],
  metadata: {},
  public_access_token: "hlmr_pat_x",
  callback_url: "http://127.0.0.1:4356/api/v1/tokens/tok_1/callback/x",
};

test("it repairs the repository, waits for approval and commits with its memory intact", async () => {
  await using workspace = await scratch();
  await using host = TaskHost.start({
    bundle: bundle.path,
    module: "tasks/release.mjs",
    export: "releaseAgent",
    workspace: workspace.path,
  });
  const { events, create } = await untilApproval(host);
  expect(events.map((event) => event.type)).toEqual([
    "agent.started",
    "repository.ready",
    "tests.failed",
    "fix.applied",
    "tests.passed",
  ]);
  expect(events[2]).toMatchObject({ message: "the high end is in the range", failed: 1, passed: 3 });
  host.answer(create, TOKEN);
  const [requested] = await answerAppends(host, 1);
  expect(requested).toMatchObject({ type: "approval.requested", tokenId: "tok_1" });

  const wait = await host.call("wait");
  expect(wait.args).toEqual({ kind: "token", token_id: "tok_1", blocking: true });
  host.answer(wait, { approved: true, reviewer: "slack:U123" });
  await answerAppends(host, 2);

  const { output } = (await host.ending()) as unknown as { output: Record<string, unknown> };
  expect(output).toMatchObject({
    approved: true,
    reviewer: "slack:U123",
    memoryIntact: true,
    childIntact: true,
  });
  expect(output.childPid).toBe(requested?.ledgerPid);

  const repository = join(workspace.path, "semver-range");
  const { stdout } = await promisify(execFile)("git", ["-C", repository, "log", "--format=%H %s"]);
  expect(stdout.split("\n")[0]).toBe(`${String(output.commit)} fix: include the high end of a version range`);
  expect(await readFile(join(repository, "src/range.js"), "utf8")).toContain("high) <= 0");
  host.channel.end();
  expect(await host.exit()).toEqual({ code: 0, signal: null });
});

test("a refusal leaves the repository uncommitted", async () => {
  await using workspace = await scratch();
  await using host = TaskHost.start({
    bundle: bundle.path,
    module: "tasks/release.mjs",
    export: "releaseAgent",
    workspace: workspace.path,
  });
  const { create } = await untilApproval(host);
  host.answer(create, TOKEN);
  await answerAppends(host, 1);
  host.answer(await host.call("wait"), { approved: false, reviewer: "slack:U9" });
  await answerAppends(host, 1);
  expect(await host.ending()).toMatchObject({
    type: "finished",
    output: { approved: false, reviewer: "slack:U9" },
  });
  const { stdout } = await promisify(execFile)("git", [
    "-C",
    join(workspace.path, "semver-range"),
    "status",
    "--short",
  ]);
  expect(stdout.trim()).toBe("M src/range.js");
});
