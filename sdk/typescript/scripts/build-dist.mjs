//! Builds in a folder of its own and puts that in the place of `dist` in one step, so that nobody who reads it meets half
//! of a build, two builds at once do not mix, and a renamed source file leaves nothing behind.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = `${root}/dist`;
const built = mkdtempSync(`${root}/node_modules/.helmr-sdk-dist-`);
const replaced = `${built}-replaced`;
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

try {
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", built], {
    cwd: root,
    stdio: "inherit",
  });
  chmodSync(built, 0o755);
  publish();
} catch (error) {
  // The compiler has said what is wrong.
  process.exitCode = error.status ?? 1;
  if (error.status === undefined) throw error;
} finally {
  rmSync(built, { recursive: true, force: true });
}

/** Another build may put its own there between the two steps; the last one stays. */
function publish() {
  for (;;) {
    rename(dist, replaced, ["ENOENT"]);
    const done = rename(built, dist, ["ENOTEMPTY", "EEXIST"]);
    rmSync(replaced, { recursive: true, force: true });
    if (done) return;
  }
}

function rename(from, to, expected) {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (!expected.includes(error.code)) throw error;
    return false;
  }
}
