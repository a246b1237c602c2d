//! `workspace.versions` and `client.storage`: captured, compared, gone back to, kept.
import { describe, expect, test } from "vitest";
import { json, refuse, serve } from "./fake-server.ts";

const VERSION = { id: "wsv_1", workspace_id: "ws_1", changed_bytes: 3, current: true };
const CHANGE = {
  path: "a/b",
  change: "modified",
  differs: ["content"],
  before: { kind: "file", mode: "0644", uid: 0, gid: 0, size_bytes: 1 },
  after: { kind: "file", mode: "0644", uid: 0, gid: 0, size_bytes: 2 },
};
const FIGURE = { objects: 1, bytes: 2 };

describe("versions", () => {
  test("capture sends the message with a key of its own or the one given", async () => {
    await using server = await serve(json({ version: VERSION }, 201));
    const { versions } = server.client.workspaces.open("ws_1");
    expect(await versions.capture({ message: "m", idempotencyKey: "mine" })).toMatchObject({ id: "wsv_1" });
    await versions.capture();
    expect(server.seen.map(({ method, path, body }) => [method, path, body])).toEqual([
      ["POST", "/api/v1/workspaces/ws_1/versions", { message: "m" }],
      ["POST", "/api/v1/workspaces/ws_1/versions", {}],
    ]);
    expect(server.seen[0]?.headers["idempotency-key"]).toBe("mine");
    expect(server.seen[1]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("restore names the version, and a busy workspace is refused with its code", async () => {
    const workspace = { id: "ws_1", current_version_id: "wsv_2" };
    await using server = await serve(
      json({ workspace, version: VERSION }, 201),
      refuse(409, "workspace_busy"),
    );
    const { versions } = server.client.workspaces.open("ws_1");
    const restored = await versions.restore("wsv_1", { message: "back", force: true });
    expect(restored).toMatchObject({ workspace: { currentVersionId: "wsv_2" }, version: { id: "wsv_1" } });
    expect(server.seen[0]).toMatchObject({
      path: "/api/v1/workspaces/ws_1/restore",
      body: { version_id: "wsv_1", message: "back", force: true },
    });
    await expect(versions.restore("wsv_1")).rejects.toMatchObject({ code: "workspace_busy" });
  });

  test("what differs is listed page by page, or given as text", async () => {
    await using server = await serve(
      json({ items: [CHANGE], next_cursor: "n" }),
      json({ items: [{ ...CHANGE, path: "c" }], next_cursor: null }),
      (_seen, response) => response.writeHead(200, { "content-type": "text/x-diff" }).end("diff --git\n"),
    );
    const { versions } = server.client.workspaces.open("ws_1");
    const paths: string[] = [];
    for await (const change of versions.diff({ from: "wsv_1", limit: 1 })) {
      expect(change.after?.sizeBytes).toBe(2);
      paths.push(change.path);
    }
    expect(paths).toEqual(["a/b", "c"]);
    expect(await versions.diffText({ from: "wsv_1", to: "wsv_2" })).toBe("diff --git\n");
    expect(server.seen.map(({ path, query }) => [path, query])).toEqual([
      ["/api/v1/workspaces/ws_1/diff", { from: "wsv_1", limit: "1" }],
      ["/api/v1/workspaces/ws_1/diff", { from: "wsv_1", limit: "1", cursor: "n" }],
      ["/api/v1/workspaces/ws_1/diff/text", { from: "wsv_1", to: "wsv_2" }],
    ]);
  });

  test("an archive comes as bytes, and bytes or a stream go as one", async () => {
    const seen: string[] = [];
    await using server = await serve(
      (_seen, response) => response.writeHead(200, { "content-type": "application/x-tar" }).end("tar"),
      json({ workspace: {}, version: VERSION, entries: 3, left_out: 1 }, 201),
    );
    const { versions } = server.client.workspaces.open("ws_1");
    expect(await new Response(await versions.export("wsv_1")).text()).toBe("tar");
    const archive = new TextEncoder().encode("archive");
    const imported = await versions.import(archive, { message: "m" });
    expect(imported).toMatchObject({ entries: 3, leftOut: 1, version: { id: "wsv_1" } });
    const stream = new Blob([archive]).stream();
    await versions.import(stream, { idempotencyKey: "k" });
    for (const { method, path, headers } of server.seen)
      seen.push(`${method} ${path} ${headers["content-type"] ?? ""}`);
    expect(seen).toEqual([
      "GET /api/v1/workspaces/ws_1/versions/wsv_1/archive ",
      "POST /api/v1/workspaces/ws_1/versions/import application/x-tar",
      "POST /api/v1/workspaces/ws_1/versions/import application/x-tar",
    ]);
    expect(server.seen.map(({ text, query }) => [text, query])).toEqual([
      ["", {}],
      ["archive", { message: "m" }],
      ["archive", {}],
    ]);
    expect(server.seen[2]?.headers["idempotency-key"]).toBe("k");
  });

  test("a refused archive is an error with its details", async () => {
    await using server = await serve(refuse(422, "archive_invalid"));
    const { versions } = server.client.workspaces.open("ws_1");
    await expect(versions.import(new TextEncoder().encode("1"))).rejects.toMatchObject({
      status: 422,
      code: "archive_invalid",
    });
  });
});

describe("storage", () => {
  test("its figures are read, and a round is asked for", async () => {
    const sweep = { started_at: "t", kept: FIGURE, removed: FIGURE };
    await using server = await serve(
      json({ storage: { last_sweep: null } }),
      json({ storage: { last_sweep: sweep } }),
    );
    expect(await server.client.storage.get()).toEqual({ lastSweep: null });
    expect((await server.client.storage.sweep()).lastSweep).toMatchObject({ startedAt: "t", kept: FIGURE });
    expect(server.seen.map(({ method, path }) => [method, path])).toEqual([
      ["GET", "/api/v1/storage"],
      ["POST", "/api/v1/storage/sweep"],
    ]);
  });

  test("retention is read and changed, and null makes it what is usual", async () => {
    await using server = await serve(json({ retention: { keep_last: 20, keep_for: "7d" } }));
    const { storage } = server.client;
    expect(await storage.retention("production")).toEqual({ keepLast: 20, keepFor: "7d" });
    await storage.setRetention("production", { keepLast: 20, keepFor: "7d" });
    await storage.setRetention("production", { keepFor: null });
    expect(server.seen.map(({ method, body }) => [method, body])).toEqual([
      ["GET", undefined],
      ["PATCH", { keep_last: 20, keep_for: 604_800_000 }],
      ["PATCH", { keep_for: null }],
    ]);
  });
});
