//! Terminals in a workspace's machine: made, typed in, followed, attached to.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { ConnectionError, HelmrClient } from "../src/index.ts";
import { END, events, json, refuse, serve } from "./fake-server.ts";

const PTY = {
  id: "pty_1",
  workspace_id: "ws_1",
  command: null,
  env: ["USER_KEY"],
  cols: 80,
  rows: 24,
  state: "running",
  idle: false,
  closed: false,
  exit_code: null,
  output: { start: 0, end: 5 },
  input: { end: 3, taken: 0, closed: false },
  cursor: "5",
};
const EXITED = { ...PTY, state: "exited", exit_code: 3, ended_at: "t" };

describe("ptys", () => {
  test("create sends snake_case with a key, and leaves the environment alone", async () => {
    await using server = await serve(json({ pty: PTY }, 201));
    const pty = await server.client.workspaces.open("ws_1").pty.create({
      command: ["vim"],
      cwd: "web",
      env: { userKey: "x" },
      cols: 120,
      rows: 40,
      idempotencyKey: "mine",
    });
    expect(pty.id).toBe("pty_1");
    expect(server.seen[0]).toMatchObject({
      method: "POST",
      path: "/api/v1/workspaces/ws_1/ptys",
      headers: { "idempotency-key": "mine" },
    });
    expect(server.seen[0]?.body).toEqual({
      command: ["vim"],
      cwd: "web",
      env: { userKey: "x" },
      cols: 120,
      rows: 40,
    });
  });

  test("typing without an offset is sent once, and with one as often as it takes", async () => {
    await using server = await serve(refuse(503, "store_unavailable"));
    const pty = server.client.ptys.open("pty_1");
    await expect(pty.write("ls\n")).rejects.toMatchObject({ code: "store_unavailable" });
    expect(server.seen).toHaveLength(1);
    expect(server.seen[0]?.body).toEqual({ data: "bHMK", encoding: "base64" });
    await expect(pty.write("ls\n", { offset: 3 })).rejects.toMatchObject({ code: "store_unavailable" });
    expect(server.seen.length).toBeGreaterThan(2);
    expect(server.seen[1]?.body).toEqual({ data: "bHMK", encoding: "base64", offset: 3 });
  });

  test("output is followed by byte, and wait gives how it ended", async () => {
    const piece = { offset: 5, cursor: "8", data: "abc", encoding: "utf8" };
    await using server = await serve(
      events([`id: 8\ndata: ${JSON.stringify(piece)}\n\n`, END], "close"),
      events([], "end"),
      json({ pty: EXITED }),
    );
    const pty = server.client.ptys.open("pty_1");
    const seen = [];
    for await (const { offset, bytes } of pty.output.follow({ cursor: "5" }))
      seen.push([offset, bytes.length]);
    expect(seen).toEqual([[5, 3]]);
    expect(server.seen[0]).toMatchObject({ path: "/api/v1/ptys/pty_1/output", query: { cursor: "5" } });
    expect(await pty.wait()).toMatchObject({ state: "exited", exitCode: 3 });
  });

  test("resize and close say so, and lists come in pages", async () => {
    await using server = await serve(
      json({ pty: { ...PTY, cols: 90 } }),
      json({ pty: { ...PTY, closed: true } }),
      json({ items: [PTY], next_cursor: null }),
    );
    const pty = server.client.ptys.open("pty_1");
    expect((await pty.resize({ cols: 90, rows: 24 })).cols).toBe(90);
    expect((await pty.close()).closed).toBe(true);
    const listed = [];
    for await (const { workspaceId } of server.client.workspaces.open("ws_1").pty.list())
      listed.push(workspaceId);
    expect(listed).toEqual(["ws_1"]);
    expect(server.seen.map(({ path }) => path)).toEqual([
      "/api/v1/ptys/pty_1/resize",
      "/api/v1/ptys/pty_1/close",
      "/api/v1/workspaces/ws_1/ptys",
    ]);
  });
});

/** RFC 6455: a text (1), binary (2) or closing (8) frame of a server. */
function frame(kind: number, payload: string): Buffer {
  const bytes = Buffer.from(payload);
  const length = bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 255];
  return Buffer.concat([Buffer.from([0x80 | kind, ...length]), bytes]);
}

/** The payload of a short frame of a client. */
function payload(bytes: Buffer): string {
  const length = (bytes[1] ?? 0) & 127;
  const mask = bytes.subarray(2, 6);
  return Buffer.from(bytes.subarray(6, 6 + length).map((byte, at) => byte ^ (mask[at % 4] ?? 0))).toString();
}

/** A server that takes one viewer. */
async function attachable(answer: (socket: Socket, heard: (take: (text: string) => void) => void) => void) {
  const asked: { path: string; authorization: string | undefined }[] = [];
  const sockets: Socket[] = [];
  const server = createServer().on("upgrade", (request, socket: Socket) => {
    sockets.push(socket);
    asked.push({ path: request.url ?? "", authorization: request.headers.authorization });
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.write(frame(1, JSON.stringify({ type: "attached", pty: PTY, cursor: "2" })));
    answer(socket, (take) => socket.on("data", (bytes: Buffer) => take(payload(bytes))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    asked,
    client: new HelmrClient({ url, apiKey: "hlmr_sk_x" }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("attach", () => {
  test("what is printed comes, what is typed is taken, and it ends with the PTY", async () => {
    await using server = await attachable((socket, heard) => {
      socket.write(frame(2, "ab"));
      heard((text) => {
        if (text === "hi\n") {
          socket.write(frame(1, JSON.stringify({ type: "accepted", input: 3 })));
          socket.write(frame(1, JSON.stringify({ type: "resized", cols: 90, rows: 20 })));
          socket.write(frame(2, "cd"));
          socket.write(frame(1, JSON.stringify({ type: "ended", pty: EXITED })));
          socket.end(frame(8, ""));
        }
      });
    });
    const terminal = await server.client.ptys.open("pty_1").attach({ cursor: "2" });
    expect(server.asked[0]).toEqual({
      path: "/api/v1/ptys/pty_1/attach?cursor=2",
      authorization: "Bearer hlmr_sk_x",
    });
    await terminal.write("hi\n");
    let shown = "";
    for await (const bytes of terminal) shown += new TextDecoder().decode(bytes);
    expect([shown, terminal.cursor, terminal.size]).toEqual(["abcd", "6", { cols: 90, rows: 20 }]);
    expect(terminal.ended).toMatchObject({ state: "exited", exitCode: 3 });
    await expect(terminal.write("more")).rejects.toThrow(ConnectionError);
  });

  test("a connection that is lost is an error, behind what came before", async () => {
    await using server = await attachable((socket) => {
      socket.write(frame(2, "ab"), () => socket.end());
    });
    const terminal = await server.client.ptys.open("pty_1").attach();
    const seen: number[] = [];
    const watching = (async () => {
      for await (const bytes of terminal) seen.push(bytes.length);
    })();
    await expect(watching).rejects.toThrow("the connection was lost");
    expect([seen, terminal.cursor]).toEqual([[2], "4"]);
  });

  test("who is refused is told so, and who leaves ends quietly", async () => {
    await using none = await serve(refuse(404, "pty_not_found"));
    await expect(none.client.ptys.open("pty_2").attach()).rejects.toThrow(ConnectionError);
    await using server = await attachable(() => {});
    const terminal = await server.client.ptys.open("pty_1").attach();
    terminal.leave();
    for await (const _ of terminal) throw new Error("nothing was printed");
  });
});
