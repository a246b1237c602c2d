//! The client against a real server on loopback that answers the way Helmr does.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { API_VERSION, HelmrClient, HelmrError, SDK_VERSION, streams, task } from "../src/index.ts";

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Record<string, string>;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

type Answer = (seen: Seen, response: ServerResponse) => unknown;

/** A server that gives the answers in turn, the last one forever, and keeps what it was asked. */
async function serve(...answers: Answer[]) {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const now = {
      method: request.method ?? "",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    seen.push(now);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    await answer?.(now, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    seen,
    client: new HelmrClient({ url, apiKey: "hlmr_sk_x" }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function json(body: unknown, status = 200): Answer {
  return (_seen, response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
}

function refuse(status: number, code: string): Answer {
  const error = { code, message: `it is ${code}`, details: { user_key: 1 }, request_id: "req_1" };
  return json({ error }, status);
}

const END = "event: end\ndata: {}\n\n";

/** A stream of events: it stays open, says that this was all, is closed without a word, or is cut off. */
function events(chunks: string[], ends: "open" | "end" | "close" | "cut" = "open"): Answer {
  return (_seen, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const chunk of chunks) response.write(chunk);
    if (ends === "end") response.write(END);
    if (ends === "end" || ends === "close") response.end();
    // Only once the client has the bytes: a reset would take them along.
    if (ends === "cut") setImmediate(() => response.socket?.end());
  };
}

function event(cursor: number, kind: string): string {
  const data = {
    cursor: String(cursor),
    at: "t",
    kind,
    run_id: "run_1",
    session_id: null,
    attributes: { wait_id: "w" },
  };
  return `id: ${cursor}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

const RUN = {
  id: "run_1",
  session_id: "ses_1",
  status: "running",
  output: null,
  metadata: { user_key: 1 },
  pending_wait: null,
};
const DONE = { ...RUN, status: "succeeded", output: { user_output: [{ inner_key: 1 }] } };
const SESSION = {
  id: "ses_1",
  external_id: "x",
  status: "open",
  current_run_id: "run_1",
  metadata: { a_b: 1 },
};
const RECORD = {
  id: "rec_1",
  sequence: 1,
  data: { some_text: "hi" },
  correlation_id: "c",
  content_type: "application/json",
  created_at: "t",
};
const TOKEN = { id: "tok_1", status: "pending", timeout_at: "t", metadata: { a_b: 1 }, run_id: null };

afterEach(() => vi.unstubAllEnvs());

describe("the client", () => {
  test.each([
    [{}, /set HELMR_API_URL/],
    [{ url: "https://h" }, /set HELMR_API_KEY/],
    [{ url: "http://example.com", apiKey: "k" }, /would send credentials in clear/],
    [{ url: "http://127.0.0.1.example.com", apiKey: "k" }, /would send credentials in clear/],
    [{ url: "ftp://localhost", apiKey: "k" }, /would send credentials in clear/],
    [{ url: "https://user:pw@h", apiKey: "k" }, /hold no credential/],
    [{ url: "https://h", apiKey: "k", accessToken: "t" }, /not both/],
  ])("%j is refused", (options, message) => {
    vi.stubEnv("HELMR_API_URL", undefined);
    vi.stubEnv("HELMR_API_KEY", undefined);
    expect(() => new HelmrClient(options)).toThrow(message);
  });

  test.each(["http://localhost:1", "http://127.9.9.9", "http://[::1]:4356", "https://example.com"])(
    "%s is accepted",
    (url) => {
      expect(new HelmrClient({ url, apiKey: "k" })).toBeInstanceOf(HelmrClient);
    },
  );

  test("the environment gives what is absent", async () => {
    await using server = await serve(json({ run: RUN }));
    vi.stubEnv("HELMR_API_URL", `${server.url}/behind/`);
    vi.stubEnv("HELMR_API_KEY", "hlmr_sk_env");
    await new HelmrClient().runs.get("run/1");
    expect(server.seen[0]).toMatchObject({
      path: "/behind/api/v1/runs/run%2F1",
      headers: {
        authorization: "Bearer hlmr_sk_env",
        "helmr-api-version": API_VERSION,
        "helmr-client": `sdk/${SDK_VERSION}`,
      },
    });
  });

  test("a key for the whole organization names project and environment on each request", async () => {
    await using server = await serve(json({ run: RUN }));
    const client = new HelmrClient({
      url: server.url,
      apiKey: "k",
      project: "main",
      environment: "production",
    });
    await client.runs.get("run_1");
    expect(server.seen[0]?.query).toEqual({ project_id: "main", environment_id: "production" });
  });

  test.each([
    [400, "invalid_body", "InvalidRequestError"],
    [401, "unauthenticated", "UnauthenticatedError"],
    [403, "permission_denied", "PermissionDeniedError"],
    [404, "run_not_found", "NotFoundError"],
    [409, "run_finished", "ConflictError"],
    [410, "token_expired", "GoneError"],
    [413, "body_too_large", "TooLargeError"],
    [422, "payload_invalid", "UnprocessableError"],
    [500, "internal", "ServerError"],
  ])("%i becomes an error of its class", async (status, code, name) => {
    await using server = await serve(refuse(status, code));
    const error = await server.client.runs.get("run_1").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HelmrError);
    expect(error).toMatchObject({
      name,
      status,
      code,
      message: `it is ${code}`,
      requestId: "req_1",
      details: { user_key: 1 },
    });
    expect(server.seen).toHaveLength(1);
  });

  test("what does not come from Helmr is an error too", async () => {
    await using server = await serve(
      (_seen, response) => response.writeHead(502, { "content-type": "text/html" }).end("<html>"),
      (_seen, response) => response.writeHead(200).end("<html>"),
    );
    await expect(server.client.runs.get("run_1")).rejects.toMatchObject({
      code: "invalid_response",
      name: "ConnectionError",
    });
    expect(server.seen).toHaveLength(2);
  });

  test("a redirect is not followed, so that the credential stays", async () => {
    await using server = await serve((_seen, response) =>
      response.writeHead(307, { location: "https://example.com" }).end(),
    );
    await expect(server.client.runs.get("run_1")).rejects.toMatchObject({ code: "connection_failed" });
  });

  test("an unavailable server is asked again, with the same idempotency key", async () => {
    const started = { session: SESSION, run: RUN, reused: false };
    await using server = await serve(
      refuse(503, "store_unavailable"),
      (_seen, response) => response.destroy(),
      json(started),
    );
    await server.client.sessions.start("release");
    const keys = server.seen.map((seen) => seen.headers["idempotency-key"]);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("a request ends with its signal, and by itself after its time", async () => {
    await using server = await serve(() => undefined);
    const stop = new AbortController();
    const asked = server.client.runs.get("run_1", { signal: stop.signal });
    stop.abort(new Error("changed my mind"));
    await expect(asked).rejects.toThrow("changed my mind");
    await expect(server.client.runs.get("run_1", { timeoutMs: 50 })).rejects.toMatchObject({
      code: "timeout",
    });
  });
});

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

describe("runs and tokens", () => {
  test("a list is one page when awaited and everything when iterated", async () => {
    await using server = await serve(
      json({ items: [RUN], next_cursor: "next" }),
      json({ items: [RUN], next_cursor: "next" }),
      json({ items: [DONE], next_cursor: null }),
    );
    const list = server.client.runs.list({ sessionId: "ses_1", status: "running", task: "t", limit: 1 });
    expect(await list).toMatchObject({ items: [{ id: "run_1" }], nextCursor: "next" });
    const statuses: string[] = [];
    for await (const run of list) statuses.push(run.status);
    expect(statuses).toEqual(["running", "succeeded"]);
    expect(server.seen[2]?.query).toEqual({
      session_id: "ses_1",
      status: "running",
      task: "t",
      limit: "1",
      cursor: "next",
    });
  });

  test("events and logs are listed and followed", async () => {
    const log = {
      cursor: "1",
      at: "t",
      attempt_number: 1,
      stream: "logger",
      data: "hi",
      encoding: "utf8",
      fields: { a_b: 1 },
    };
    await using server = await serve(
      json({ items: [JSON.parse(event(1, "run.created").split("data: ")[1] ?? "")], next_cursor: null }),
      events([`id: 1\ndata: ${JSON.stringify(log)}\n\n`], "end"),
    );
    const page = await server.client.runs.events("run_1").list({ limit: 5 });
    expect(page.items).toMatchObject([{ kind: "run.created", runId: "run_1", attributes: { waitId: "w" } }]);
    const logs: unknown[] = [];
    for await (const item of server.client.runs.logs("run_1", { stream: "logger" }).follow()) logs.push(item);
    expect(logs).toMatchObject([{ attemptNumber: 1, data: "hi", fields: { a_b: 1 } }]);
    expect(server.seen[1]).toMatchObject({ path: "/api/v1/runs/run_1/logs", query: { stream: "logger" } });
  });

  test("a run is cancelled", async () => {
    await using server = await serve(json({ run: RUN }));
    await server.client.runs.cancel("run_1", { reason: "enough" });
    expect(server.seen[0]).toMatchObject({ path: "/api/v1/runs/run_1/cancel", body: { reason: "enough" } });
  });

  test("a run is run again, and a log is read from an offset", async () => {
    await using server = await serve(json({ run: RUN }, 201), json({ items: [], next_cursor: null }));
    expect(await server.client.runs.retry("run_1", { idempotencyKey: "k" })).toMatchObject({ id: "run_1" });
    await server.client.runs.logs("run_1", { stream: "stdout", offset: 70 }).read();
    expect(server.seen).toMatchObject([
      { method: "POST", path: "/api/v1/runs/run_1/retry", headers: { "idempotency-key": "k" }, body: {} },
      { path: "/api/v1/runs/run_1/logs", query: { stream: "stdout", offset: "70" } },
    ]);
  });

  test("public access tokens are made for tokens and streams, shown, listed and revoked", async () => {
    const made = {
      id: "pat_1",
      capability: { kind: "stream", session_id: "ses_1", stream: "messages", direction: "input" },
      max_uses: 3,
      uses: 0,
      allowed_origins: ["https://app.example.com"],
      expires_at: "t",
      revoked_at: null,
      created_at: "t",
    };
    await using server = await serve(
      json({ public_token: made, secret: "hlmr_pat_x" }, 201),
      json({ public_token: made, secret: "hlmr_pat_y" }, 201),
      json({ public_token: made, secret: null }, 201),
      json({ public_token: made }),
      json({ items: [made], next_cursor: null }),
      json({ public_token: { ...made, revoked_at: "t" } }),
    );
    const { auth, sessions } = server.client;
    const session = sessions.open("ses_1");
    const limits = { expiresIn: "1h", maxUses: 3, allowedOrigins: ["https://app.example.com"] } as const;
    const input = await session.input("messages").publicToken({ ...limits, correlationId: "c" });
    expect(input).toMatchObject({
      secret: "hlmr_pat_x",
      maxUses: 3,
      capability: { sessionId: "ses_1", direction: "input" },
    });
    await session.output("agent.events").publicToken();
    const capability = { kind: "token", tokenId: "tok_1" } as const;
    expect(await auth.publicTokens.create({ capability, idempotencyKey: "k" })).toMatchObject({
      secret: null,
    });
    await auth.publicTokens.get("pat_1");
    expect((await auth.publicTokens.list({ sessionId: "ses_1", tokenId: "tok_1" })).items).toHaveLength(1);
    expect(await auth.publicTokens.revoke("pat_1")).toMatchObject({ revokedAt: "t" });
    const stream = { kind: "stream", session_id: "ses_1" };
    expect(server.seen.map(({ body }) => body)).toEqual([
      {
        capability: { ...stream, stream: "messages", direction: "input", correlation_id: "c" },
        expires_in: 3_600_000,
        max_uses: 3,
        allowed_origins: ["https://app.example.com"],
      },
      { capability: { ...stream, stream: "agent.events", direction: "output" } },
      { capability: { kind: "token", token_id: "tok_1" } },
      undefined,
      undefined,
      {},
    ]);
    expect(server.seen[2]?.headers["idempotency-key"]).toBe("k");
    expect(server.seen.slice(3).map(({ path }) => path.slice(8))).toEqual([
      "public-tokens/pat_1",
      "public-tokens",
      "public-tokens/pat_1/revoke",
    ]);
    expect(server.seen[4]?.query).toEqual({ session_id: "ses_1", token_id: "tok_1" });
  });

  test("what users put into events and metadata keeps its names", async () => {
    const attributes = { wait_id: "w", op: "set", value: { snake_key: 1 }, patch: { a_b: 1 } };
    const item = { cursor: "1", kind: "metadata.updated", attributes };
    await using server = await serve(json({ items: [item], next_cursor: null }));
    expect(await server.client.runs.events("run_1").read()).toMatchObject([
      { attributes: { waitId: "w", value: { snake_key: 1 }, patch: { a_b: 1 } } },
    ]);
  });

  test("tokens are created, completed, looked up, listed and cancelled", async () => {
    const secrets = { ...TOKEN, public_access_token: "hlmr_pat_x", callback_url: "https://x" };
    await using server = await serve(
      json({ token: secrets }, 201),
      json({ token: { ...TOKEN, status: "completed", data: { approved: true } }, already_completed: true }),
      json({ token: TOKEN }),
      json({ items: [TOKEN], next_cursor: null }),
      json({ token: TOKEN }),
    );
    const { tokens } = server.client;
    expect(
      await tokens.create({
        timeout: "1h",
        tags: ["a"],
        metadata: { a_b: 1 },
        allowedOrigins: ["https://a"],
      }),
    ).toMatchObject({
      publicAccessToken: "hlmr_pat_x",
      callbackUrl: "https://x",
      metadata: { a_b: 1 },
    });
    expect(server.seen[0]?.body).toEqual({
      timeout: 3_600_000,
      tags: ["a"],
      metadata: { a_b: 1 },
      allowed_origins: ["https://a"],
    });
    const completion = await tokens.complete("tok_1", { approved: true });
    expect(completion).toMatchObject({ alreadyCompleted: true, token: { data: { approved: true } } });
    expect(server.seen[1]).toMatchObject({
      path: "/api/v1/tokens/tok_1/complete",
      body: { data: { approved: true } },
    });
    expect(await tokens.retrieve("tok_1")).toMatchObject({ timeoutAt: "t" });
    expect(
      (await tokens.list({ runId: "run_1", status: "pending", tag: "a", sessionId: "ses_1" })).items,
    ).toHaveLength(1);
    expect(server.seen[3]?.query).toEqual({
      run_id: "run_1",
      status: "pending",
      tag: "a",
      session_id: "ses_1",
    });
    await tokens.cancel("tok_1");
    expect(server.seen[4]).toMatchObject({ method: "POST", path: "/api/v1/tokens/tok_1/cancel" });
  });
});
