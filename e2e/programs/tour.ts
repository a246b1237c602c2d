//! Everything that the client offers of sessions, streams, runs and tokens, once, against a real server.
//!
//! Each step checks what it got; a step that is wrong ends the program with its reason.
import assert from "node:assert/strict";
import { HelmrClient, HelmrError } from "@helmr/sdk";

const url = process.env.HELMR_API_URL ?? "";
const client = new HelmrClient();

async function refused(what: Promise<unknown>, ...codes: string[]): Promise<void> {
  const error = await what.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  assert(error instanceof HelmrError, `it was not refused with ${codes}`);
  assert(codes.includes(error.code), `${error.code} is none of ${codes}: ${error.message}`);
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

const steps = {
  async "sessions are found by what was said of them, and changed"() {
    const { session, run } = await client.sessions.startAndWait(
      "remembers",
      {},
      { externalId: "tour", tags: ["a"] },
    );
    assert.equal(run.status, "succeeded");
    const again = await client.sessions.start("remembers", {}, { externalId: "tour" });
    assert.equal(again.reused, true);
    assert.equal(again.session.id, session.id);
    assert.equal(again.run.number, 2);
    await client.runs.wait(again.run.id);
    const changed = await client.sessions.update(session.id, {
      tags: ["b"],
      metadata: { userKey: { snake_key: 1 } },
    });
    assert.deepEqual([changed.tags, changed.metadata], [["b"], { userKey: { snake_key: 1 } }]);
    const found = async (filter: Parameters<typeof client.sessions.list>[0]) =>
      (await client.sessions.list(filter)).items.map(({ id }) => id);
    assert.deepEqual(await found({ tag: "b", task: "remembers", status: "open" }), [session.id]);
    assert.deepEqual(await found({ tag: "a" }), []);
    assert.deepEqual(await found({ externalId: "tour", workspaceId: session.workspaceId }), [session.id]);
    assert.deepEqual(await found({ externalId: "tour", status: "closed" }), []);
  },

  async "an external id leads to the session that is open now"() {
    const conversation = client.sessions.open({ externalId: "tour" });
    const first = await conversation.get();
    await client.sessions.close(first.id);
    const next = await client.sessions.start("remembers", {}, { externalId: "tour" });
    assert.notEqual(next.session.id, first.id);
    await client.runs.wait(next.run.id);
    const sent = await conversation.input("inbox").send({ text: "hi" });
    assert.equal((await client.runs.wait(sent.startedRunId ?? "")).sessionId, next.session.id);
    await client.sessions.close(next.session.id);
    await refused(client.sessions.open(first.id).input("inbox").send({ text: "late" }), "session_ended");
  },

  async "records are kept once in their stream, and refused by field"() {
    const { session, run } = await client.sessions.startAndWait("remembers", {});
    const other = await client.sessions.startAndWait("remembers", {});
    const inbox = client.sessions.open(session.id).input("inbox");
    const sent = await inbox.send({ text: "a" }, { idempotencyKey: "slack-1", correlationId: "c" });
    const again = await inbox.send({ text: "a" }, { idempotencyKey: "slack-1", correlationId: "c" });
    assert.deepEqual([again.id, again.sequence], [sent.id, 1]);
    await refused(inbox.send({ text: "b" }, { idempotencyKey: "slack-1" }), "idempotency_key_reused");
    const elsewhere = await client.sessions
      .open(other.session.id)
      .input("inbox")
      .send({ text: "other" }, { idempotencyKey: "slack-1" });
    assert.notEqual(elsewhere.id, sent.id);
    await refused(inbox.send("no object"), "record_invalid");
    await client.runs.wait(sent.startedRunId ?? "");
    assert.deepEqual(
      (await inbox.read()).map(({ data }) => data),
      [{ text: "a" }],
    );
    assert.deepEqual(await inbox.read({ correlationId: "x" }), []);
    const lanes = await all(client.sessions.open(session.id).streams());
    const lane = lanes.find(({ name }) => name === "inbox");
    assert.deepEqual([lane?.direction, lane?.records, lane?.unread], ["input", 1, 0]);
    assert.equal(run.reason, "start");
  },

  async "a transcript interleaves, and is followed to the session's end"() {
    const { session, run } = await client.sessions.start("hears", { records: 3 });
    const conversation = client.sessions.open(session.id);
    const following = all(conversation.transcript().follow());
    for (const n of [1, 2, 3]) await conversation.input("inbox").send({ n });
    await client.runs.wait(run.id);
    await client.sessions.close(session.id);
    const transcript = await following;
    assert.deepEqual(
      transcript.map(({ position }) => position),
      [1, 2, 3, 4],
    );
    assert.deepEqual(transcript.map(({ direction, stream }) => `${direction} ${stream}`).sort(), [
      "input inbox",
      "input inbox",
      "input inbox",
      "output out",
    ]);
    assert.deepEqual(await conversation.transcript().read(), transcript);
    const outputs = await conversation.transcript({ direction: "output" }).read();
    assert.deepEqual(
      outputs.map(({ runId }) => runId),
      [run.id],
    );
    const events = await all(conversation.events().follow());
    assert(
      events.some(({ kind }) => kind === "session.closed"),
      JSON.stringify(events),
    );
  },

  async "a failed run is run again"() {
    const { session, run } = await client.sessions.startAndWait("throws");
    assert.equal(run.status, "failed");
    const again = await client.runs.retry(run.id, { idempotencyKey: `retry of ${run.id}` });
    assert.deepEqual([again.sessionId, again.reason, again.number], [session.id, "retry", 2]);
    const same = await client.runs.retry(run.id, { idempotencyKey: `retry of ${run.id}` });
    assert.equal(same.id, again.id);
    assert.equal((await client.runs.wait(again.id)).status, "failed");
    const runs = await all(
      client.runs.list({ sessionId: session.id, task: "throws", status: "failed", limit: 1 }),
    );
    assert.deepEqual(
      runs.map(({ number }) => number),
      [2, 1],
    );
  },

  async "tokens are listed by tag and session"() {
    const { session, run } = await client.sessions.start("waits-for", { kind: "token" });
    const out = client.sessions.open(session.id).output("out");
    for await (const _ of out.follow()) break;
    const own = await client.tokens.create({ tags: ["tour"], timeout: "1h" });
    const ids = async (filter: Parameters<typeof client.tokens.list>[0]) =>
      (await client.tokens.list(filter)).items.map(({ id }) => id);
    assert.deepEqual(await ids({ tag: "tour" }), [own.id]);
    const [ofSession] = await ids({ sessionId: session.id });
    assert.deepEqual(await ids({ runId: run.id, status: "pending" }), [ofSession]);
    await client.sessions.cancel(session.id, { reason: "the tour goes on" });
    const ended = await client.runs.wait(run.id);
    assert.equal(ended.status, "cancelled");
    assert.equal(ended.cancellation?.reason, "the tour goes on");
    await refused(client.tokens.complete(ofSession ?? "", 1), "token_cancelled");
  },

  async "a public access token sends as often as it may, and no further"() {
    const { session } = await client.sessions.startAndWait("remembers", {});
    const made = await client.sessions
      .open(session.id)
      .input("inbox")
      .publicToken({ maxUses: 2, correlationId: "page" });
    const page = new HelmrClient({ url, accessToken: made.secret ?? "" }).sessions.open(session.id);
    const inbox = page.input("inbox");
    const first = await inbox.send({ text: "1" }, { idempotencyKey: "one" });
    assert.equal(first.correlationId, "page");
    await refused(inbox.send("no object"), "record_invalid");
    assert.equal((await inbox.send({ text: "1" }, { idempotencyKey: "one" })).id, first.id);
    await inbox.send({ text: "2" });
    await refused(inbox.send({ text: "3" }), "public_token_spent");
    assert.equal((await inbox.send({ text: "1" }, { idempotencyKey: "one" })).id, first.id);
    await refused(inbox.read(), "permission_denied");
    await refused(page.output("out").read(), "permission_denied");
    await refused(page.get(), "permission_denied", "invalid_credential", "unauthenticated");
    assert.equal((await client.auth.publicTokens.get(made.id)).uses, 2);
  },

  async "a public access token that is over is worth nothing, to open followers too"() {
    const { session } = await client.sessions.start("hears", { records: 1 });
    const lane = client.sessions.open(session.id).output("out");
    await refused(lane.publicToken({ maxUses: 1 }), "limit_exceeded");
    const made = await lane.publicToken({ expiresIn: "1h" });
    const listed = (await client.auth.publicTokens.list({ sessionId: session.id })).items;
    assert.deepEqual(
      listed.map(({ id }) => id),
      [made.id],
    );
    const page = new HelmrClient({ url, accessToken: made.secret ?? "" }).sessions
      .open(session.id)
      .output("out");
    const seen: unknown[] = [];
    const following = (async () => {
      for await (const record of page.follow()) {
        seen.push(record.data);
        await client.auth.publicTokens.revoke(made.id);
      }
    })();
    await refused(following, "invalid_credential", "permission_denied");
    assert.deepEqual(seen, [{ ready: true }]);
    await refused(page.read(), "invalid_credential");
    const brief = await lane.publicToken({ expiresIn: "50ms" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const late = new HelmrClient({ url, accessToken: brief.secret ?? "" }).sessions.open(session.id);
    await refused(late.output("out").read(), "invalid_credential");
    await client.sessions.cancel(session.id);
  },
};

for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
  } catch (error) {
    throw new Error(name, { cause: error });
  }
  console.log(JSON.stringify({ done: name }));
}
