//! `client.workspaces`: made, found, changed, ended, and their versions.
import { describe, expect, test } from "vitest";
import { json, refuse, serve } from "./fake-server.ts";

const WORKSPACE = {
  id: "ws_1",
  external_id: "repo",
  state: "active",
  current_version_id: "wsv_1",
  metadata: { user_key: { deep_key: 1 } },
  materialization: { id: "mat_1", state: "live", stop_requested: false, worker_id: "wkr_1" },
};
const VERSION = { id: "wsv_1", workspace_id: "ws_1", changed_bytes: 3, current: true };

describe("workspaces", () => {
  test("create sends snake_case with a key, leaves user data alone, and gives camelCase", async () => {
    await using server = await serve(json({ workspace: WORKSPACE }, 201));
    const workspace = await server.client.workspaces.create({
      sandbox: "node",
      externalId: "repo",
      metadata: { user_key: { deepKey: 1 } },
      tags: ["a"],
      autoStopAfter: "1m30s",
      idempotencyKey: "mine",
    });
    expect(server.seen[0]).toMatchObject({
      method: "POST",
      path: "/api/v1/workspaces",
      headers: { "idempotency-key": "mine" },
    });
    expect(server.seen[0]?.body).toEqual({
      sandbox: "node",
      external_id: "repo",
      metadata: { user_key: { deepKey: 1 } },
      tags: ["a"],
      auto_stop_after: 90_000,
    });
    expect(workspace).toMatchObject({
      externalId: "repo",
      currentVersionId: "wsv_1",
      metadata: { user_key: { deep_key: 1 } },
      materialization: { stopRequested: false, workerId: "wkr_1" },
    });
  });

  test("create without options asks for nothing in particular", async () => {
    await using server = await serve(json({ workspace: WORKSPACE }, 201));
    await server.client.workspaces.create();
    expect(server.seen[0]?.body).toEqual({});
    expect(server.seen[0]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("lists go on from page to page with their filter", async () => {
    await using server = await serve(
      json({ items: [WORKSPACE], next_cursor: "n" }),
      json({ items: [{ ...WORKSPACE, id: "ws_0" }], next_cursor: null }),
    );
    const found: string[] = [];
    const list = server.client.workspaces.list({ tag: "a", state: "active", externalId: "repo", limit: 1 });
    for await (const { id } of list) found.push(id);
    expect(found).toEqual(["ws_1", "ws_0"]);
    const query = { tag: "a", state: "active", external_id: "repo", limit: "1" };
    expect(server.seen.map((seen) => seen.query)).toEqual([query, { ...query, cursor: "n" }]);
  });

  test("update leaves out what is absent, and null takes a value away", async () => {
    await using server = await serve(json({ workspace: WORKSPACE }));
    await server.client.workspaces.update("ws_1", { externalId: null, autoStopAfter: null });
    await server.client.workspaces.update("ws_1", { tags: [], autoStopAfter: "1h" });
    expect(server.seen.map(({ method, path, body }) => [method, path, body])).toEqual([
      ["PATCH", "/api/v1/workspaces/ws_1", { external_id: null, auto_stop_after: null }],
      ["PATCH", "/api/v1/workspaces/ws_1", { tags: [], auto_stop_after: 3_600_000 }],
    ]);
  });

  test("materialize, connect, archive and unarchive say what they are told", async () => {
    const connection = { workspace_id: "ws_1", stays_for: "5m", urls: { execs: "http://h/execs" } };
    await using server = await serve(json({ workspace: WORKSPACE, connection }));
    const { workspaces } = server.client;
    await workspaces.materialize("ws_1");
    const connected = await workspaces.connect("ws_1", { timeout: "2m" });
    expect(connected).toEqual({ workspaceId: "ws_1", staysFor: "5m", urls: { execs: "http://h/execs" } });
    await workspaces.open("ws_1").connect();
    await workspaces.open("ws_1").materialize();
    await workspaces.archive("ws_1", { force: true });
    await workspaces.unarchive("ws_1");
    expect(server.seen.map(({ method, path, body }) => [method, path, body])).toEqual([
      ["POST", "/api/v1/workspaces/ws_1/materialize", {}],
      ["POST", "/api/v1/workspaces/ws_1/connect", { timeout: 120_000 }],
      ["POST", "/api/v1/workspaces/ws_1/connect", {}],
      ["POST", "/api/v1/workspaces/ws_1/materialize", {}],
      ["POST", "/api/v1/workspaces/ws_1/archive", { force: true }],
      ["POST", "/api/v1/workspaces/ws_1/unarchive", {}],
    ]);
  });

  test("fork sends what it begins with, and says which session is which", async () => {
    const fork = {
      live: true,
      from_workspace_id: "ws_1",
      secrets_copied: ["KEY"],
      sessions: [{ from_session_id: "ses_1", session_id: "ses_2", from_run_id: "run_1", run_id: "run_2" }],
    };
    await using server = await serve(json({ workspace: WORKSPACE, fork }, 201));
    const forked = await server.client.workspaces.open("ws_1").fork({ live: true, idempotencyKey: "mine" });
    expect(forked.fork).toEqual({
      live: true,
      fromWorkspaceId: "ws_1",
      secretsCopied: ["KEY"],
      sessions: [{ fromSessionId: "ses_1", sessionId: "ses_2", fromRunId: "run_1", runId: "run_2" }],
    });
    await server.client.workspaces.fork("ws_1", {
      versionId: "wsv_1",
      externalId: "b",
      metadata: { a_b: 1 },
    });
    expect(server.seen.map(({ method, path, body }) => [method, path, body])).toEqual([
      ["POST", "/api/v1/workspaces/ws_1/fork", { live: true }],
      [
        "POST",
        "/api/v1/workspaces/ws_1/fork",
        { version_id: "wsv_1", external_id: "b", metadata: { a_b: 1 } },
      ],
    ]);
    expect(server.seen[0]?.headers["idempotency-key"]).toBe("mine");
  });

  test("stop, delete and recover say what they are told", async () => {
    await using server = await serve(json({ workspace: WORKSPACE }));
    const { workspaces } = server.client;
    await workspaces.stop("ws_1");
    await workspaces.stop("ws_1", { force: true });
    await workspaces.delete("ws_1");
    await workspaces.delete("ws_1", { force: true });
    expect(await workspaces.recover("ws_1", { from: "last_version" })).toMatchObject({ id: "ws_1" });
    expect(server.seen.map(({ method, path, query, body }) => [method, path, query, body])).toEqual([
      ["POST", "/api/v1/workspaces/ws_1/stop", {}, {}],
      ["POST", "/api/v1/workspaces/ws_1/stop", {}, { force: true }],
      ["DELETE", "/api/v1/workspaces/ws_1", {}, undefined],
      ["DELETE", "/api/v1/workspaces/ws_1", { force: "true" }, undefined],
      ["POST", "/api/v1/workspaces/ws_1/recover", {}, { from: "last_version" }],
    ]);
  });

  test("a busy workspace is a conflict with its code and details", async () => {
    await using server = await serve(refuse(409, "workspace_busy"));
    await expect(server.client.workspaces.delete("ws_1")).rejects.toMatchObject({
      status: 409,
      code: "workspace_busy",
      details: { user_key: 1 },
    });
  });

  test("a handle gives versions by the workspace's id", async () => {
    await using server = await serve(
      json({ items: [VERSION], next_cursor: "n" }),
      json({ items: [{ ...VERSION, id: "wsv_0" }], next_cursor: null }),
      json({ version: VERSION }),
    );
    const { versions } = server.client.workspaces.open("ws_1");
    const found: string[] = [];
    for await (const { id } of versions.list({ limit: 1 })) found.push(id);
    expect(found).toEqual(["wsv_1", "wsv_0"]);
    expect(await versions.get("wsv_1")).toMatchObject({ workspaceId: "ws_1", changedBytes: 3 });
    expect(server.seen.map(({ path, query }) => [path, query])).toEqual([
      ["/api/v1/workspaces/ws_1/versions", { limit: "1" }],
      ["/api/v1/workspaces/ws_1/versions", { limit: "1", cursor: "n" }],
      ["/api/v1/workspaces/ws_1/versions/wsv_1", {}],
    ]);
  });

  test("a handle by external id finds the workspace when it is needed, and again after a deletion", async () => {
    const page = (id: string) => json({ items: [{ ...WORKSPACE, id }], next_cursor: null });
    await using server = await serve(
      json({ items: [], next_cursor: null }),
      page("ws_1"),
      json({ workspace: { ...WORKSPACE, state: "deleted" } }),
      page("ws_2"),
      json({ workspace: { ...WORKSPACE, id: "ws_2" } }),
    );
    const handle = server.client.workspaces.open({ externalId: "repo" });
    expect(server.seen).toHaveLength(0);
    await expect(handle.get()).rejects.toMatchObject({ code: "workspace_not_found", status: 404 });
    expect(await handle.get()).toMatchObject({ id: "ws_2" });
    expect(server.seen.map(({ path }) => path.slice(8))).toEqual([
      "workspaces",
      "workspaces",
      "workspaces/ws_1",
      "workspaces",
      "workspaces/ws_2",
    ]);
    expect(server.seen[0]?.query).toEqual({ external_id: "repo" });
  });
});
