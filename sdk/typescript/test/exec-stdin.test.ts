//! What execs are given to read: in order, each byte once.
import { describe, expect, test } from "vitest";
import { type Answer, json, refuse, type Seen, serve } from "./fake-server.ts";

const EXEC = { id: "exec_1", state: "running", stdin: { end: 7, taken: 7, closed: false } };
const taken = json({ exec: EXEC });

/** An exec that was made just now. */
async function fresh(...answers: Answer[]) {
  const server = await serve(json({ exec: EXEC }, 201), ...answers);
  const exec = await server.client.workspaces.open("ws_1").exec(["cat"], { stdin: true });
  return { server, stdin: exec.stdin, written: () => server.seen.slice(1).map(read) };
}

/** What was written where. */
function read({ path, body }: Seen): unknown[] {
  const { offset, data, encoding, close } = body as Record<string, unknown>;
  expect(path).toBe("/api/v1/execs/exec_1/stdin");
  expect(encoding).toBe("base64");
  const text = Buffer.from(String(data), "base64").toString();
  return close === true ? [offset, text, "close"] : [offset, text];
}

describe("standard input of an exec", () => {
  test("writes keep their order and follow each other, awaited or not, and end closes", async () => {
    const { server, stdin, written } = await fresh(taken);
    await using _ = server;
    const bytes = new Uint8Array([0x62]);
    const all = [stdin.write("é"), stdin.write(bytes), stdin.write(""), stdin.end()];
    bytes.fill(0);
    await Promise.all(all);
    expect(written()).toEqual([
      [0, "é"],
      [2, "b"],
      [3, "", "close"],
    ]);
  });

  test("much is written in pieces", async () => {
    const { server, stdin, written } = await fresh(taken);
    await using _ = server;
    await stdin.write("x".repeat(600_000));
    await stdin.write("y");
    const sizes = written().map(([offset, text]) => [offset, String(text).length]);
    expect(sizes).toEqual([
      [0, 262_144],
      [262_144, 262_144],
      [524_288, 75_712],
      [600_000, 1],
    ]);
  });

  test("an exec opened by its id is written to where its input ends", async () => {
    await using server = await serve(json({ exec: EXEC }), taken);
    const { stdin } = server.client.execs.open("exec_1");
    await stdin.write("a");
    await stdin.write("b");
    expect(server.seen[0]).toMatchObject({ method: "GET", path: "/api/v1/execs/exec_1" });
    expect(server.seen.slice(1).map(read)).toEqual([
      [7, "a"],
      [8, "b"],
    ]);
  });

  test("a write waits until there is room, and gives up by its signal", async () => {
    const full = refuse(409, "exec_input_full");
    const { server, stdin, written } = await fresh(full, full, taken, full);
    await using _ = server;
    await stdin.write("a");
    const given = new AbortController();
    const waiting = stdin.write("b", { signal: given.signal });
    given.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    expect(written().slice(0, 3)).toEqual([
      [0, "a"],
      [0, "a"],
      [0, "a"],
    ]);
  });

  test("a write that failed may be made again, and what stood behind it is not written in its place", async () => {
    const { server, stdin, written } = await fresh(taken, refuse(500, "internal"), taken);
    await using _ = server;
    const first = stdin.write("x".repeat(300_000));
    const behind = stdin.write("never");
    await expect(first).rejects.toMatchObject({ code: "internal" });
    await expect(behind).rejects.toMatchObject({ code: "internal" });
    await stdin.write("x".repeat(300_000));
    await stdin.write("y");
    expect(written().map(([offset]) => offset)).toEqual([0, 262_144, 0, 262_144, 300_000]);
  });

  test("a process that takes no more refuses a write, and not an end", async () => {
    const { server, stdin } = await fresh(refuse(409, "exec_input_closed"));
    await using _ = server;
    await expect(stdin.write("a")).rejects.toMatchObject({ status: 409, code: "exec_input_closed" });
    await stdin.end();
    expect(server.seen).toHaveLength(3);
  });

  test("somebody else's write is not written over", async () => {
    const { server, stdin } = await fresh(refuse(409, "exec_input_out_of_step"));
    await using _ = server;
    await expect(stdin.write("a")).rejects.toMatchObject({ code: "exec_input_out_of_step" });
    await expect(stdin.end()).rejects.toMatchObject({ code: "exec_input_out_of_step" });
  });
});
