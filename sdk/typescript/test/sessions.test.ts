//! `client.sessions`: starting, sending, reading and following.
import { describe, expect, test } from "vitest";
import { streams, task } from "../src/index.ts";
import { DONE, event, events, json, RECORD, RUN, refuse, SESSION, serve } from "./fake-server.ts";

describe("sessions", () => {
  test("start sends snake_case, leaves user data alone, and gives camelCase", async () => {
    await using server = await serve(json({ session: SESSION, run: DONE, reused: true }));
    const answer = await server.client.sessions.start(
      "release",
      { user_key: { deepKey: 1 } },
      {
        externalId: "x",
        workspaceId: "ws_1",
        maxDurationSeconds: 60,
        ttl: "1h",
        tags: ["t"],
        metadata: { userKey: { snake_key: 1 } },
        expiresAt: new Date(0),
        idempotencyKey: "mine",
      },
    );
    expect(server.seen[0]).toMatchObject({
      method: "POST",
      path: "/api/v1/sessions",
      headers: { "idempotency-key": "mine" },
    });
    expect(server.seen[0]?.body).toEqual({
      task: "release",
      payload: { user_key: { deepKey: 1 } },
      external_id: "x",
      workspace_id: "ws_1",
      max_duration_seconds: 60,
      ttl: 3_600_000,
      tags: ["t"],
      metadata: { userKey: { snake_key: 1 } },
      expires_at: "1970-01-01T00:00:00.000Z",
    });
    expect(answer).toMatchObject({
      reused: true,
      session: { externalId: "x", currentRunId: "run_1", metadata: { a_b: 1 } },
      run: { sessionId: "ses_1", output: { user_output: [{ inner_key: 1 }] }, metadata: { user_key: 1 } },
    });
  });

  test("startAndWait follows the run's events over lost connections, without gap, repeat or polling", async () => {
    const started = { session: SESSION, run: RUN, reused: false };
    const release = task({ id: "release", run: async () => ({ user_output: [{ inner_key: 1 }] }) });
    await using server = await serve(
      json(started),
      events([": hello\n\n", event(1, "run.created"), event(2, "run.started").slice(0, 20)], "cut"),
      events([event(2, "run.started")], "close"),
      refuse(503, "shutting_down"),
      events([event(3, "run.succeeded")]),
      json({ run: DONE }),
    );
    const { run } = await server.client.sessions.startAndWait(release);
    expect(run).toMatchObject({ status: "succeeded", output: { user_output: [{ inner_key: 1 }] } });
    expect(server.seen.map(({ path, headers }) => [path.slice(8), headers["last-event-id"]])).toEqual([
      ["sessions", undefined],
      ["runs/run_1/events", undefined],
      ["runs/run_1/events", "1"],
      ["runs/run_1/events", "2"],
      ["runs/run_1/events", "2"],
      ["runs/run_1", undefined],
    ]);
    expect(server.seen[1]?.headers.accept).toBe("text/event-stream");
  });

  test("startAndWait gives up after its time, and the run goes on", async () => {
    await using server = await serve(json({ session: SESSION, run: RUN, reused: false }), events([]));
    const waiting = server.client.sessions.startAndWait("release", undefined, { waitTimeoutMs: 100 });
    await expect(waiting).rejects.toMatchObject({ code: "timeout", message: /run run_1 did not end/ });
    expect(server.seen).toHaveLength(2);
  });

  test("input is sent and output read by stream name or declaration", async () => {
    const messages = streams.input("messages");
    await using server = await serve(
      json({ record: RECORD }),
      json({ record: RECORD }),
      json({ items: [RECORD], next_cursor: "1" }),
      json({ items: [{ ...RECORD, sequence: 2 }], next_cursor: null }),
    );
    const session = server.client.sessions.open("ses_1");
    const record = await session
      .input("messages")
      .send({ some_text: "hi" }, { correlationId: "c", idempotencyKey: "k" });
    expect(record).toMatchObject({
      data: { some_text: "hi" },
      correlationId: "c",
      contentType: "application/json",
    });
    await session.input(messages).send({ some_text: "hi" });
    expect(server.seen[0]).toMatchObject({
      path: "/api/v1/sessions/ses_1/inputs/messages",
      body: { data: { some_text: "hi" }, correlation_id: "c", idempotency_key: "k" },
    });
    const records = await session.output("agent.events").read({ limit: 1, correlationId: "c" });
    expect(records.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(server.seen[3]).toMatchObject({
      path: "/api/v1/sessions/ses_1/outputs/agent.events",
      query: { limit: "1", cursor: "1", correlation_id: "c" },
    });
  });

  test("follow gives what comes until the server says that nothing more can", async () => {
    const sent = (sequence: number) =>
      `id: ${sequence}\ndata: ${JSON.stringify({ ...RECORD, sequence })}\n\n`;
    await using server = await serve(
      events([sent(1), sent(2)], "close"),
      events([], "close"),
      events([sent(3)], "cut"),
      events([sent(4)], "end"),
    );
    const sequences: number[] = [];
    for await (const { sequence } of server.client.sessions
      .open("ses_1")
      .output("out")
      .follow({ cursor: "0" })) {
      sequences.push(sequence);
    }
    expect(sequences).toEqual([1, 2, 3, 4]);
    expect(server.seen.map(({ path, headers }) => [path.slice(8), headers["last-event-id"]])).toEqual([
      ["sessions/ses_1/outputs/out", undefined],
      ["sessions/ses_1/outputs/out", "2"],
      ["sessions/ses_1/outputs/out", "2"],
      ["sessions/ses_1/outputs/out", "3"],
    ]);
  });

  test("the end itself is no item, and nothing is asked after it", async () => {
    await using server = await serve(events([], "end"));
    const items: unknown[] = [];
    for await (const item of server.client.sessions.open("ses_1").output("out").follow()) items.push(item);
    for await (const item of server.client.runs.logs("run_1").follow()) items.push(item);
    for await (const item of server.client.runs.events("run_1").follow()) items.push(item);
    expect(items).toEqual([]);
    expect(server.seen).toHaveLength(3);
  });

  test("breaking out of follow ends the request", async () => {
    let closed: (() => void) | undefined;
    const ended = new Promise<void>((resolve) => {
      closed = resolve;
    });
    await using server = await serve((_seen, response) => {
      response.on("close", () => closed?.());
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`id: 1\ndata: ${JSON.stringify(RECORD)}\n\n`);
    });
    for await (const _ of server.client.sessions.open("ses_1").output("out").follow()) break;
    await ended;
  });

  test("an error in the stream, or instead of it, ends following, unless it may pass", async () => {
    const told = (code: string) => `event: error\ndata: ${JSON.stringify({ code, message: "gone" })}\n\n`;
    await using server = await serve(
      events([told("store_unavailable")]),
      events([told("run_not_found")]),
      refuse(404, "run_not_found"),
      json({}),
    );
    const runs = server.client.runs;
    await expect(runs.wait("run_1")).rejects.toMatchObject({ code: "run_not_found", message: "gone" });
    await expect(runs.wait("run_1")).rejects.toMatchObject({ status: 404 });
    await expect(runs.wait("run_1")).rejects.toMatchObject({ code: "invalid_response" });
  });

  test("a record's key is the record's, and the request's own is another one each time", async () => {
    await using server = await serve(json({ record: RECORD }));
    const { sessions } = server.client;
    await sessions.open("ses_1").input("messages").send(1, { idempotencyKey: "slack-17" });
    await sessions.open("ses_2").input("messages").send(1, { idempotencyKey: "slack-17" });
    expect(server.seen.map(({ body }) => body)).toEqual([
      { data: 1, idempotency_key: "slack-17" },
      { data: 1, idempotency_key: "slack-17" },
    ]);
    const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
    expect(new Set([...keys, "slack-17", undefined]).size).toBe(4);
  });

  test("a record says which run it started", async () => {
    await using server = await serve(
      json({ record: RECORD, started_run_id: "run_9" }),
      json({ record: RECORD }),
    );
    const lane = server.client.sessions.open("ses_1").input("messages");
    expect(await lane.send(1)).toMatchObject({ sequence: 1, startedRunId: "run_9" });
    expect(await lane.send(1)).toMatchObject({ startedRunId: null });
  });

  test("input, transcript, session events and streams are read and followed", async () => {
    const item = {
      ...RECORD,
      position: 4,
      direction: "input",
      stream: "messages",
      run_id: null,
    };
    const stream = { name: "messages", direction: "input", records: 1, last_record_at: "t", unread: 0 };
    await using server = await serve(
      json({ items: [RECORD], next_cursor: null }),
      events([`id: 1\ndata: ${JSON.stringify(RECORD)}\n\n`], "end"),
      json({ items: [item], next_cursor: null }),
      events([`id: 4\ndata: ${JSON.stringify(item)}\n\n`], "end"),
      events([event(1, "session.closed")], "end"),
      json({ items: [stream], next_cursor: null }),
    );
    const session = server.client.sessions.open("ses_1");
    const input = session.input("messages");
    expect(await input.read({ correlationId: "c" })).toMatchObject([{ sequence: 1 }]);
    for await (const record of input.follow({ cursor: "0" })) expect(record.sequence).toBe(1);
    const transcript = session.transcript({ direction: "input", stream: "messages", correlationId: "c" });
    const whole = { position: 4, stream: "messages", runId: null, data: { some_text: "hi" } };
    expect(await transcript.read({ limit: 7 })).toMatchObject([whole]);
    for await (const followed of transcript.follow({ cursor: "3" })) expect(followed).toMatchObject(whole);
    for await (const { kind } of session.events().follow()) expect(kind).toBe("session.closed");
    expect((await session.streams({ limit: 3 })).items).toMatchObject([{ lastRecordAt: "t", unread: 0 }]);
    const filter = { direction: "input", stream: "messages", correlation_id: "c" };
    expect(server.seen.map(({ path, query }) => [path.slice(23), query])).toEqual([
      ["inputs/messages", { correlation_id: "c" }],
      ["inputs/messages", { cursor: "0" }],
      ["transcript", { ...filter, limit: "7" }],
      ["transcript", { ...filter, cursor: "3" }],
      ["events", {}],
      ["streams", { limit: "3" }],
    ]);
  });

  test("sessions are filtered, changed, and started with a place in their queue", async () => {
    await using server = await serve(
      json({ items: [SESSION], next_cursor: null }),
      json({ session: SESSION }),
      json({ session: SESSION, run: RUN, reused: false }),
    );
    const { sessions } = server.client;
    await sessions.list({ status: "open", task: "t", externalId: "x", tag: "a", workspaceId: "ws_1" });
    await sessions.update("ses_1", { tags: ["b"], metadata: { userKey: 1 } });
    await sessions.start("t", undefined, { priority: 5, concurrencyKey: "repo" });
    expect(server.seen.map(({ method, path, query, body }) => [method, path.slice(8), query, body])).toEqual([
      [
        "GET",
        "sessions",
        { status: "open", task: "t", external_id: "x", tag: "a", workspace_id: "ws_1" },
        undefined,
      ],
      ["PATCH", "sessions/ses_1", {}, { tags: ["b"], metadata: { userKey: 1 } }],
      ["POST", "sessions", {}, { task: "t", priority: 5, concurrency_key: "repo" }],
    ]);
  });

  test("an external id whose session has ended is looked up once more", async () => {
    const listed = (id: string) => json({ items: [{ ...SESSION, id }], next_cursor: null });
    await using server = await serve(
      listed("ses_1"),
      refuse(409, "session_ended"),
      listed("ses_2"),
      json({ record: RECORD }),
      refuse(409, "session_ended"),
    );
    const { sessions } = server.client;
    await sessions.open({ externalId: "x" }).input("messages").send(1);
    expect(server.seen.map(({ path }) => path.slice(8))).toEqual([
      "sessions",
      "sessions/ses_1/inputs/messages",
      "sessions",
      "sessions/ses_2/inputs/messages",
    ]);
    // A session that was named by its own id is the one that was meant.
    await expect(sessions.open("ses_1").input("messages").send(1)).rejects.toMatchObject({
      code: "session_ended",
    });
    expect(server.seen).toHaveLength(5);
  });

  test("a session is found by its external id, once", async () => {
    const other = { ...SESSION, id: "ses_2", external_id: "y" };
    const closed = { ...SESSION, id: "ses_3", status: "closed" };
    await using server = await serve(
      json({ items: [other, closed], next_cursor: "n" }),
      json({ items: [SESSION], next_cursor: null }),
      json({ session: SESSION }),
    );
    const handle = server.client.sessions.open({ externalId: "x" });
    expect(await handle.get()).toMatchObject({ id: "ses_1" });
    await handle.get();
    expect(server.seen.map(({ path }) => path.slice(8))).toEqual([
      "sessions",
      "sessions",
      "sessions/ses_1",
      "sessions/ses_1",
    ]);
    expect(server.seen[1]?.query).toMatchObject({ external_id: "x", cursor: "n" });
    await using empty = await serve(json({ items: [], next_cursor: null }));
    await expect(empty.client.sessions.open({ externalId: "x" }).get()).rejects.toMatchObject({
      code: "session_not_found",
    });
  });

  test("close and cancel", async () => {
    await using server = await serve(json({ session: SESSION }));
    await server.client.sessions.close("ses_1");
    await server.client.sessions.cancel("ses_1", { reason: "enough" });
    expect(server.seen.map(({ path, body }) => [path, body])).toEqual([
      ["/api/v1/sessions/ses_1/close", {}],
      ["/api/v1/sessions/ses_1/cancel", { reason: "enough" }],
    ]);
  });
});
