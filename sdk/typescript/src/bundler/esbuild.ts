//! The one place that knows esbuild: sources in, deterministic ES modules out.
import { readFile, realpath } from "node:fs/promises";
import { dirname, join, posix } from "node:path";

import { type BuildFailure, build, type Message, type OnResolveArgs, type Plugin, version } from "esbuild";
import { type Fault, ProjectError } from "./fault.ts";
import { writeOutput } from "./output.ts";

/** The version of esbuild, which bundles record. */
export const esbuildVersion: string = version;

/** This package's folder; its `dist` stands in when a project has not installed the package. */
export const SDK_ROOT: string = join(import.meta.dirname, "..", "..");

/** What to bundle. */
export interface BundleInput {
  readonly project: string;
  /** Output name without extension, by the source it comes from. */
  readonly entries: readonly { readonly in: string; readonly out: string }[];
  readonly outdir: string;
}

// Packages in CommonJS call `require` for Node's own modules. esbuild keeps the name free for it.
const BANNER =
  'import { createRequire as helmrCreateRequire } from "node:module";' +
  "const require = helmrCreateRequire(import.meta.url);";

/**
 * Bundles the entries with what they import. The same sources give the same bytes wherever the project lies.
 *
 * @throws ProjectError with the place of everything esbuild refuses.
 */
export async function bundle(input: BundleInput): Promise<void> {
  try {
    const built = await build({
      absWorkingDir: input.project,
      entryPoints: input.entries.map((entry) => ({ ...entry })),
      // Paths in the output are relative to this folder, so it lies at the same place in every project. Nothing is
      // written there.
      outdir: join(input.project, VIRTUAL_OUT),
      write: false,
      outExtension: { ".js": ".mjs" },
      chunkNames: "chunks/[name]-[hash]",
      assetNames: "assets/[name]-[hash]",
      bundle: true,
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node22",
      sourcemap: "linked",
      sourcesContent: false,
      legalComments: "none",
      charset: "utf8",
      banner: { js: BANNER },
      define: { __dirname: "import.meta.dirname", __filename: "import.meta.filename" },
      logLevel: "silent",
      plugins: [sdk()],
    });
    await writeOutput(built.outputFiles, {
      project: input.project,
      from: join(input.project, VIRTUAL_OUT),
      to: input.outdir,
    });
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    throw new ProjectError(error.errors.map(fault));
  }
}

const VIRTUAL_OUT = ".helmr-bundle";
const NAMESPACE = "helmr-sdk";
const ASKED = Symbol("asked");

/**
 * Resolves `@helmr/sdk` to the project's copy, or to this package when the project has none.
 *
 * This package's files get a namespace of their own, because the place of this package would otherwise show in
 * the output.
 */
function sdk(): Plugin {
  return {
    name: NAMESPACE,
    setup(build) {
      build.onResolve({ filter: /^@helmr\/sdk(\/runtime)?$/ }, async (args: OnResolveArgs) => {
        if (args.pluginData === ASKED) return undefined;
        const { path, ...rest } = args;
        const found = await build.resolve(path, {
          importer: rest.importer,
          kind: rest.kind,
          resolveDir: rest.resolveDir,
          pluginData: ASKED,
        });
        if (found.errors.length === 0 && !(await isOwn(found.path))) return found;
        const file = path.endsWith("/runtime") ? "runtime/main.js" : "index.js";
        return { path: file, namespace: NAMESPACE, sideEffects: false };
      });
      build.onResolve({ filter: /^\./, namespace: NAMESPACE }, (args) => ({
        path: posix.join(posix.dirname(args.importer), args.path),
        namespace: NAMESPACE,
        sideEffects: false,
      }));
      build.onLoad({ filter: /.*/, namespace: NAMESPACE }, async (args) => {
        const file = join(SDK_ROOT, "dist", args.path);
        return { contents: await readFile(file), loader: "js", resolveDir: dirname(file) };
      });
    },
  };
}

async function isOwn(path: string): Promise<boolean> {
  return (await realpath(path)).startsWith(`${await realpath(SDK_ROOT)}/`);
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

function fault(message: Message): Fault {
  const at = message.location;
  return {
    file: at?.file ?? ".",
    ...(at !== null && { line: at.line, column: at.column + 1 }),
    code: code(message),
    message: message.text,
  };
}

function code(message: Message): string {
  if (message.text.startsWith("Could not resolve")) return "import_unresolved";
  if (message.text.startsWith("No matching export")) return "import_missing";
  if (message.text.startsWith("No loader is configured")) return "file_type_unsupported";
  return message.location === null ? "bundle_failed" : "syntax_error";
}
