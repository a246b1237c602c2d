//! Describes sandboxes and images for the index.
import { statSync } from "node:fs";
import type { Image, ImageStep } from "../authoring/image.ts";
import type { Sandbox } from "../authoring/sandbox.ts";
import type { Source } from "../authoring/source.ts";
import { type Size, sizeBytes } from "../internal/duration.ts";
import type { JsonObject, JsonValue } from "../internal/json.ts";
import { nameFault } from "../internal/names.ts";
import type { Complain } from "./complain.ts";
import { describeSecrets } from "./describe-secrets.ts";

/** A sandbox as the index has it. */
export interface SandboxEntry {
  readonly id: string;
  readonly image: JsonObject | null;
  readonly workspace_path: string;
  readonly resources: JsonObject;
  readonly network: JsonObject;
}

/** The steps that change files and therefore need a build; the others only set the image's configuration. */
const BUILD_STEPS: readonly ImageStep["op"][] = ["run", "copy", "copyFrom"];

/** Describes a sandbox. */
export function describeSandbox(sandbox: Sandbox, complain: Complain): SandboxEntry {
  if ((sandbox as { kind?: unknown } | null)?.kind !== "sandbox") {
    complain("sandbox_invalid", "sandbox must be made with sandbox()");
    return { id: "", image: null, workspace_path: "/workspace", resources: {}, network: {} };
  }
  const { parts } = sandbox;
  const bad = nameFault("sandbox", sandbox.id);
  if (bad !== undefined) complain("sandbox_id_invalid", bad);
  if (parts.image === undefined) {
    complain("sandbox_without_image", `sandbox "${sandbox.id}" has no image; add .image(...)`);
  }
  const path = parts.workspacePath;
  if (typeof path !== "string" || !/^\/[^/]/.test(path) || path.split("/").includes("..")) {
    complain(
      "workspace_path_invalid",
      `the workspace path of sandbox "${sandbox.id}" must be absolute and not /`,
    );
  }
  return {
    id: String(sandbox.id),
    image: parts.image === undefined ? null : describeImage(parts.image, complain),
    workspace_path: String(path),
    resources: resources(sandbox, complain),
    network: network(sandbox, complain),
  };
}

function resources(sandbox: Sandbox, complain: Complain): JsonObject {
  const { cpu = 1, memory = "1Gi", disk = "10Gi", processes = 1024 } = sandbox.parts.resources;
  const fault = (message: string) => complain("resources_invalid", `sandbox "${sandbox.id}": ${message}`);
  const bytes = (size: Size, what: string): number => {
    try {
      return sizeBytes(size, what);
    } catch (error) {
      fault(error instanceof Error ? error.message : String(error));
      return 0;
    }
  };
  if (typeof cpu !== "number" || !(cpu > 0) || cpu > 1024)
    fault(`cpu must be a number above 0, not ${JSON.stringify(cpu)}`);
  if (!Number.isInteger(processes) || processes < 1) fault("processes must be a whole number from 1");
  return {
    cpu_millis: Math.round(cpu * 1000),
    memory_bytes: bytes(memory, "memory"),
    disk_bytes: bytes(disk, "disk"),
    processes,
  };
}

function network(sandbox: Sandbox, complain: Complain): JsonObject {
  const { internet } = sandbox.parts.network;
  if (typeof internet === "boolean") return { internet };
  const lists = [internet?.allow, internet?.deny].filter((list) => list !== undefined);
  if (lists.length === 0 || lists.some((list) => !list.every((rule) => typeof rule === "string"))) {
    complain(
      "network_invalid",
      `sandbox "${sandbox.id}": internet must be true, false or {allow, deny} with lists of rules`,
    );
    return { internet: false };
  }
  return {
    internet: {
      ...(internet.allow !== undefined && { allow: [...internet.allow] }),
      ...(internet.deny !== undefined && { deny: [...internet.deny] }),
    },
  };
}

/** Describes an image: its steps in order, and the configuration they add up to. */
function describeImage(image: Image, complain: Complain): JsonObject {
  if ((image as { kind?: unknown } | null)?.kind !== "image") {
    complain("image_invalid", "an image must be made with image()");
    return {};
  }
  const bad = nameFault("image", image.id);
  if (bad !== undefined) complain("image_id_invalid", bad);
  if (typeof image.base !== "string" || image.base === "") {
    complain("image_without_base", `image "${image.id}" has no base; add .from("node:24-bookworm-slim")`);
  }
  let workdir: string | null = null;
  let user: string | null = null;
  const env: Record<string, string> = {};
  for (const step of image.steps) {
    if (step.op === "workdir") workdir = step.path;
    else if (step.op === "user") user = step.user;
    else if (step.op === "env") Object.assign(env, step.variables);
  }
  const unsupported = new Set(image.steps.map((step) => step.op).filter((op) => BUILD_STEPS.includes(op)));
  return {
    id: String(image.id),
    from: String(image.base),
    workdir,
    env,
    user,
    steps: image.steps.map((step) => describeStep(step, complain)),
    steps_unsupported: [...unsupported].map(wireOp),
  };
}

function wireOp(op: ImageStep["op"]): string {
  return op === "copyFrom" ? "copy_from" : op;
}

function describeStep(step: ImageStep, complain: Complain): JsonObject {
  switch (step.op) {
    case "run":
      if (step.argv.length === 0) complain("image_step_invalid", "a run step needs a command");
      return {
        op: "run",
        argv: [...step.argv],
        cache: (step.options.cache ?? []).map(({ mountPath, cache }) => ({
          mount_path: mountPath,
          cache: cache.id,
        })),
        secrets: describeSecrets(step.options.secrets ?? [], complain),
        network: step.options.network ?? true,
      };
    case "copy":
      return { op: "copy", dest: step.dest, ...copied(step.from, complain) };
    case "copyFrom":
      return {
        op: "copy_from",
        dest: step.dest,
        image: describeImage(step.image, complain),
        path: step.path,
      };
    case "workdir":
      return { op: "workdir", path: step.path };
    case "env":
      return { op: "env", variables: { ...step.variables } };
    case "user":
      return { op: "user", user: step.user };
  }
}

function copied(from: Source | Image, complain: Complain): { [key: string]: JsonValue } {
  if (from.kind === "image") return { image: describeImage(from, complain) };
  const { path } = from;
  if (path.startsWith("/") || path.split("/").includes("..")) {
    complain("source_outside_project", `source "${path}" must be a path inside of the project`);
  } else if (!isThere(from)) {
    complain("source_missing", `source "${path}" is not a ${from.kind} of the project`);
  }
  return { source: { kind: from.kind, path } };
}

/** Modules are loaded with the project as working directory. */
function isThere({ kind, path }: Source): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return kind === "file" ? found?.isFile() === true : found?.isDirectory() === true;
}
