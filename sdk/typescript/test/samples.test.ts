//! The code of the product's documentation compiles as it stands, against the built package.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { EXAMPLES } from "./bundles.ts";

test("every example compiles", async () => {
  const compiler = join(import.meta.dirname, "../node_modules/typescript/bin/tsc");
  const checked = promisify(execFile)(process.execPath, [
    compiler,
    "-p",
    join(EXAMPLES, "tsconfig.check.json"),
  ]);
  expect(await checked.catch((error: { stdout: string }) => error)).toMatchObject({ stdout: "" });
});
