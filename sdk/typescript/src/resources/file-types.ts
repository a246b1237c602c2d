//! The files of a workspace, as the client tells of them.
import type { RequestOptions } from "../internal/http.ts";
import type { PageOptions } from "../pagination.ts";

/** One file, directory or link. */
export interface WorkspaceFile {
  /**
   * From the root of the workspace, which itself is empty. A byte of a name that is not UTF-8 is written `\xNN`, and such
   * paths are taken too.
   */
  readonly path: string;
  /** `other` is a socket or a device. */
  readonly kind: "file" | "directory" | "symlink" | "fifo" | "other";
  readonly sizeBytes: number;
  /** In octal, such as `0644`. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedAt: string;
  /** What a link says. */
  readonly target: string | null;
  /** Another after each write: see `ifMatch`. */
  readonly revision: string;
}

/** A line in which something was found. */
export interface FileMatch {
  readonly path: string;
  /** From 1. */
  readonly line: number;
  /** Of the first byte found, from 1. */
  readonly column: number;
  /** The line, or 512 bytes of it. */
  readonly text: string;
}

/** What an archive brought. */
export interface UploadedFiles {
  readonly files: number;
  readonly sizeBytes: number;
  /** Devices and FIFOs, which an upload does not make. */
  readonly leftOut: number;
}

/** Of which version; as the files are now when absent. */
export interface OfVersion {
  readonly version?: string | undefined;
}

export interface ListFilesOptions extends PageOptions, OfVersion, RequestOptions {}

export interface StatFileOptions extends OfVersion, RequestOptions {
  /** What a link leads to instead of the link. */
  readonly follow?: boolean | undefined;
}

export interface ReadFileOptions extends OfVersion, RequestOptions {
  /** Offset of the first byte; the beginning when absent. */
  readonly start?: number | undefined;
  /** Offset behind the last byte; the file's end when absent. */
  readonly end?: number | undefined;
}

/** What must be so before a file is changed. */
export interface FileCondition {
  /** What is there has this revision. */
  readonly ifMatch?: string | undefined;
  /** Nothing is there. */
  readonly ifAbsent?: boolean | undefined;
}

export interface WriteFileOptions extends FileCondition, RequestOptions {
  /** In octal, such as `0755`; that of the file it replaces, or `0644`, when absent. */
  readonly mode?: string | undefined;
  /** Makes the directories that are missing on the way. */
  readonly parents?: boolean | undefined;
}

export interface AppendFileOptions extends FileCondition, RequestOptions {
  /** The size that the file must have before. */
  readonly offset?: number | undefined;
  readonly parents?: boolean | undefined;
}

export interface MakeDirectoryOptions extends RequestOptions {
  /** In octal; `0755` when absent. */
  readonly mode?: string | undefined;
  /** Makes those on the way too, and takes one that exists for made. */
  readonly parents?: boolean | undefined;
}

export interface MoveFileOptions extends RequestOptions {
  /** Replaces what is there. */
  readonly overwrite?: boolean | undefined;
}

export interface RemoveFileOptions extends RequestOptions {
  /** A directory with everything in it. */
  readonly recursive?: boolean | undefined;
  readonly ifMatch?: string | undefined;
}

export interface GlobFilesOptions extends ListFilesOptions {
  /** Where the pattern begins; the workspace's root when absent. */
  readonly path?: string | undefined;
}

export interface SearchFilesOptions extends GlobFilesOptions {
  /** The query is a regular expression. */
  readonly regex?: boolean | undefined;
  readonly ignoreCase?: boolean | undefined;
  /** Only in files whose paths match. */
  readonly glob?: string | undefined;
}

/** Bytes to send: whole, or as they come. */
export type Bytes = string | Uint8Array | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;
