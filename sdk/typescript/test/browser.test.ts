//! The client in a page: it bundles for browsers, without anything of Node.
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";

test("the package bundles for a browser as it is", async () => {
  const { outputFiles, metafile, warnings } = await build({
    stdin: {
      contents: 'export { HelmrClient } from "./index.js";',
      resolveDir: join(import.meta.dirname, "../dist"),
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    minify: true,
    write: false,
    metafile: true,
  });
  expect(warnings).toEqual([]);
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  expect(imports.filter(({ external }) => external === true)).toEqual([]);
  // What a task calls while it runs is of no use in a page, and stays out.
  expect(Object.keys(metafile.inputs).filter((path) => /runtime|bundler/.test(path))).toEqual([]);
  expect(outputFiles[0]?.text.length).toBeLessThan(40_000);
});
