//! The bundler as the command that a deploy runs: what it finds, and what it says about broken projects.
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bundled, EXAMPLES, project, runBundler, scratch } from "./bundles.ts";
import { TaskHost } from "./task-host.ts";

const SDK = `import { cache, image, queue, sandbox, schedules, source, streams, task } from "@helmr/sdk"; import { z } from "zod";\n`;
const RUN = "run: async () => undefined";
const PACKAGE = join(import.meta.dirname, "..");

describe("the index", () => {
  test("it holds everything that is declared", async () => {
    await using made = await project({
      "package.json": "{}",
      "tasks/review.ts": `${SDK}
import { messages } from "../lib/streams.ts";
void messages;
const base = image("review").from("node:24-bookworm-slim").env({ A: "1" });
const built = base.workdir("/src").user("node").run(["npm", "ci"], { cache: [{ mountPath: "/root/.npm", cache: cache("npm") }], network: false })
  .copy("/src/package.json", source.file("package.json")).copy("/all", base).copyFrom("/bin/x", base, "/usr/bin/x");
export const sb = sandbox("review").image(built).workspace("/work").resources({ cpu: 0.5, memory: "512Mi" })
  .network({ internet: { allow: ["example.com"] } });
export const review = task({
  id: "review", sandbox: sb, maxDuration: 60, ttl: "10m", queue: queue("q/a", { concurrencyLimit: 2 }),
  retry: { maxAttempts: 3, backoff: { min: "500ms" } },
  secrets: [{ name: "KEY", env: "KEY" }, { name: "CERT", file: "/run/cert", mode: 0o440 }, { name: "ALL", dir: "/run/all" }],
  payload: z.object({ pr: z.number() }), ${RUN},
});
export const nightly = schedules.task({ id: "nightly", cron: "0 3 * * *", ${RUN} });
`,
      "tasks/plain.ts": `${SDK} export default task({ id: "plain", ${RUN} }); export const spare = sandbox("spare").image(image("i").from("debian"));`,
      "tasks/plain.test.ts": "throw new Error('tests are not tasks')",
      "lib/streams.ts": `${SDK} export const messages = streams.input("messages", { schema: z.object({ text: z.string() }) }); export const out = streams.output("out");`,
    });
    const { code, document } = await runBundler(made.path, made.out);
    expect(code, JSON.stringify(document)).toBe(0);
    const none = { queue: null, ttl: null, retry: null, secrets: [], payload_schema: null, schedule: null };
    expect(document.tasks).toEqual([
      {
        ...none,
        id: "nightly",
        sandbox_id: null,
        max_duration_seconds: 900,
        schedule: { cron: "0 3 * * *", timezone: "UTC", overlap: "skip", catch_up: "none" },
        module: "tasks/review.mjs",
        export: "nightly",
        file: "tasks/review.ts",
        streams: ["messages", "out"],
      },
      {
        ...none,
        id: "plain",
        sandbox_id: null,
        max_duration_seconds: 900,
        module: "tasks/plain.mjs",
        export: "default",
        file: "tasks/plain.ts",
        streams: [],
      },
      {
        id: "review",
        sandbox_id: "review",
        max_duration_seconds: 60,
        queue: { name: "q/a", concurrency_limit: 2, concurrency_key: null, priority: 0 },
        ttl: 600_000,
        retry: { max_attempts: 3, backoff: { min_ms: 500, max_ms: 60_000, factor: 2, jitter: true } },
        secrets: [
          { name: "KEY", env: "KEY" },
          { name: "CERT", file: "/run/cert", mode: 0o440 },
          { name: "ALL", dir: "/run/all" },
        ],
        payload_schema: expect.objectContaining({ type: "object", required: ["pr"] }),
        schedule: null,
        module: "tasks/review.mjs",
        export: "review",
        file: "tasks/review.ts",
        streams: ["messages", "out"],
      },
    ]);
    const base = { id: "review", from: "node:24-bookworm-slim", workdir: null, env: { A: "1" }, user: null };
    const bare = { ...base, steps: [{ op: "env", variables: { A: "1" } }], steps_unsupported: [] };
    expect(document.sandboxes).toEqual([
      {
        id: "review",
        image: {
          ...base,
          workdir: "/src",
          user: "node",
          steps: [
            { op: "env", variables: { A: "1" } },
            { op: "workdir", path: "/src" },
            { op: "user", user: "node" },
            {
              op: "run",
              argv: ["npm", "ci"],
              cache: [{ mount_path: "/root/.npm", cache: "npm" }],
              secrets: [],
              network: false,
            },
            { op: "copy", dest: "/src/package.json", source: { kind: "file", path: "package.json" } },
            { op: "copy", dest: "/all", image: bare },
            { op: "copy_from", dest: "/bin/x", image: bare, path: "/usr/bin/x" },
          ],
          steps_unsupported: ["run", "copy", "copy_from"],
        },
        workspace_path: "/work",
        resources: { cpu_millis: 500, memory_bytes: 2 ** 29, disk_bytes: 10 * 2 ** 30, processes: 1024 },
        network: { internet: { allow: ["example.com"] } },
      },
      expect.objectContaining({ id: "spare", workspace_path: "/workspace", network: { internet: true } }),
    ]);
    expect(document.streams).toEqual([
      expect.objectContaining({
        name: "messages",
        direction: "input",
        file: "lib/streams.ts",
        tasks: ["nightly", "review"],
      }),
      expect.objectContaining({ name: "out", direction: "output", schema: null, export: null }),
    ]);
    const paths = (document.bundle as { files: { path: string }[] }).files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(["helmr-bundle.json", "runtime.mjs", "tasks/plain.mjs", "tasks/review.mjs"]),
    );
    expect(JSON.parse(await readFile(join(made.out, "helmr-bundle.json"), "utf8"))).toMatchObject({
      format: 1,
      worker_protocol: 1,
      sdk: "0.1.0",
      esbuild: "0.28.2",
      entries: { review: { module: "tasks/review.mjs", export: "review" } },
    });
  });

  test("the same sources give the same bytes, wherever the project and the bundle lie", async () => {
    const files = { "tasks/a.ts": `${SDK} export const a = task({ id: "a", payload: z.string(), ${RUN} });` };
    await using one = await project(files);
    await using two = await project(files);
    const first = await runBundler(one.path, one.out);
    const second = await runBundler(two.path, join(two.out, "deep/er"));
    expect(first.code).toBe(0);
    expect(second.document).toEqual(first.document);
  });

  test("bundling again replaces the bundle, and nothing else", async () => {
    await using made = await project({ "tasks/a.ts": `${SDK} export const a = task({ id: "a", ${RUN} });` });
    await runBundler(made.path, made.out);
    await writeFile(join(made.path, "tasks/b.ts"), `${SDK} export const b = task({ id: "b", ${RUN} });`);
    expect((await runBundler(made.path, made.out)).code).toBe(0);
    expect(await readdir(join(made.out, "tasks"))).toEqual(["a.mjs", "a.mjs.map", "b.mjs", "b.mjs.map"]);
    const { document } = await runBundler(made.path, made.path);
    expect(document.errors).toMatchObject([{ code: "out_not_empty" }]);
  });

  test("a task that a barrel re-exports is one task, and a stream declared twice alike is one stream", async () => {
    const { document, code } = await bundled({
      "tasks/a.ts": `${SDK} export const s = streams.input("s"); export const a = task({ id: "a", ${RUN} });`,
      "tasks/b.ts": `${SDK} streams.input("s"); export const b = task({ id: "b", ${RUN} });`,
      "tasks/index.ts": `export * from "./a.ts"; export * from "./b.ts";`,
    });
    expect(code, JSON.stringify(document)).toBe(0);
    expect(document.tasks).toMatchObject([
      { id: "a", file: "tasks/a.ts" },
      { id: "b", file: "tasks/b.ts" },
    ]);
    expect(document.streams).toMatchObject([{ name: "s", tasks: ["a", "b"] }]);
  });

  test("one task's streams are not another's, although they share modules", async () => {
    const { document } = await bundled({
      "lib/shared.ts": `${SDK} export const shared = streams.output("shared");`,
      "tasks/a.ts": `${SDK} import "../lib/shared.ts"; streams.input("only-a", { schema: z.string() }); export const a = task({ id: "a", ${RUN} });`,
      "tasks/b.ts": `${SDK} import "../lib/shared.ts"; streams.input("only-b", { schema: z.number() }); export const b = task({ id: "b", ${RUN} });`,
    });
    expect(document.tasks).toMatchObject([
      { id: "a", streams: ["only-a", "shared"] },
      { id: "b", streams: ["only-b", "shared"] },
    ]);
  });

  test("ignored files, dot folders and declarations are no modules, and two dirs may hold the same name", async () => {
    const { document, code } = await bundled({
      "helmr.config.ts": `import { defineConfig } from "@helmr/sdk";
export default defineConfig({ project: "main", dirs: ["tasks", "more"], ignorePatterns: ["tasks/drafts", "*.skip.ts", "**/{x,y}?.ts"] });`,
      "tasks/a.ts": `${SDK} export const a = task({ id: "a", ${RUN} });`,
      "more/a.ts": `${SDK} export const b = task({ id: "b", ${RUN} });`,
      "tasks/drafts/broken.ts": "(",
      "tasks/deep/b.skip.ts": "(",
      "tasks/x1.ts": "(",
      "tasks/.hidden/c.ts": "(",
      "tasks/types.d.ts": "declare const x: number;",
    });
    expect(code, JSON.stringify(document)).toBe(0);
    expect(document.tasks).toMatchObject([
      { module: "tasks/tasks/a.ts.mjs" },
      { module: "tasks/more/a.ts.mjs" },
    ]);
  });

  test("what modules print does not disturb the answer", async () => {
    const { document, stderr } = await bundled({
      "tasks/a.ts": `${SDK} console.log("hello from a"); process.stdout.write("{"); export const a = task({ id: "a", ${RUN} });`,
    });
    expect(document.tasks).toHaveLength(1);
    expect(stderr).toContain("hello from a");
  });
});

