//! Commands in a workspace's machine: made, listed, waited for, signalled, and what they print.
import { describe, expect, test } from "vitest";
import { type Answer, END, events, json, refuse, serve } from "./fake-server.ts";

const EXEC = {
  id: "exec_1",
  workspace_id: "ws_1",
  command: ["npm", "test"],
  env: ["USER_KEY"],
  state: "running",
  timed_out: false,
  exit_code: null,
  stdout: { start: 0, end: 5 },
  stdin: { end: 0, taken: 0, closed: false },
};
const EXITED = { ...EXEC, state: "exited", exit_code: 3, ended_at: "t" };

/** A piece as it stands on the wire. */
function piece(offset: number, data: string, encoding = "utf8") {
  const size = Buffer.from(data, encoding as BufferEncoding).length;
  return { offset, cursor: String(offset + size), data, encoding };
}

function told(offset: number, data: string, encoding?: string): string {
  const item = piece(offset, data, encoding);
  return `id: ${item.cursor}\ndata: ${JSON.stringify(item)}\n\n`;
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Answers by the last part of the path. */
function by(answers: Readonly<Record<string, Answer>>): Answer {
  return (seen, response) => answers[seen.path.split("/").at(-1) ?? ""]?.(seen, response);
}

describe("execs", () => {
  test("exec sends snake_case with a key, and leaves the environment alone", async () => {
    await using server = await serve(json({ exec: EXEC }, 201));
    const exec = await server.client.workspaces.open("ws_1").exec(["npm", "test"], {
      cwd: "web",
      env: { userKey: "deepKey", USER_KEY: "x" },
      user: "1000:1000",
      timeout: "1m30s",
      detached: true,
      stdin: true,
      idempotencyKey: "mine",
    });
    expect(exec.id).toBe("exec_1");
    expect(server.seen[0]).toMatchObject({
      method: "POST",
      path: "/api/v1/workspaces/ws_1/execs",
      headers: { "idempotency-key": "mine" },
    });
    expect(server.seen[0]?.body).toEqual({
      command: ["npm", "test"],
      cwd: "web",
      env: { userKey: "deepKey", USER_KEY: "x" },
      user: "1000:1000",
      timeout: 90_000,
      detached: true,
      stdin: true,
    });
  });

  test("exec without options sends the command alone", async () => {
    await using server = await serve(json({ exec: EXEC }, 201));
    await server.client.workspaces.open("ws_1").exec(["ls"]);
    expect(server.seen[0]?.body).toEqual({ command: ["ls"] });
    expect(server.seen[0]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("a time that is none is refused before anything is sent", async () => {
    await using server = await serve(json({ exec: EXEC }, 201));
    const made = server.client.workspaces.open("ws_1").exec(["ls"], { timeout: "soon" });
    await expect(made).rejects.toThrow(RangeError);
    expect(server.seen).toEqual([]);
  });

  test("exec by external id finds the workspace, and once more when that one was deleted", async () => {
    const page = (id: string) => json({ items: [{ id, external_id: "repo" }], next_cursor: null });
    await using server = await serve(
      page("ws_1"),
      refuse(409, "workspace_not_active"),
      page("ws_2"),
      json({ exec: EXEC }, 201),
      refuse(409, "workspace_not_active"),
    );
    await server.client.workspaces.open({ externalId: "repo" }).exec(["ls"]);
    expect(server.seen.map(({ path }) => path.slice(8))).toEqual([
      "workspaces",
      "workspaces/ws_1/execs",
      "workspaces",
      "workspaces/ws_2/execs",
    ]);
    const byId = server.client.workspaces.open("ws_1").exec(["ls"]);
    await expect(byId).rejects.toMatchObject({ code: "workspace_not_active" });
    expect(server.seen).toHaveLength(5);
  });

  test("a workspace lists its execs from page to page, and one is looked up by its id", async () => {
    await using server = await serve(
      json({ items: [EXEC], next_cursor: "n" }),
      json({ items: [{ ...EXITED, id: "exec_0" }], next_cursor: null }),
      json({ exec: EXITED }),
    );
    const found: string[] = [];
    for await (const { id } of server.client.workspaces.open("ws_1").execs.list({ limit: 1 })) found.push(id);
    expect(found).toEqual(["exec_1", "exec_0"]);
    expect(await server.client.execs.get("exec_1")).toMatchObject({
      workspaceId: "ws_1",
      exitCode: 3,
      timedOut: false,
      env: ["USER_KEY"],
    });
    expect(server.seen.map(({ path, query }) => [path.slice(8), query])).toEqual([
      ["workspaces/ws_1/execs", { limit: "1" }],
      ["workspaces/ws_1/execs", { limit: "1", cursor: "n" }],
      ["execs/exec_1", {}],
    ]);
  });

  test("wait follows to the end over lost connections and receives no output", async () => {
    await using server = await serve(
      events([": hello\n\n"], "cut"),
      refuse(503, "shutting_down"),
      events([], "end"),
      json({ exec: EXITED }),
    );
    expect(await server.client.execs.open("exec_1").wait()).toMatchObject({ state: "exited", exitCode: 3 });
    expect(server.seen.map(({ path }) => path.slice(8))).toEqual([
      "execs/exec_1/stdout",
      "execs/exec_1/stdout",
      "execs/exec_1/stdout",
      "execs/exec_1",
    ]);
    expect(Number(server.seen[0]?.query.cursor)).toBe(Number.MAX_SAFE_INTEGER);
    expect(server.seen[0]?.headers.accept).toBe("text/event-stream");
  });

  test("wait gives up after its time or by its signal, and the exec goes on", async () => {
    await using server = await serve(events([]));
    const exec = server.client.execs.open("exec_1");
    await expect(exec.wait({ timeoutMs: 50 })).rejects.toMatchObject({
      code: "timeout",
      message: /exec_1 did not end within 50 ms/,
    });
    const given = new AbortController();
    const waiting = exec.wait({ signal: given.signal });
    given.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    expect(server.seen.every(({ method }) => method === "GET")).toBe(true);
  });

  test("a follower that ends without a final state is an error", async () => {
    await using server = await serve(events([], "end"), json({ exec: EXEC }));
    const waiting = server.client.execs.open("exec_1").wait();
    await expect(waiting).rejects.toMatchObject({ code: "invalid_response" });
  });

  test("a signal is sent by name or number, and once only", async () => {
    await using server = await serve(
      json({ exec: EXEC }),
      json({ exec: EXEC }),
      refuse(503, "store_unavailable"),
      json({ exec: EXEC }),
    );
    const exec = server.client.execs.open("exec_1");
    expect(await exec.signal("SIGINT")).toMatchObject({ state: "running" });
    await exec.signal(9);
    await expect(exec.signal("TERM")).rejects.toMatchObject({ code: "store_unavailable" });
    expect(server.seen.map(({ method, path, body }) => [method, path.slice(8), body])).toEqual([
      ["POST", "execs/exec_1/signal", { signal: "SIGINT" }],
      ["POST", "execs/exec_1/signal", { signal: "9" }],
      ["POST", "execs/exec_1/signal", { signal: "TERM" }],
    ]);
  });
});

describe("output of execs", () => {
  test("list and read give bytes with their offsets, in both encodings", async () => {
    await using server = await serve(
      json({ items: [piece(2, "é")], next_cursor: "4" }),
      json({ items: [piece(4, "/wA=", "base64")], next_cursor: null }),
      json({ items: [], next_cursor: null }),
    );
    const { stdout, stderr } = server.client.execs.open("exec_1");
    const chunks = await stdout.read({ cursor: "2", limit: 1 });
    expect(chunks.map(({ offset, cursor, bytes }) => [offset, cursor, [...bytes]])).toEqual([
      [2, "4", [0xc3, 0xa9]],
      [4, "6", [0xff, 0x00]],
    ]);
    expect(await stderr.list()).toEqual({ items: [], nextCursor: null });
    expect(server.seen.map(({ path, query }) => [path.slice(8), query])).toEqual([
      ["execs/exec_1/stdout", { limit: "1", cursor: "2" }],
      ["execs/exec_1/stdout", { limit: "1", cursor: "4" }],
      ["execs/exec_1/stderr", {}],
    ]);
  });

  test("follow goes on behind the last byte, without gap or repeat", async () => {
    await using server = await serve(
      events([told(3, "ab"), told(5, "cd").slice(0, 9)], "cut"),
      events([told(5, "cd")], "end"),
    );
    let printed = "";
    for await (const { bytes } of server.client.execs.open("exec_1").stderr.follow({ cursor: "3" })) {
      printed += text(bytes);
    }
    expect(printed).toBe("abcd");
    expect(server.seen.map(({ query, headers }) => [query.cursor, headers["last-event-id"]])).toEqual([
      ["3", undefined],
      ["3", "5"],
    ]);
  });

  test("what is not kept any more is gone, also when it goes while it is followed", async () => {
    const error = { code: "cursor_expired", message: "gone", details: { earliest_cursor: "9" } };
    await using server = await serve(
      json({ error }, 410),
      events([told(0, "a"), `event: error\ndata: ${JSON.stringify(error)}\n\n`]),
    );
    const { stdout } = server.client.execs.open("exec_1");
    const expected = { status: 410, code: "cursor_expired", details: { earliest_cursor: "9" } };
    await expect(stdout.text()).rejects.toMatchObject(expected);
    await expect(stdout.text()).rejects.toMatchObject({ name: "GoneError", ...expected });
  });

  test("output gives what was printed and the exit code, with characters that were cut in two", async () => {
    const [first, second] = ["4g==", "gqwK"];
    await using server = await serve(
      by({
        stdout: events([told(0, first, "base64"), told(1, second, "base64")], "end"),
        stderr: events([told(0, "\ufeffoh\n")], "end"),
        exec_1: json({ exec: EXITED }),
      }),
    );
    const result = await server.client.execs.open("exec_1").output();
    expect(result).toMatchObject({
      exitCode: 3,
      stdout: "€\n",
      stderr: "\ufeffoh\n",
      exec: { state: "exited" },
    });
    expect(server.seen).toHaveLength(3);
  });

  test("output of an exec that was killed has no exit code, and says by which signal", async () => {
    const exec = { ...EXITED, state: "killed", exit_code: null, signal: 9 };
    const none = events([], "end");
    await using server = await serve(by({ stdout: none, stderr: none, exec_1: json({ exec }) }));
    const result = await server.client.execs.open("exec_1").output();
    expect(result).toMatchObject({ exitCode: null, stdout: "", exec: { state: "killed", signal: 9 } });
  });

  test("output over 16 MiB is an error, which ends following both streams", async () => {
    let stopped: (() => void) | undefined;
    const other = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    const MiB = 1024 * 1024;
    const most = Array.from({ length: 16 }, (_, at) => told(at * MiB, "x".repeat(MiB)));
    const silent: Answer = (_seen, response) => {
      response.on("close", () => stopped?.());
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": hello\n\n");
    };
    await using server = await serve(
      by({ stdout: events([...most, told(16 * MiB, "x")]), stderr: silent }),
      by({ stdout: events([...most, told(16 * MiB, "x")]), stderr: silent }),
      events([...most, END]),
    );
    const exec = server.client.execs.open("exec_1");
    await expect(exec.output()).rejects.toThrow(/exec_1 printed more than 16777216 bytes to stdout/);
    await other;
    expect(await exec.stdout.text()).toHaveLength(16 * MiB);
  });
});
