//! Writes what was bundled, with source maps in which neither the project's place nor the bundle's shows.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { SOURCE_PREFIX } from "../internal/source-prefix.ts";

/** A file that was bundled. */
export interface Built {
  readonly path: string;
  readonly contents: Uint8Array;
}

/** Where files were bundled for, and where they go. */
export interface Places {
  readonly project: string;
  readonly from: string;
  readonly to: string;
}

interface SourceMap {
  readonly sources: readonly string[];
}

/** Writes the files. A map of installed packages only is left out: nobody can act on it, and each start reads it. */
export async function writeOutput(files: readonly Built[], { project, from, to }: Places): Promise<void> {
  const maps = new Map<string, SourceMap>();
  for (const { path, contents } of files) {
    if (!path.endsWith(".map")) continue;
    const map = named(JSON.parse(text(contents)) as SourceMap, dirname(path), project);
    if (map.sources.some(isOfProject)) maps.set(path, map);
  }
  for (const { path, contents } of files) {
    const target = join(to, relative(from, path));
    await mkdir(dirname(target), { recursive: true });
    const map = maps.get(path);
    if (map !== undefined) await writeFile(target, JSON.stringify(map));
    else if (!path.endsWith(".map"))
      await writeFile(target, maps.has(`${path}.map`) ? contents : unlinked(contents));
  }
}

/** Names the sources of a map by their path in the project. */
function named(map: SourceMap, from: string, project: string): SourceMap {
  const sources = map.sources.map((source) => {
    // A namespace of the bundler, not a path.
    if (/^[a-z-]+:/.test(source)) return source;
    const path = relative(project, resolve(from, source)).split(sep).join("/");
    const installed = path.lastIndexOf("node_modules/");
    return SOURCE_PREFIX + encodeURI(installed === -1 ? path : path.slice(installed));
  });
  return { ...map, sources };
}

function isOfProject(source: string): boolean {
  return source.startsWith(SOURCE_PREFIX) && !source.startsWith(`${SOURCE_PREFIX}node_modules/`);
}

function unlinked(contents: Uint8Array): string {
  return text(contents).replace(/\n\/\/# sourceMappingURL=[^\n]*\n?$/, "\n");
}

function text(contents: Uint8Array): string {
  return Buffer.from(contents).toString("utf8");
}
