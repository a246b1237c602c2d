//! `client.runs`, `client.tokens` and `client.auth`.
import { describe, expect, test } from "vitest";
import { DONE, event, events, json, RUN, serve, TOKEN } from "./fake-server.ts";

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
