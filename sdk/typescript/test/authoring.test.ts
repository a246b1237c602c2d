//! Declaring tasks, sandboxes and streams, and calls made where they do not belong.
import { describe, expect, test, vi } from "vitest";
import { WaitHandle } from "../src/execution/wait-handle.ts";
import {
  image,
  logger,
  metadata,
  queue,
  sandbox,
  streams,
  task,
  timers,
  tokens,
  WaitError,
} from "../src/index.ts";

describe("builders", () => {
  test("each step gives a new image and leaves the old one as it was", () => {
    const base = image("a").from("node:24");
    const one = base.run(["npm", "ci"]);
    const two = base.env({ A: "1" }).user("node");
    expect(base.steps).toEqual([]);
    expect(one.steps.map(({ op }) => op)).toEqual(["run"]);
    expect(two.steps.map(({ op }) => op)).toEqual(["env", "user"]);
    expect(Object.isFrozen(base) && Object.isFrozen(base.steps) && Object.isFrozen(one.steps[0])).toBe(true);
  });

  test("what was given to a step may change afterwards without effect", () => {
    const argv = ["npm", "ci"];
    const made = image("a").from("node:24").run(argv);
    argv.push("--force");
    expect(made.steps).toMatchObject([{ argv: ["npm", "ci"] }]);
  });

  test("each call gives a new sandbox, and resources add up", () => {
    const base = sandbox("s").resources({ cpu: 2 });
    const more = base.resources({ memory: "4Gi" }).workspace("/work");
    expect(base.parts.resources).toEqual({ cpu: 2 });
    expect(more.parts).toMatchObject({ resources: { cpu: 2, memory: "4Gi" }, workspacePath: "/work" });
    expect(base.parts.workspacePath).toBe("/workspace");
  });

  test("tasks and queues are frozen", () => {
    expect(Object.isFrozen(task({ id: "t", run: async () => 1 }))).toBe(true);
    expect(Object.isFrozen(queue("q"))).toBe(true);
  });
});

describe("misplaced calls say where they belong", () => {
  const input = streams.input("in");
  const output = streams.output("out");
  test.each<[string, () => unknown, RegExp]>([
    [
      "tokens.create",
      () => tokens.create(),
      /tokens\.create\(\) works only inside a task's run function\. Elsewhere, use new HelmrClient\(\)\.tokens/,
    ],
    ["tokens.retrieve", () => tokens.retrieve("tok_1"), /Elsewhere, use new HelmrClient/],
    ["timers.waitFor", () => timers.waitFor("1s"), /timers\.waitFor\(\) works only inside/],
    ["timers.waitUntil", () => timers.waitUntil(0), /timers\.waitUntil\(\) works only inside/],
    ["metadata.set", () => metadata.set("a", 1), /metadata\.set\(\) works only inside/],
    ["input.wait", () => input.wait(), /streams\.input\("in"\)\.wait\(\) works only inside/],
    ["input.once", () => input.once(), /once\(\) works only inside/],
    ["input.peek", () => input.peek(), /peek\(\) works only inside/],
    ["output.append", () => output.append(1), /streams\.output\("out"\)\.append\(\) works only inside/],
    ["output.list", () => output.list(), /list\(\) works only inside/],
  ])("%s", async (_name, call, message) => {
    await expect((async () => call())()).rejects.toThrow(message);
  });

  test("on and writer throw at once", () => {
    expect(() => input.on(() => undefined)).toThrow(/on\(\) works only inside/);
    expect(() => output.writer()).toThrow(/writer\(\) works only inside/);
  });

  test("the logger writes to the console instead", () => {
    const info = vi.spyOn(console, "info").mockImplementation(() => undefined);
    logger.info("outside", 1);
    expect(info).toHaveBeenCalledWith("outside", 1);
    info.mockRestore();
  });
});

test.each([
  [() => streams.input("no spaces"), /"no spaces" is not a stream name/],
  [() => streams.output("x", { schema: {} as never }), /schema must be a Standard Schema/],
  [() => timers.waitFor("soon"), /the duration of timers\.waitFor\(\) must be/],
  [() => timers.waitUntil("never"), /needs a point in time/],
  [() => streams.input("s").wait({ timeout: "x" }), /the timeout of streams\.input\("s"\)\.wait\(\)/],
])("%s is refused at once", (call, message) => {
  expect(call).toThrow(message);
});

describe("wait handles", () => {
  test("nothing starts before the first await, and it starts once", async () => {
    const start = vi.fn(() => Promise.resolve({ ok: true as const, data: 7 }));
    const handle = new WaitHandle(start);
    await Promise.resolve();
    expect(start).not.toHaveBeenCalled();
    expect(await handle).toEqual({ ok: true, data: 7 });
    expect(await handle.unwrap()).toBe(7);
    expect(start).toHaveBeenCalledTimes(1);
  });

  test("unwrap throws what ended the wait, with a stack that shows who asked", async () => {
    const handle = new WaitHandle<number>(() =>
      Promise.resolve({ ok: false, error: { code: "timeout", message: "too late" } }),
    );
    const caught: unknown = await handle.unwrap().catch((error: unknown) => error);
    expect(caught).toBeInstanceOf(WaitError);
    expect(caught).toMatchObject({ code: "timeout", message: "too late", issues: [] });
    expect((caught as Error).stack).toContain("authoring.test.ts");
  });
});
