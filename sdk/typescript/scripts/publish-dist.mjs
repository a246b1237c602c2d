//! Puts a finished build in the place of `dist` in one step, so that nobody who reads it meets half of one, and a
//! renamed source file leaves nothing behind.
import { renameSync, rmSync } from "node:fs";

const built = new URL("../node_modules/.helmr-sdk-dist", import.meta.url);
const replaced = new URL("../node_modules/.helmr-sdk-dist-replaced", import.meta.url);
const dist = new URL("../dist", import.meta.url);

rmSync(replaced, { recursive: true, force: true });
try {
  renameSync(dist, replaced);
} catch (error) {
  // The first build has nothing to replace.
  if (error.code !== "ENOENT") throw error;
}
renameSync(built, dist);
rmSync(replaced, { recursive: true, force: true });
