//! The repository the agent works on: a small package with a test that fails for a reason.
import { execFile } from "node:child_process";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const exec = promisify(execFile);

/** The package as it is found: the range check forgets the end of the range. */
const FILES: Readonly<Record<string, string>> = {
  "package.json": `${JSON.stringify({ name: "semver-range", version: "0.1.0", type: "module" }, undefined, 2)}\n`,
  "src/range.js": `// Whether a version lies in a range such as "1.2.0 - 1.4.0", both ends included.
export function inRange(version, range) {
  const [low, high] = range.split(" - ");
  return compare(version, low) >= 0 && compare(version, high) < 0;
}

function compare(a, b) {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < 3; i++) {
    if (left[i] !== right[i]) return left[i] - right[i];
  }
  return 0;
}
`,
  "test/range.test.js": `import assert from "node:assert/strict";
import { test } from "node:test";
import { inRange } from "../src/range.js";

test("a version between the ends is in the range", () => {
  assert.equal(inRange("1.3.0", "1.2.0 - 1.4.0"), true);
});

test("the low end is in the range", () => {
  assert.equal(inRange("1.2.0", "1.2.0 - 1.4.0"), true);
});

test("the high end is in the range", () => {
  assert.equal(inRange("1.4.0", "1.2.0 - 1.4.0"), true);
});

test("a version above the high end is not in the range", () => {
  assert.equal(inRange("1.4.1", "1.2.0 - 1.4.0"), false);
});
`,
};

/** How a run of the tests went. */
export interface Suite {
  readonly passed: number;
  readonly failed: number;
  /** The name of the first test that failed; empty when none did. */
  readonly firstFailure: string;
}

/** What the agent changed. */
export interface Fix {
  readonly file: string;
  readonly summary: string;
}

/** Makes the repository in the workspace unless it is there from an earlier run; gives its folder. */
export async function ensureRepository(workspace: string, signal: AbortSignal): Promise<string> {
  const directory = join(workspace, "semver-range");
  if (await exists(join(directory, ".git"))) return directory;
  for (const [file, content] of Object.entries(FILES)) {
    await mkdir(dirname(join(directory, file)), { recursive: true });
    await writeFile(join(directory, file), content);
  }
  await git(directory, ["init", "--quiet", "--initial-branch=main"], signal);
  await commitAll(directory, "range checks for versions", signal);
  return directory;
}

/** Runs the package's tests as they stand. */
export async function runSuite(directory: string, signal: AbortSignal): Promise<Suite> {
  const report = await testReport(directory, signal);
  const count = (word: string) =>
    Number(new RegExp(`^# ${word} (\\d+)$`, "m").exec(report)?.[1] ?? Number.NaN);
  const suite = {
    passed: count("pass"),
    failed: count("fail"),
    firstFailure: /^\s*not ok \d+ - (.*)$/m.exec(report)?.[1] ?? "",
  };
  if (Number.isNaN(suite.passed) || Number.isNaN(suite.failed))
    throw new Error(`the tests did not run:\n${report}`);
  return suite;
}

async function testReport(directory: string, signal: AbortSignal): Promise<string> {
  try {
    return (await exec(process.execPath, ["--test", "--test-reporter=tap"], { cwd: directory, signal }))
      .stdout;
  } catch (error) {
    // Failing tests make the exit code 1; the report is what counts.
    if (
      error instanceof Error &&
      "stdout" in error &&
      typeof error.stdout === "string" &&
      error.stdout !== ""
    ) {
      return error.stdout;
    }
    throw error;
  }
}

/** Reads the code that the failing test is about and repairs it. */
export async function repair(directory: string, suite: Suite): Promise<Fix> {
  const file = "src/range.js";
  const code = await readFile(join(directory, file), "utf8");
  const wrong = "compare(version, high) < 0";
  if (!suite.firstFailure.includes("high end") || !code.includes(wrong)) {
    throw new Error(`no repair is known for "${suite.firstFailure}"`);
  }
  await writeFile(join(directory, file), code.replace(wrong, "compare(version, high) <= 0"));
  return { file, summary: "include the high end of a version range" };
}

/** Commits everything and gives the commit's id. */
export async function commitAll(directory: string, message: string, signal: AbortSignal): Promise<string> {
  await git(directory, ["add", "--all"], signal);
  // The machine may have neither a home folder nor a git configuration.
  const who = ["-c", "user.name=Release Agent", "-c", "user.email=release-agent@example.com"];
  await git(directory, [...who, "commit", "--quiet", "--no-gpg-sign", "-m", message], signal);
  return (await git(directory, ["rev-parse", "HEAD"], signal)).trim();
}

async function git(directory: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  return (await exec("git", ["-C", directory, ...args], { signal })).stdout;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
