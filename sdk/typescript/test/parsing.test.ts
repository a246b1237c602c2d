//! Small readers: events, durations, sizes, JSON, globs, names.
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { matcher } from "../src/bundler/glob.ts";
import { API_VERSION, SDK_VERSION } from "../src/index.ts";
import { durationMs, sizeBytes } from "../src/internal/duration.ts";
import { encodeJson } from "../src/internal/json.ts";
import { nameFault } from "../src/internal/names.ts";
import { EventParser } from "../src/internal/sse.ts";

describe("server-sent events", () => {
  test.each<[string, [string, string, string | undefined][]]>([
    ["data: a\n\n", [["message", "a", undefined]]],
    ["data: a\n", []],
    [
      "event: x\ndata: a\nid: 7\n\ndata: b\n\n",
      [
        ["x", "a", "7"],
        ["message", "b", "7"],
      ],
    ],
    [
      "data: a\r\n\r\ndata: b\r\rdata: c\n\n",
      [
        ["message", "a", undefined],
        ["message", "b", undefined],
        ["message", "c", undefined],
      ],
    ],
    [": alive\n\nretry: 10\ndata: a\ndata:\ndata:  b\n\n", [["message", "a\n\n b", undefined]]],
    ["data: \u{1f980} \u00e9\n\n", [["message", "\u{1f980} \u00e9", undefined]]],
    ["id: 3\n\nevent: lost\n\ndata: x\n\n", [["message", "x", "3"]]],
  ])("%j", (text, expected) => {
    const whole = new EventParser().push(Buffer.from(text));
    const parser = new EventParser();
    const pieces = [...Buffer.from(text)].flatMap((byte) => parser.push(Uint8Array.of(byte)));
    for (const events of [whole, pieces])
      expect(events.map(({ name, data, id }) => [name, data, id])).toEqual(expected);
  });

  test("an event without an end is refused", () => {
    const parser = new EventParser();
    const piece = Buffer.alloc(8 * 1024 * 1024, "x");
    expect(() => {
      for (let i = 0; i < 5; i++) parser.push(piece);
    }).toThrow(/no end/);
  });
});

describe("durations and sizes", () => {
  test.each([
    ["500ms", 500],
    ["30s", 30_000],
    ["1h30m", 5_400_000],
    ["7d", 604_800_000],
    [250, 250],
    ["0s", 0],
  ])("%s", (duration, ms) => expect(durationMs(duration)).toBe(ms));

  test.each(["", "5", "1.5h", "-1s", "1w", "h", "1h ", "soon", -1, 1.5, Number.NaN, "9007199254740993ms"])(
    "%s is no duration",
    (duration) => {
      expect(() => durationMs(duration, "the timeout")).toThrow(/the timeout must be whole milliseconds/);
    },
  );

  test.each([
    ["512Mi", 536_870_912],
    ["4Gi", 4_294_967_296],
    ["1.5Gi", 1_610_612_736],
    ["500M", 500_000_000],
    [1024, 1024],
  ])("%s", (size, bytes) => expect(sizeBytes(size)).toBe(bytes));

  test.each(["", "0", "4GB", "-1Gi", "lots", 0, -5])("%s is no size", (size) => {
    expect(() => sizeBytes(size, "memory")).toThrow(/memory must be bytes/);
  });
});

describe("JSON", () => {
  test("the limit counts bytes, not characters", () => {
    expect(encodeJson("\u00e9", "it", 4)).toBe('"\u00e9"');
    expect(() => encodeJson("\u00e9", "it", 3)).toThrow("it takes 4 bytes as JSON; the limit is 3");
  });

  test("brackets in strings are no depth", () => {
    expect(encodeJson("[".repeat(500), "it", 1_000)).toHaveLength(502);
    expect(encodeJson({ a: `"${"[".repeat(200)}\\` }, "it", 1_000)).toContain("[[");
  });

  test("lone surrogates are replaced, in keys and one after the other", () => {
    expect(JSON.parse(encodeJson({ "\ud800": "\udc00\ud800\\ud800" }, "it", 1_000))).toEqual({
      "\ufffd": "\ufffd\ufffd\\ud800",
    });
  });

  test.each([
    [undefined, "undefined"],
    [Symbol("x"), "symbol"],
  ])("%s is no JSON", (value, type) => {
    expect(() => encodeJson(value, "it", 10)).toThrow(`it is ${type}`);
  });
});

test.each([
  ["tasks/drafts", "tasks/drafts/a.ts", true],
  ["tasks/drafts", "tasks/draftsman.ts", false],
  ["./tasks/*.ts", "tasks/a.ts", true],
  ["tasks/*.ts", "tasks/deep/a.ts", false],
  ["tasks/**/*.ts", "tasks/a.ts", true],
  ["**/old/**", "tasks/old/deep/a.ts", true],
  ["*.skip.ts", "tasks/deep/a.skip.ts", true],
  ["tasks/{a,b}?.ts", "tasks/b1.ts", true],
  ["tasks/a+(b).ts", "tasks/a+(b).ts", true],
])("pattern %s and %s", (pattern, path, matches) => {
  expect(matcher([pattern])(path)).toBe(matches);
});

test.each([
  ["task", "review-pr.v2", true],
  ["task", "a/b", false],
  ["task", "", false],
  ["task", "a".repeat(129), false],
  ["stream", "a".repeat(256), true],
  ["queue", "team/deploys", true],
  ["project", "main", true],
  ["project", "Main", false],
] as const)("%s name %s", (kind, name, fits) => {
  expect(nameFault(kind, name) === undefined).toBe(fits);
});

test("the version is the package's, and the API version is a date", async () => {
  const { version } = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  expect(SDK_VERSION).toBe(version);
  expect(API_VERSION).toBe("2026-06-15");
});