describe("what modules may use", () => {
  test("CommonJS packages, and names that the bundle uses itself", async () => {
    await using made = await project({
      "node_modules/old/index.js": `const fs = require("fs"); module.exports = { folder: typeof __dirname, reads: typeof fs.readFileSync };`,
      "node_modules/old/package.json": `{"name":"old","version":"1.0.0"}`,
      "tasks/a.ts": `${SDK}
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import old from "old";
const require = createRequire(import.meta.url);
const __filename = fileURLToPath(import.meta.url);
const __dirname = dirname(__filename);
export const a = task({ id: "a", run: async () => ({ ...old, required: typeof require("node:os").cpus, folder2: typeof __dirname }) });`,
    });
    const { code, document } = await runBundler(made.path, made.out);
    expect(code, JSON.stringify(document)).toBe(0);
    await using host = TaskHost.start({ bundle: made.out, module: "tasks/a.mjs", export: "a" });
    const output = { folder: "string", reads: "function", required: "function", folder2: "string" };
    expect(await host.ending()).toEqual({ type: "finished", output });
  });

  test("a copy of this package that the project installed itself", async () => {
    await using made = await project({
      "tasks/a.ts": `import { streams, task } from "@helmr/sdk";
const out = streams.output("out");
export const a = task({ id: "a", run: async () => (await out.append(1)).sequence });`,
    });
    const installed = join(made.path, "node_modules/@helmr/sdk");
    await mkdir(installed, { recursive: true });
    await cp(join(PACKAGE, "dist"), join(installed, "dist"), { recursive: true });
    await cp(join(PACKAGE, "package.json"), join(installed, "package.json"));
    const { code, document } = await runBundler(made.path, made.out);
    expect(code, JSON.stringify(document)).toBe(0);
    expect(document.tasks).toMatchObject([{ streams: ["out"] }]);
    await using host = TaskHost.start({ bundle: made.out, module: "tasks/a.mjs", export: "a" });
    host.answer(await host.call("stream.append"), { id: "rec_1", sequence: 7, data: 1 });
    expect(await host.ending()).toEqual({ type: "finished", output: 7 });
  });

  test("this very package, linked into the project", async () => {
    const files = {
      "tasks/a.ts": `import { task } from "@helmr/sdk"; export const a = task({ id: "a", ${RUN} });`,
    };
    await using plain = await project(files);
    await using linked = await project(files);
    await mkdir(join(linked.path, "node_modules/@helmr"));
    await symlink(PACKAGE, join(linked.path, "node_modules/@helmr/sdk"));
    const one = await runBundler(plain.path, plain.out);
    expect((await runBundler(linked.path, linked.out)).document).toEqual(one.document);
  });

  test("the product's own samples", async () => {
    await using out = await scratch();
    const { code, document } = await runBundler(join(EXAMPLES, "product-docs"), join(out.path, "out"));
    expect(code, JSON.stringify(document)).toBe(0);
    expect(document.tasks).toMatchObject([{ id: "release" }, { id: "review-pr", sandbox_id: "review" }]);
  });
});

