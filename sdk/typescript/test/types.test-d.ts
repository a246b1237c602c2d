//! Types are inferred from schemas and carried end to end. Checked by the compiler, never run.
import { assertType, expectTypeOf, test } from "vitest";
import { z } from "zod";
import {
  type Exec,
  type FinishedRun,
  HelmrClient,
  type InputStream,
  type JsonValue,
  type Run,
  schedules,
  streams,
  task,
  timers,
  tokens,
  type WaitResult,
} from "../src/index.ts";

const client = new HelmrClient({ url: "https://example.com", apiKey: "k" });
const schema = z.object({ pr: z.number(), dry: z.boolean().default(false) });

const review = task({
  id: "review",
  payload: schema,
  run: async (payload, ctx) => {
    expectTypeOf(payload).toEqualTypeOf<{ pr: number; dry: boolean }>();
    expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>();
    return { ok: true as const, at: new Date(), note: undefined as string | undefined };
  },
});
const plain = task({ id: "plain", run: () => 7 });

test("a task has its id, payload and output", async () => {
  expectTypeOf(review.id).toEqualTypeOf<"review">();
  const { run } = await client.sessions.startAndWait(review, { pr: 1 });
  expectTypeOf(run.status).toEqualTypeOf<FinishedRun["status"]>();
  if (run.status === "succeeded") {
    expectTypeOf(run.output.ok).toEqualTypeOf<true>();
    expectTypeOf(run.output.at).toEqualTypeOf<string>();
  }
  if (run.status === "failed") expectTypeOf(run.error.kind).toEqualTypeOf<string>();
});

test("a payload is what the schema accepts, and there where the task takes one", () => {
  void client.sessions.start(review, { pr: 1, dry: true }, { externalId: "x" });
  // @ts-expect-error the payload is missing
  void client.sessions.start(review);
  // @ts-expect-error the payload is of another type
  void client.sessions.start(review, { pr: "1" });
  void client.sessions.start(plain);
  void client.sessions.start(plain, undefined, { tags: ["a"] });
  // @ts-expect-error the task takes no payload
  void client.sessions.start(plain, { pr: 1 });
  void client.sessions.start("by-id", { anything: 1 });
});

test("without a payload there is none to read", () => {
  task({
    id: "t",
    run: (payload) => {
      expectTypeOf(payload).toEqualTypeOf<undefined>();
    },
  });
  schedules.task({
    id: "s",
    cron: "@daily",
    run: (payload) => {
      expectTypeOf(payload.timestamp).toEqualTypeOf<string>();
      expectTypeOf(payload.upcoming).toEqualTypeOf<readonly string[]>();
    },
  });
});

test("settings are checked", () => {
  // @ts-expect-error a placement is one of env, file or dir
  task({ id: "t", secrets: [{ name: "A", where: "x" }], run: () => 1 });
  // @ts-expect-error run is missing
  task({ id: "t" });
});

test("streams carry their types", async () => {
  const messages = streams.input("messages", { schema });
  const events = streams.output("events", { schema });
  expectTypeOf(messages).toEqualTypeOf<
    InputStream<"messages", { pr: number; dry?: boolean | undefined }, { pr: number; dry: boolean }>
  >();
  expectTypeOf(await messages.wait()).toEqualTypeOf<WaitResult<{ pr: number; dry: boolean }>>();
  expectTypeOf(await messages.once().unwrap()).toEqualTypeOf<{ pr: number; dry: boolean }>();
  messages.on((data, record) => {
    assertType<boolean>(data.dry);
    assertType<number>(record.sequence);
  });
  void events.append({ pr: 1 });
  // @ts-expect-error the record is of another type
  void events.append({ pr: "1" });
  void client.sessions.open("ses_1").input(messages).send({ pr: 1 });
  // @ts-expect-error the record is of another type
  void client.sessions.open("ses_1").input(messages).send({ text: "x" });
  const [record] = await client.sessions.open("ses_1").output(events).read();
  expectTypeOf(record?.data.pr).toEqualTypeOf<number | undefined>();
  const untyped = await client.sessions.open("ses_1").output(events.id).list();
  expectTypeOf(untyped.items[0]?.data).toEqualTypeOf<JsonValue | undefined>();
});

test("tokens and timers", async () => {
  const token = await tokens.create();
  expectTypeOf(await token.wait().unwrap()).toEqualTypeOf<JsonValue>();
  expectTypeOf(await token.wait({ schema }).unwrap()).toEqualTypeOf<{ pr: number; dry: boolean }>();
  expectTypeOf(await timers.waitFor("1s")).toEqualTypeOf<WaitResult<void>>();
});

test("a run says by its status what it has", () => {
  const run = {} as Run<{ a: number }>;
  if (run.status === "succeeded") expectTypeOf(run.output).toEqualTypeOf<{ a: number }>();
  if (run.status === "waiting") expectTypeOf(run.finishedAt).toEqualTypeOf<null>();
});

test("the state of an exec says how it ended", () => {
  const code = (exec: Exec) => (exec.state === "exited" ? exec.exitCode : null);
  expectTypeOf(code).returns.toEqualTypeOf<number | null>();
  const exec = {} as Exec;
  if (exec.state === "exited") expectTypeOf(exec.exitCode).toEqualTypeOf<number>();
  if (exec.state === "killed") expectTypeOf(exec.signal).toEqualTypeOf<number>();
  if (exec.state === "running") expectTypeOf(exec.endedAt).toEqualTypeOf<null>();
});
