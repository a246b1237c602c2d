//! The fixture tasks, bundled once for a test file, and runs of them.
import { afterAll, beforeAll, expect } from "vitest";
import { FIXTURES, runBundler, scratch } from "./bundles.ts";
import { type RunSetup, TaskHost } from "./task-host.ts";

/** Bundles the fixtures before the tests of the file that calls it. */
export function bundledFixtures() {
  let bundle: Awaited<ReturnType<typeof scratch>>;
  beforeAll(async () => {
    bundle = await scratch();
    const { document, code } = await runBundler(`${FIXTURES}/runtime`, bundle.path);
    expect(code, JSON.stringify(document)).toBe(0);
  });
  afterAll(() => bundle[Symbol.asyncDispose]());
  return {
    get path(): string {
      return bundle.path;
    },
    start(module: "endings" | "imports" | "waits", name: string, more: Partial<RunSetup> = {}): TaskHost {
      return TaskHost.start({ bundle: bundle.path, module: `tasks/${module}.mjs`, export: name, ...more });
    },
  };
}

/** Runs a task that asks nothing and gives its last line and exit code. */
export async function finish(host: TaskHost): Promise<[Record<string, unknown>, number | null]> {
  const ending = await host.ending();
  host.channel.end();
  return [ending, (await host.exit()).code];
}