describe("faults", () => {
  const a = (rest: string) => ({ "tasks/a.ts": `${SDK}${rest}` });
  const sandboxOf = (rest: string) => a(`export const t = task({ id: "t", sandbox: ${rest}, ${RUN} });`);

  test.each<[string, Record<string, string>, Record<string, unknown>[]]>([
    ["no configuration", { "helmr.config.ts": "" }, [{ file: "helmr.config.ts", code: "config_missing" }]],
    [
      "a configuration that is none",
      { "helmr.config.ts": "export default 7" },
      [{ code: "config_invalid", export: "default" }],
    ],
    [
      "a configuration with wrong settings",
      { "helmr.config.ts": `export default { project: "Main!", dirs: [], color: "red" }` },
      [
        { message: /"Main!" is not a project name/ },
        { message: /dirs must/ },
        { message: /"color" is not a setting/ },
      ],
    ],
    [
      "folders that are missing or outside",
      { "helmr.config.ts": `export default { project: "main", dirs: ["tasks", "../up"] }` },
      [{ code: "dir_missing" }, { code: "dir_outside_project" }],
    ],
    ["nothing to deploy", a("export const x = 1;"), [{ file: "helmr.config.ts", code: "no_tasks" }]],
    [
      "a syntax error",
      a("export const x = ;"),
      [{ file: "tasks/a.ts", line: 2, column: 18, code: "syntax_error" }],
    ],
    [
      "an import that is not there",
      a(`import "./gone.ts"; import { nothing } from "@helmr/sdk"; export { nothing };`),
      [{ file: "tasks/a.ts", line: 2, code: "import_unresolved" }],
    ],
    [
      "an export that is not there",
      a(`import { gone } from "@helmr/sdk"; export const x = gone;`),
      [{ code: "import_missing", line: 2 }],
    ],
    [
      "a file of a strange type",
      { ...a(`import "./x.bin"; export {};`), "tasks/x.bin": "x" },
      [{ code: "file_type_unsupported" }],
    ],
    [
      "an import that throws",
      a(`\nfunction fail() { throw new Error("no luck"); }\nfail();`),
      [{ file: "tasks/a.ts", line: 3, code: "import_failed", message: /no luck/ }],
    ],
    [
      "an in-task call at module level",
      a(`import { tokens } from "@helmr/sdk"; await tokens.create();`),
      [{ code: "import_failed", message: /tokens\.create\(\) works only inside a task's run function/ }],
    ],
    [
      "an import that exits",
      a("process.exit(0);"),
      [{ file: "tasks/a.ts", code: "import_failed", message: /exit code 0/ }],
    ],
    [
      "a task without run",
      a(`export const t = task({ id: "t" } as never);`),
      [{ code: "import_failed", line: 2, message: /needs a run function/ }],
    ],
    [
      "a bad id",
      a(`export const t = task({ id: "-t", ${RUN} });`),
      [{ file: "tasks/a.ts", export: "t", line: 2, code: "task_id_invalid" }],
    ],
    [
      "an id used twice in two files",
      {
        ...a(`export const one = task({ id: "t", ${RUN} });`),
        "tasks/b.ts": `${SDK} export const two = task({ id: "t", ${RUN} });`,
      },
      [
        {
          file: "tasks/b.ts",
          export: "two",
          code: "task_id_duplicate",
          message: /export "one" of tasks\/a\.ts:2 and by export "two" of tasks\/b\.ts:2/,
        },
      ],
    ],
    [
      "an id used twice by a factory",
      a(
        `const make = () => task({ id: "t", ${RUN} });\nexport const one = make();\nexport const two = make();`,
      ),
      [{ export: "two", code: "task_id_duplicate" }],
    ],
    [
      "a task that is not exported",
      a(`task({ id: "t", ${RUN} });`),
      [{ file: "tasks/a.ts", line: 2, code: "task_not_exported" }],
    ],
    [
      "a sandbox without an image",
      sandboxOf(`sandbox("s")`),
      [{ export: "t", code: "sandbox_without_image" }],
    ],
    [
      "an image without a base",
      sandboxOf(`sandbox("s").image(image("i"))`),
      [{ code: "image_without_base" }],
    ],
    [
      "a sandbox with a bad id",
      sandboxOf(`sandbox("s/1").image(image("i").from("x"))`),
      [{ code: "sandbox_id_invalid" }],
    ],
    [
      "a bad workspace path",
      sandboxOf(`sandbox("s").image(image("i").from("x")).workspace("/")`),
      [{ code: "workspace_path_invalid" }],
    ],
    [
      "resources that are none",
      sandboxOf(
        `sandbox("s").image(image("i").from("x")).resources({ cpu: 0, memory: "lots", processes: 1.5 })`,
      ),
      [
        { code: "resources_invalid" },
        { code: "resources_invalid" },
        { message: /memory must be bytes or a string/ },
      ],
    ],
    [
      "a network that is none",
      sandboxOf(`sandbox("s").image(image("i").from("x")).network({} as never)`),
      [{ code: "network_invalid" }],
    ],
    [
      "sources outside of the project, or missing",
      sandboxOf(
        `sandbox("s").image(image("i").from("x").copy("/a", source.file("../a")).copy("/b", source.file("b")))`,
      ),
      [{ code: "source_outside_project" }, { code: "source_missing" }],
    ],
    ["something else for a sandbox", sandboxOf(`{} as never`), [{ code: "sandbox_invalid" }]],
    [
      "two sandboxes with one id",
      {
        ...a(`export const one = sandbox("s").image(image("i").from("x"));`),
        "tasks/b.ts": `${SDK}\nexport const two = sandbox("s").image(image("i").from("y"));`,
      },
      [
        {
          file: "tasks/b.ts",
          export: "two",
          code: "sandbox_id_conflict",
          message: /export "one" of tasks\/a\.ts:2 and export "two" of tasks\/b\.ts:3/,
        },
      ],
    ],
    [
      "a payload schema without JSON Schema",
      a(`const schema = { "~standard": { version: 1, vendor: "mine", validate: (value: unknown) => ({ value }) } } as const;
export const t = task({ id: "t", payload: schema, ${RUN} });`),
      [
        {
          file: "tasks/a.ts",
          export: "t",
          line: 3,
          code: "schema_without_json_schema",
          message: /the payload \(mine\)/,
        },
      ],
    ],
    [
      "a stream schema that JSON Schema cannot say",
      a(
        `export const s = streams.input("s", { schema: z.date() });\nexport const t = task({ id: "t", ${RUN} });`,
      ),
      [
        {
          file: "tasks/a.ts",
          export: "s",
          line: 2,
          code: "schema_without_json_schema",
          message: /stream "s"/,
        },
      ],
    ],
    [
      "one stream with two schemas",
      a(
        `streams.input("s", { schema: z.string() });\nstreams.input("s");\nexport const t = task({ id: "t", ${RUN} });`,
      ),
      [{ line: 3, code: "stream_conflict", message: /tasks\/a\.ts:2 and tasks\/a\.ts:3/ }],
    ],
    [
      "a bad stream name",
      a(`streams.input("no spaces");`),
      [{ code: "import_failed", message: /"no spaces" is not a stream name/ }],
    ],
    [
      "secrets placed nowhere, somewhere unknown, or at one place",
      a(`export const t = task({ id: "t", secrets: [
  { name: "A", where: "x" }, { name: "B", env: "B", file: "/b" }, { name: "C", env: "1C" }, { name: "D", file: "d" },
  { name: "E", file: "/e", mode: 0o1777 }, { name: "F", env: "SAME" }, { name: "G", env: "SAME" }, { name: "-", env: "H" },
] as never, ${RUN} });`),
      [
        {
          export: "t",
          code: "secret_placement_unknown",
          message: /"A" must be placed by one of env, file or dir, not by where/,
        },
        { code: "secret_placement_unknown", message: /not by env, file/ },
        { code: "secret_placement_invalid", message: /must be a variable name/ },
        { code: "secret_placement_invalid", message: /must be an absolute path/ },
        { code: "secret_placement_invalid", message: /mode of secret "E"/ },
        { code: "secret_placement_conflict" },
        { code: "secret_invalid" },
      ],
    ],
    [
      "numbers out of range",
      a(
        `export const t = task({ id: "t", maxDuration: 1, ttl: "soon", queue: queue("q", { concurrencyLimit: 0 }), retry: { maxAttempts: 11 }, ${RUN} });`,
      ),
      [
        { code: "max_duration_invalid" },
        { code: "queue_invalid" },
        { code: "duration_invalid" },
        { code: "retry_invalid" },
      ],
    ],
    [
      "a schedule without cron",
      a(`export const t = schedules.task({ id: "t", cron: "", ${RUN} });`),
      [{ code: "schedule_invalid" }],
    ],
  ])("%s", async (_what, files, expected) => {
    const { code, document } = await bundled(files);
    const errors = document.errors as Record<string, unknown>[];
    expect(errors, JSON.stringify(document)).toHaveLength(expected.length);
    for (const [at, fault] of expected.entries()) {
      const { message, ...rest } = fault;
      expect(errors[at]).toMatchObject(rest);
      if (message !== undefined) expect(errors[at]?.message).toMatch(message as RegExp);
    }
    expect(code).toBe(1);
  });

  test("the faults of several modules come together", async () => {
    const { document } = await bundled({
      "tasks/a.ts": `${SDK} export const t = task({ id: "-a", ${RUN} });`,
      "tasks/b.ts": `${SDK} export const t = task({ id: "-b", maxDuration: 0, ${RUN} });`,
    });
    expect(document.errors).toMatchObject([
      { file: "tasks/a.ts" },
      { file: "tasks/b.ts" },
      { file: "tasks/b.ts" },
    ]);
  });

  test("an import that hangs is given up, with what it started", async () => {
    await using made = await project({
      "tasks/a.ts": `import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
writeFileSync(${JSON.stringify("./pid")}, String(child.pid));
setInterval(() => {}, 1000);
await new Promise(() => undefined);`,
    });
    const { code, document } = await runBundler(made.path, made.out, "--timeout-ms", "2000");
    expect(document.errors).toMatchObject([
      { file: "tasks/a.ts", code: "import_timeout", message: expect.stringMatching("2000 ms") },
    ]);
    expect(code).toBe(1);
    const pid = Number(await readFile(join(made.path, "pid"), "utf8"));
    await expect.poll(() => alive(pid), { timeout: 5_000 }).toBe(false);
  });

  test("a wrong call of the command is exit 2", async () => {
    const { execFile } = await import("node:child_process");
    const code = await new Promise((resolve) => {
      execFile(process.execPath, [join(PACKAGE, "dist/bundler/main.js"), "--nonsense"]).on("exit", resolve);
    });
    expect(code).toBe(2);
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return true;
}
