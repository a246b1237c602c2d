//! The files of a workspace: what is asked of the server, and what its answers become.
import { describe, expect, test } from "vitest";
import { HelmrError } from "../src/index.ts";
import { json, refuse, serve } from "./fake-server.ts";

const FILE = {
  path: "notes/a.txt",
  kind: "file",
  size_bytes: 5,
  mode: "0644",
  uid: 0,
  gid: 0,
  modified_at: "2026-06-01T00:00:00.000Z",
  target: null,
  revision: "abc1",
};

describe("files", () => {
  test("write sends bytes as they are, with the condition as headers", async () => {
    await using server = await serve(json({ file: FILE }));
    const { files } = server.client.workspaces.open("ws_1");
    const written = await files.write("notes/a.txt", "hello", {
      parents: true,
      mode: "0600",
      ifMatch: "abc1",
    });
    expect(written).toMatchObject({ path: "notes/a.txt", sizeBytes: 5, revision: "abc1" });
    expect(server.seen[0]).toMatchObject({
      method: "PUT",
      path: "/api/v1/workspaces/ws_1/files/content",
      query: { path: "notes/a.txt", parents: "true", mode: "0600" },
      headers: { "if-match": '"abc1"', "content-type": "application/octet-stream" },
    });
    await files.write("new", new Uint8Array([1, 2, 255]), { ifAbsent: true });
    expect(server.seen[1]?.headers).toMatchObject({ "if-none-match": "*" });
  });

  test("a stream is sent as it comes", async () => {
    await using server = await serve(json({ file: FILE }));
    async function* pieces() {
      yield new TextEncoder().encode("one ");
      yield new TextEncoder().encode("two");
    }
    await server.client.workspaces.open("ws_1").files.append("log", pieces(), { offset: 3 });
    expect(server.seen[0]).toMatchObject({ method: "POST", query: { path: "log", offset: "3" } });
    expect(server.seen[0]?.text).toBe("one two");
  });

  test("read asks for a range and gives bytes", async () => {
    await using server = await serve((seen, response) => {
      response.writeHead(206, { "content-type": "application/octet-stream" });
      response.end(Buffer.from([0, 255, 7]));
      expect(seen.headers.range).toBe("bytes=2-4");
    });
    const bytes = await server.client.workspaces.open("ws_1").files.read("b", { start: 2, end: 5 });
    expect([...bytes]).toEqual([0, 255, 7]);
  });

  test("a refusal has its code and details", async () => {
    await using server = await serve(refuse(409, "file_changed"));
    const { files } = server.client.workspaces.open("ws_1");
    const error = await files.write("a", "x", { ifMatch: "abc1" }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(HelmrError);
    expect(error).toMatchObject({ status: 409, code: "file_changed", details: { user_key: 1 } });
  });

  test("lists go on page by page", async () => {
    await using server = await serve((seen, response) => {
      const second = seen.query.cursor === "next";
      const page = { items: [{ ...FILE, path: second ? "b" : "a" }], next_cursor: second ? null : "next" };
      return json(page)(seen, response);
    });
    const paths: string[] = [];
    for await (const { path } of server.client.workspaces.open("ws_1").files.glob("**", { path: "src" }))
      paths.push(path);
    expect(paths).toEqual(["a", "b"]);
    expect(server.seen[0]?.query).toMatchObject({ pattern: "**", path: "src" });
  });

  test("directories, moves, modes and removals", async () => {
    await using server = await serve(json({ file: FILE }));
    const { files } = server.client.workspaces.open("ws_1");
    await files.mkdir("a/b", { parents: true });
    await files.move("a", "b", { overwrite: true });
    await files.chmod("b", "0755");
    await files.remove("b", { recursive: true });
    expect(server.seen.map(({ method, path, body }) => [method, path.split("/").at(-1), body])).toEqual([
      ["POST", "mkdir", { path: "a/b", parents: true }],
      ["POST", "move", { from: "a", to: "b", overwrite: true }],
      ["POST", "chmod", { path: "b", mode: "0755" }],
      ["DELETE", "files", undefined],
    ]);
    expect(server.seen[3]?.query).toEqual({ path: "b", recursive: "true" });
  });
});
