//! The task runtime as a process, driven over its channel the way the worker does it.
import { describe, expect, test } from "vitest";
import { bundledFixtures, finish } from "./runtime-host.ts";
import { initLine, record, TaskHost } from "./task-host.ts";

const bundle = bundledFixtures();
const { start } = bundle;

describe("how a run ends", () => {
  test("its output is what run returned, after the payload's defaults were filled in", async () => {
    await using host = start("endings", "echo", { payload: { name: "a", count: undefined } });
    const [ending, code] = await finish(host);
    expect(host.lines[0]).toEqual({ type: "started" });
    expect(ending).toEqual({
      type: "finished",
      output: {
        payload: { name: "a", count: 3 },
        ctx: {
          run: { id: "run_1", attemptNumber: 1, reason: "start" },
          task: { id: "a-task" },
          session: { id: "ses_1", externalId: "ticket-7" },
          workspace: { id: "ws_1", path: "/workspace" },
          deployment: { id: "dep_1", version: "20260615.1" },
          attempt: { number: 1 },
        },
        aborted: false,
        frozen: true,
      },
    });
    expect(code).toBe(0);
  });

  test("a task that returns nothing finishes without an output", async () => {
    await using host = start("endings", "plain");
    expect(await finish(host)).toEqual([{ type: "finished" }, 0]);
  });

  test("it leaves by itself when the worker does not close the channel, whatever handles are open", async () => {
    await using host = start("endings", "lingers");
    expect(await host.ending()).toMatchObject({ output: "done" });
    expect(await host.exit()).toEqual({ code: 0, signal: null });
  });

  test("an error is told with its source line and its cause", async () => {
    await using host = start("endings", "fails");
    const [ending, code] = await finish(host);
    expect(ending).toMatchObject({
      type: "failed",
      error: { kind: "task_error", name: "RangeError", message: "out of ideas" },
    });
    const stack = (ending.error as { stack: string }).stack;
    expect(stack).toContain("(tasks/endings.ts:22:11)");
    expect(stack).toContain("caused by: Error: no coffee");
    expect(code).toBe(1);
  });

  test.each([
    [
      "fillsTheDisk",
      {
        kind: "disk_full",
        message: expect.stringMatching(/^the report was not written \(the machine's disk is full: remove/),
        stack: expect.stringContaining("ENOSPC"),
      },
    ],
    ["failsWithText", { kind: "task_error", name: "Error", message: "just text" }],
    ["throwsLater", { kind: "task_error", message: "thrown in a timer" }],
    ["rejectsUnseen", { kind: "task_error", message: "nobody awaits this" }],
    [
      "exits",
      { kind: "task_exited", name: "ProcessExitError", message: expect.stringContaining("process.exit(3)") },
    ],
    [
      "stuck",
      { kind: "task_error", message: expect.stringContaining("can never finish: its run function awaits") },
    ],
  ])("%s fails", async (name, error) => {
    await using host = start("endings", name);
    const [ending, code] = await finish(host);
    expect(ending).toMatchObject({ type: "failed", error });
    expect(code).toBe(name === "exits" ? 3 : 1);
  });

  test("process.exit(0) is a failure too, and what was printed before it arrives", async () => {
    await using host = start("endings", "exitsCleanly");
    const [ending, code] = await finish(host);
    expect(ending).toMatchObject({ type: "failed", error: { name: "ProcessExitError" } });
    expect(host.stdout).toBe("last words\n");
    expect(code).toBe(1);
  });

  test("a task that handles uncaught errors itself goes on", async () => {
    await using host = start("endings", "handlesItself");
    expect((await finish(host))[0]).toMatchObject({ output: { caught: "caught by the task" } });
  });

  test("what the task prints goes to its own stdout and stderr", async () => {
    await using host = start("endings", "prints");
    await finish(host);
    expect(host.stdout).toBe(`to stdout\n${"x".repeat(200_000)}\n`);
    expect(host.stderr).toBe("to stderr\n");
  });
});

describe("payload and output", () => {
  test.each([
    ["echo", { name: 7 }, /payload does not match the schema of task "echo": name: /],
    ["echo", undefined, /payload does not match/],
    ["plain", { a: 1 }, /task "plain" takes no payload/],
  ])("%s refuses %j before run", async (name, payload, message) => {
    await using host = start("endings", name, { payload });
    const [ending] = await finish(host);
    expect(ending).toMatchObject({
      type: "failed",
      error: { kind: "payload_invalid", message: expect.stringMatching(message) },
    });
    expect(host.lines).toHaveLength(1);
  });

  test.each([
    ["bigint", 'holds a bigint at "total"'],
    ["circle", "circular"],
    ["infinity", 'holds Infinity at "ratio"'],
    ["large", "the limit is 4194304"],
    ["deep", "nested deeper than 100 levels"],
    ["function", "is function, which JSON cannot hold"],
  ])("an output with a %s is refused", async (kind, message) => {
    await using host = start("endings", "outputs", { payload: kind });
    expect((await finish(host))[0]).toMatchObject({
      type: "failed",
      error: { kind: "output_invalid", message: expect.stringContaining(message) },
    });
  });

  test("half a surrogate pair, which other JSON readers refuse, is replaced", async () => {
    await using host = start("endings", "outputs", { payload: "surrogate" });
    const output = { cut: "\ufffd", path: "C:\\ud800", whole: "\u{1f980}" };
    expect((await finish(host))[0]).toEqual({ type: "finished", output });
  });

  test("an output is written as JSON writes it", async () => {
    await using host = start("endings", "outputs", { payload: "date" });
    expect((await finish(host))[0]).toEqual({ type: "finished", output: { at: "1970-01-01T00:00:00.000Z" } });
  });
});

describe("loading", () => {
  test.each([
    ["throws", "fine", "broken at the top"],
    ["misplaced", "fine", "tokens.create() was called while the module was loading"],
    ["hangs", "fine", "a module it imports awaits a promise"],
    ["", "notATask", 'has no task as its export "notATask"'],
    ["", "missing", 'has no task as its export "missing"'],
  ])("import that %s, export %s", async (how, name, message) => {
    await using host = start("imports", name, { env: { TEST_IMPORT: how } });
    const [ending] = await finish(host);
    expect(ending).toMatchObject({
      error: { kind: "task_error", message: expect.stringContaining(message) },
    });
    expect(host.lines.some((line) => line.type === "started")).toBe(false);
  });

  test("a worker of another protocol is told so", async () => {
    await using host = new TaskHost(bundle.path);
    host.send({
      ...initLine({ bundle: bundle.path, module: "tasks/endings.mjs", export: "plain" }),
      protocol: 2,
    });
    expect(await host.ending()).toMatchObject({
      error: { message: expect.stringContaining("speaks protocol 1") },
    });
  });
});

describe("the channel", () => {
  test("documents may come in pieces, several at once, with anything in them", async () => {
    await using host = new TaskHost(bundle.path);
    const name = "\u{1f980} line\nbreak";
    const init = initLine({
      bundle: bundle.path,
      module: "tasks/endings.mjs",
      export: "echo",
      payload: { name },
    });
    const bytes = Buffer.from(`\n${JSON.stringify(init)}\n{"type":"news"}\n`);
    host.channel.setNoDelay?.(true);
    for (const byte of bytes) host.write(Uint8Array.of(byte));
    expect(await host.ending()).toMatchObject({ output: { payload: { name } } });
  });

  test("a process that the task starts does not inherit it", async () => {
    await using host = start("waits", "spawns");
    const [ending] = await finish(host);
    const { channel, inherited } = ending.output as { channel: string; inherited: string };
    expect(channel).toMatch(/^socket:/);
    expect(inherited).toMatch(/ 2 -> /);
    expect(inherited).not.toContain(channel);
  });

  test.each([true, false])(
    "a worker that reads late loses nothing, also when the task exits (%s)",
    async (exits) => {
      await using host = start("endings", "floods", { payload: { exits } });
      host.channel.pause();
      await host.until(() => (host.stdout === "flooded\n" ? true : undefined));
      host.channel.resume();
      expect(await host.ending()).toMatchObject({ type: exits ? "failed" : "finished" });
      const numbers = host.lines
        .filter(({ type }) => type === "entry")
        .map(({ message }) => parseInt(String(message), 10));
      expect(numbers).toEqual(Array.from({ length: 60 }, (_, at) => at));
    },
  );

  test("garbage on it, or its end, ends the process", async () => {
    await using garbage = start("waits", "unwraps");
    await garbage.call("wait");
    garbage.write("not json\n");
    expect((await garbage.exit()).code).toBe(1);
    expect(garbage.stderr).toContain("not JSON");
    await using closed = start("waits", "unwraps");
    await closed.call("wait");
    closed.channel.destroy();
    expect((await closed.exit()).code).toBe(1);
  });

  test("answers that nobody asked for, or that come twice, are dropped", async () => {
    await using host = start("waits", "unwraps");
    const call = await host.call("wait");
    host.send({ type: "answer", id: 99, ok: true, data: null });
    host.answer(call, record(1, { text: "first" }));
    host.answer(call, record(2, { text: "second" }));
    expect((await finish(host))[0]).toMatchObject({ output: { text: "first", loud: false } });
  });
});

describe("reading and writing", () => {
  test("streams are appended to, piped into, listed and peeked", async () => {
    await using host = start("waits", "writes");
    const one = await host.call("stream.append");
    expect(one.args).toEqual({
      stream: "events",
      data: { type: "one" },
      correlation_id: "c",
      idempotency_key: "k",
    });
    host.answer(one, record(11, one.args.data));
    for (const type of ["two", "three", "four", "five"]) {
      const next = await host.call("stream.append");
      expect(next.args).toEqual({ stream: "events", data: { type } });
      host.answer(next, record(12, next.args.data));
    }
    const page = await host.call("stream.list");
    expect(page.args).toEqual({ direction: "output", stream: "events", limit: 2, correlation_id: "c" });
    host.answer(page, { items: [record(1, { type: "a" }), record(2, { type: "b" })], next_cursor: "2" });
    const last = await host.call("stream.list");
    expect(last.args).toEqual({
      direction: "output",
      stream: "events",
      after: 2,
      limit: 2,
      correlation_id: "c",
    });
    host.answer(last, { items: [record(3, { type: "c" })], next_cursor: null });
    const peek = await host.call("stream.peek");
    expect(peek.args).toEqual({ stream: "messages", correlation_id: "x", limit: 5 });
    host.answer(peek, { items: [record(4, { text: "unread" })] });
    expect((await finish(host))[0].output).toMatchObject({
      sequence: 11,
      bad: expect.stringContaining("SchemaMismatchError"),
      piped: 2,
      all: [1, 2, 3],
      unread: [{ text: "unread", loud: false }],
    });
  });

  test("a refused call throws with code, details and the task's own line", async () => {
    await using host = start("waits", "refused");
    host.refuse(await host.call("token.create"), "limit_exceeded", "too many", { limit: 10 });
    expect((await finish(host))[0].output).toEqual({
      name: "OperationError",
      message: "too many",
      code: "limit_exceeded",
      details: { limit: 10 },
      inTask: true,
    });
  });

  test("a write that nobody awaited is on the server before the run ends", async () => {
    await using host = start("waits", "floats");
    const append = await host.call("stream.append");
    expect(host.lines.at(-1)).toBe(append);
    host.answer(append, record(1, append.args.data));
    expect((await finish(host))[0].output).toBe("returned");
  });

  test("metadata resolves with all of it", async () => {
    await using host = start("waits", "keepsState");
    const set = await host.call("metadata.set");
    expect(set.args).toEqual({ key: "stage_name", value: { userKey: 1 } });
    host.answer(set, { stage_name: { userKey: 1 }, note: "x" });
    const patch = await host.call("metadata.patch");
    expect(patch.args).toEqual({ patch: { note: null } });
    host.answer(patch, { stage_name: { userKey: 1 } });
    const increment = await host.call("metadata.increment");
    expect(increment.args).toEqual({ key: "files", by: 2 });
    host.answer(increment, { stage_name: { userKey: 1 }, files: 2 });
    host.answer(await host.call("metadata.get"), { files: 2 });
    expect((await finish(host))[0].output).toEqual({
      all: { stage_name: { userKey: 1 }, note: "x" },
      again: { files: 2 },
    });
  });

  test("a stream declared inside a run is refused with where it belongs", async () => {
    await using host = start("waits", "declaresLate");
    expect((await finish(host))[0]).toMatchObject({
      error: {
        name: "MisplacedCallError",
        message: expect.stringContaining("declare the stream at module level"),
      },
    });
  });

  test("the logger takes anything", async () => {
    await using host = start("waits", "logs");
    await finish(host);
    const [first, second, half, large, refused] = host.lines.filter((line) => line.type === "entry");
    expect(first).toMatchObject({
      level: "debug",
      message: "reviewing 42 twice",
      fields: {
        file_name: "a.ts",
        name: "circle",
        self: "[circular]",
        failed: { error: { name: "Error", message: "bad" } },
      },
    });
    expect(second).toMatchObject({ level: "warn", message: 'cut \ufffd 1 ["1970-01-01T00:00:00.000Z"]' });
    expect(second).not.toHaveProperty("fields");
    expect(half).toMatchObject({ level: "error", fields: { "\ufffd": "\ufffd" } });
    expect(large).toMatchObject({ fields: { left_out: "10000011 bytes of fields; the limit is 65536" } });
    expect(refused).toMatchObject({
      message: expect.stringMatching(/stream.append was called with 9000\d{3} characters/),
    });
  });
});

describe("who a run is after a restore", () => {
  const before = {
    run: { id: "run_1", attemptNumber: 1, reason: "start" },
    session: { id: "ses_1", externalId: "ticket-7" },
    workspace: { id: "ws_1", path: "/workspace" },
  };

  async function told(ids: unknown): Promise<unknown> {
    await using host = start("waits", "knowsItself");
    const wait = await host.call("wait");
    host.send({ type: "resumed", now_ms: 0, reseed: "", ids });
    host.answer(wait, record(1, { text: "go" }));
    return (await finish(host))[0].output;
  }

  test("in a fork it has the fork's ids, and no external id", async () => {
    expect(await told({ run: "run_2", session: "ses_2", workspace: "ws_2" })).toEqual({
      before,
      after: {
        run: { ...before.run, id: "run_2" },
        session: { id: "ses_2" },
        workspace: { ...before.workspace, id: "ws_2" },
      },
      frozen: true,
    });
  });

  test("in its own machine it is who it was", async () => {
    const same = { run: "run_1", session: "ses_1", workspace: "ws_1" };
    for (const ids of [same, undefined, "nonsense", { run: 7 }]) {
      expect(await told(ids)).toEqual({ before, after: before, frozen: true });
    }
  });
});

describe("randomness after a restore", () => {
  async function drawn(reseed: string | undefined): Promise<{ before: Draws; after: Draws }> {
    await using host = start("waits", "random");
    const wait = await host.call("wait");
    if (reseed !== undefined) host.send({ type: "resumed", now_ms: 0, reseed });
    host.answer(wait, record(1, null));
    return (await finish(host))[0].output as { before: Draws; after: Draws };
  }

  const seed = Buffer.alloc(32, 7).toString("base64");

  test("the same bytes give the same numbers, others give others", async () => {
    const [one, same, other] = await Promise.all([
      drawn(seed),
      drawn(seed),
      drawn(Buffer.alloc(32, 8).toString("base64")),
    ]);
    expect(one.before.math).not.toEqual(same.before.math);
    expect(one.after.math).toEqual(same.after.math);
    expect(other.after.math).not.toEqual(one.after.math);
    for (const number of one.after.math) expect(number).toSatisfy((value: number) => value >= 0 && value < 1);
  });

  test("every source gives well-formed, distinct values before and after", async () => {
    const { before, after } = await drawn(seed);
    const texts = [before, after].flatMap((draws) => [...draws.uuid, ...draws.bytes, draws.web]);
    expect(new Set(texts).size).toBe(texts.length);
    for (const uuid of [...before.uuid, ...after.uuid]) {
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    for (const { int, part } of [before, after]) {
      expect(int[1]).toSatisfy((value: number) => value >= 5 && value < 10);
      expect(part).toMatch(/^0,\d+,\d+,0$/);
    }
  });
});

interface Draws {
  math: number[];
  uuid: string[];
  bytes: string[];
  int: number[];
  web: string;
  part: string;
}
