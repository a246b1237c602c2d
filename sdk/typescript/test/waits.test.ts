//! What a task waits for, over the channel of its runtime, and how it leaves waits.
import { describe, expect, test } from "vitest";
import { bundledFixtures, finish } from "./runtime-host.ts";
import { record } from "./task-host.ts";

const bundle = bundledFixtures();
const { start } = bundle;

const TOKEN = {
  id: "tok_1",
  status: "pending",
  timeout_at: "2026-06-15T11:00:00.000Z",
  tags: ["a"],
  metadata: { release_name: "x" },
  public_access_token: "hlmr_pat_x",
  callback_url: "http://127.0.0.1:4356/api/v1/tokens/tok_1/callback/x",
};

describe("waits", () => {
  test("a token is created and waited for", async () => {
    await using host = start("waits", "tokenWait");
    const create = await host.call("token.create");
    expect(create.args).toEqual({
      timeout_ms: 3_600_000,
      tags: ["a"],
      metadata: { release_name: "x" },
      allowed_origins: ["https://app.example.com"],
    });
    host.answer(create, TOKEN);
    const wait = await host.call("wait");
    expect(wait.args).toEqual({
      kind: "token",
      token_id: "tok_1",
      timeout_ms: 1_800_000,
      idle_timeout_ms: 0,
      blocking: true,
    });
    host.answer(wait, { approved: true, extra: 1 });
    expect((await finish(host))[0].output).toEqual({
      ok: true,
      data: { approved: true },
      url: TOKEN.callback_url,
      secret: "hlmr_pat_x",
    });
  });

  test("a completion of the wrong shape gives ok: false with the path", async () => {
    await using host = start("waits", "tokenWait");
    host.answer(await host.call("token.create"), TOKEN);
    host.answer(await host.call("wait"), { approved: "yes" });
    expect((await finish(host))[0].output).toMatchObject({
      ok: false,
      error: { code: "schema_mismatch", issues: [{ path: ["approved"] }] },
    });
  });

  test.each(["token_expired", "token_cancelled"])(
    "a wait that is refused with %s ends like one that came to it",
    async (code) => {
      await using host = start("waits", "tokenWait");
      host.answer(await host.call("token.create"), TOKEN);
      host.refuse(await host.call("wait"), code, "too late");
      expect((await finish(host))[0].output).toMatchObject({ ok: false, error: { code: code.slice(6) } });
    },
  );

  test.each(["timeout", "expired", "cancelled", "forked"])(
    "a wait that ends by %s throws when unwrapped",
    async (code) => {
      await using host = start("waits", "unwraps");
      const wait = await host.call("wait");
      expect(wait.args).toMatchObject({ stream: "messages", timeout_ms: 5_000, correlation_id: "thread-1" });
      host.refuse(wait, code, "it ended");
      expect((await finish(host))[0].output).toEqual({ name: "WaitError", code });
    },
  );

  test("a second blocking wait is refused, and others may go on beside the first", async () => {
    await using host = start("waits", "waitsTwice");
    const first = await host.call("wait");
    const beside = await host.call("wait");
    expect(beside.args).toEqual({ kind: "stream", stream: "control", blocking: false });
    host.answer(beside, record(1, "beside"));
    host.answer(first, record(1, { text: "hello" }));
    const [{ output }] = await finish(host);
    const answer = { ok: true, data: { text: "hello", loud: false } };
    expect(output).toMatchObject({ beside: { ok: true, data: "beside" }, first: answer, again: answer });
    expect((output as { second: string }).second).toContain(
      'ConcurrentWaitError: the wait for time cannot start while the wait for input on "messages" is active',
    );
    expect(host.calls("wait")).toHaveLength(2);
  });

  test("timers ask for a duration or a point in time", async () => {
    await using host = start("waits", "sleeps");
    const first = await host.call("wait");
    expect(first.args).toEqual({ kind: "timer", duration_ms: 5_400_000, blocking: true });
    host.answer(first, null);
    const second = await host.call("wait");
    expect(second.args).toEqual({ kind: "timer", due_at_ms: Date.UTC(2026, 5, 1), blocking: true });
    host.answer(second, null);
    expect((await finish(host))[0].output).toBe("awake");
  });

  test("a cancel aborts the signal and the wait with one reason, and writes still work", async () => {
    await using host = start("waits", "cleansUp");
    await host.call("wait");
    const cancel = {
      type: "cancel",
      reason: { code: "max_duration", message: "used 900 s" },
      grace_ms: 10_000,
    };
    host.send(cancel);
    host.send({ ...cancel, reason: { code: "cancelled", message: "later" } });
    const append = await host.call("stream.append");
    host.answer(append, record(1, append.args.data));
    const [ending, code] = await finish(host);
    expect(ending).toMatchObject({
      error: { kind: "task_error", name: "RunStoppedError", message: "used 900 s" },
    });
    const entry = await host.line((line) => line.type === "entry");
    expect(entry).toMatchObject({ message: "stopping", fields: { same: true, later: "true" } });
    expect(host.calls("wait")).toHaveLength(1);
    expect(code).toBe(1);
  });

  test("the reason of a stop and the words of who stopped it reach the task, and on() does not end it", async () => {
    await using host = start("waits", "hearsUntilStopped");
    await host.call("wait");
    const reason = { code: "session_expired", message: "the ticket is a week old" };
    host.send({ type: "cancel", reason, grace_ms: 10_000 });
    const append = await host.call("stream.append");
    host.answer(append, record(1, append.args.data));
    expect((await finish(host))[0]).toMatchObject({ type: "finished", output: reason });
  });

  test("on() takes records one by one, and what comes after off() goes to the next wait", async () => {
    await using host = start("waits", "listens");
    const first = await host.call("wait");
    expect(first.args).toEqual({ kind: "stream", stream: "messages", hold: true, blocking: false });
    host.answer(first, record(1, { text: "a" }));
    const second = await host.call("wait");
    // The first is let go of when its handler is done and the second is there.
    expect((await host.call("wait.drop")).args).toEqual({ call_no: first.id });
    host.answer(second, record(2, { text: "b" }));
    const next = await host.call("wait");
    expect(next.args).toMatchObject({ blocking: true });
    host.answer(next, record(3, { text: "c" }));
    const ending = await host.ending();
    expect(ending).toMatchObject({ output: { heard: ["1:a", "2:b"], next: "c" } });
    expect(ending).not.toHaveProperty("untaken");
    expect(host.calls("wait.drop").map((call) => call.args)).toEqual([
      { call_no: first.id },
      { call_no: second.id },
    ]);
  });

  test.each(["off", "dispose", "on-signal", "once-signal"])(
    "a wait left by %s is dropped at the server, and the next wait is a new one",
    async (way) => {
      await using host = start("waits", "leaves", { payload: { ways: [way] } });
      const [left, race] = [await host.call("wait"), await host.call("wait")];
      expect(left.args).toMatchObject({ stream: "messages", correlation_id: "a", blocking: false });
      host.answer(race, record(1, "go"));
      const drop = await host.call("wait.drop");
      expect(drop.args).toEqual({ call_no: left.id });
      host.answer(drop, { dropped: true });
      host.answer(await host.call("stream.peek"), { items: [record(1, { text: "p" })] });
      const next = await host.call("wait");
      expect(next.args).toEqual({ kind: "stream", stream: "messages", blocking: true });
      host.answer(next, record(1, { text: "later" }));
      const [{ output }] = await finish(host);
      expect(output).toEqual({
        heard: way === "once-signal" ? ["Error: lost the race"] : [],
        peeked: ["p"],
        next: { ok: true, data: { text: "later", loud: false } },
      });
    },
  );

  test("a record that came to a wait before it was dropped is the next taker's", async () => {
    await using host = start("waits", "leaves", { payload: { ways: ["off"] } });
    const [left, race] = [await host.call("wait"), await host.call("wait")];
    host.answer(race, record(1, "go"));
    const drop = await host.call("wait.drop");
    host.answer(drop, { dropped: false });
    host.answer(left, record(1, { text: "in time" }, "a"));
    host.answer(await host.call("stream.peek"), { items: [record(2, { text: "p" })] });
    const [ending] = await finish(host);
    expect(ending.output).toEqual({
      heard: [],
      peeked: ["in time", "p"],
      next: { ok: true, data: { text: "in time", loud: false } },
    });
    expect(ending).not.toHaveProperty("untaken");
    expect(host.calls("wait")).toHaveLength(2);
  });

  test("a server that cannot drop waits goes on with them: who wants the same takes them over", async () => {
    await using host = start("waits", "leaves", { payload: { ways: ["off", "once-signal", "off"] } });
    const left = await host.call("wait");
    host.answer(await host.call("wait"), record(1, "go"));
    host.refuse(await host.call("wait.drop"), "unknown_operation", "there is no wait.drop");
    // The second way takes over what the first left.
    const lost = await host.call("wait");
    host.answer(left, record(1, { text: "in time" }, "a"));
    const third = [await host.call("wait"), await host.call("wait")];
    const race = third.find((call) => call.args.stream === "control");
    const open = third.find((call) => call.args.stream === "messages");
    if (race === undefined || open === undefined) throw new Error("both wait");
    host.answer(race, record(3, "go"));
    host.refuse(await host.call("wait.drop"), "unknown_operation", "there is no wait.drop");
    host.answer(await host.call("stream.peek"), { items: [] });
    const next = await host.call("wait");
    host.answer(next, record(2, { text: "any" }));
    const [ending] = await finish(host);
    expect(ending).toMatchObject({
      output: { next: { data: { text: "any" } } },
      untaken: [lost.id, open.id],
    });
  });

  test("records that nobody took are named at the end, so that the session has them back", async () => {
    await using host = start("waits", "abandons");
    const [heard, never, taken] = [
      await host.call("wait"),
      await host.call("wait"),
      await host.call("wait"),
    ].sort((one, other) => String(one.args.stream).localeCompare(String(other.args.stream)));
    const calls = host.calls("wait");
    const open = calls.filter((call) => call.args.stream === "messages");
    expect([heard, never, taken].map((call) => call?.id).sort()).toEqual(calls.map((call) => call.id).sort());
    // `once()` is awaited after on() had begun: the first call on the stream is that of on().
    const [ofOn, ofOnce] = open;
    if (ofOn === undefined || ofOnce === undefined) throw new Error("both wait");
    host.answer(ofOnce, record(2, { text: "taken" }));
    const drop = await host.call("wait.drop");
    expect(drop.args).toEqual({ call_no: ofOn.id });
    host.answer(ofOn, record(1, { text: "too late" }));
    host.answer(drop, { dropped: false });
    host.answer(await host.call("metadata.get"), {});
    const ending = await host.ending();
    const left = calls.filter((call) => call.id !== ofOnce.id).map((call) => call.id);
    expect(ending).toEqual({ type: "finished", output: "left", untaken: left });
  });

  test("an error in a handler fails the run", async () => {
    await using host = start("waits", "listenerFails");
    host.answer(await host.call("wait"), record(1, "anything"));
    expect((await finish(host))[0]).toMatchObject({
      error: { kind: "task_error", message: "the handler failed" },
    });
  });
});
