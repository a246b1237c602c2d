//! `node dist/bundler/main.js --project DIR --out DIR`: bundles a project for a deploy.
//!
//! Prints one JSON document on stdout: the index (exit 0) or `{"errors": [...]}` (exit 1). Exit 2 is a wrong call.
import { parseArgs } from "node:util";
import { bundleProject } from "./bundle.ts";
import { type Fault, ProjectError } from "./fault.ts";

const USAGE = "usage: main.js --project DIR --out DIR [--timeout-ms MS]\n";

function options(): { project: string; out: string; timeoutMs?: number } | undefined {
  try {
    const { values } = parseArgs({
      options: { project: { type: "string" }, out: { type: "string" }, "timeout-ms": { type: "string" } },
    });
    const timeoutMs = Number(values["timeout-ms"] ?? 30_000);
    if (values.project === undefined || values.out === undefined || !(timeoutMs > 0)) return undefined;
    return { project: values.project, out: values.out, timeoutMs };
  } catch {
    return undefined;
  }
}

function faultsOf(error: unknown): readonly Fault[] {
  if (error instanceof ProjectError) return error.faults;
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return [{ file: ".", code: "internal", message }];
}

const asked = options();
if (Number(process.versions.node.split(".")[0]) < 22) {
  const message = `bundling needs Node 22 or newer, and this is ${process.version} (${process.execPath})`;
  process.stdout.write(`${JSON.stringify({ errors: [{ file: ".", code: "node_too_old", message }] })}\n`);
  process.exitCode = 1;
} else if (asked === undefined) {
  process.stderr.write(USAGE);
  process.exitCode = 2;
} else {
  try {
    process.stdout.write(`${JSON.stringify(await bundleProject(asked))}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ errors: faultsOf(error) })}\n`);
    process.exitCode = 1;
  }
}
