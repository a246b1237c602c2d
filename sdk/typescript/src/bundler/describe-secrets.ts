//! Describes secret placements for the index.
import type { SecretPlacement } from "../authoring/secret.ts";
import type { JsonObject } from "../internal/json.ts";
import { nameFault } from "../internal/names.ts";
import type { Complain } from "./complain.ts";

const PLACEMENTS = ["env", "file", "dir"] as const;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Describes secret placements: each names a secret and exactly one place. */
export function describeSecrets(secrets: readonly SecretPlacement[], complain: Complain): JsonObject[] {
  const taken = new Set<string>();
  return secrets.map((secret) => {
    const wild = secret as unknown as Readonly<Record<string, unknown>>;
    const bad = nameFault("secret", wild.name);
    if (bad !== undefined) complain("secret_invalid", bad);
    const name = String(wild.name);
    const used = PLACEMENTS.filter((placement) => wild[placement] !== undefined);
    const [placement] = used;
    const unknown = Object.keys(wild).filter((key) => !["name", "mode", ...PLACEMENTS].includes(key));
    if (placement === undefined || used.length > 1 || unknown.length > 0) {
      const got = [...used, ...unknown].join(", ") || "nothing";
      complain(
        "secret_placement_unknown",
        `secret "${name}" must be placed by one of env, file or dir, not by ${got}`,
      );
      return { name };
    }
    const target = wild[placement];
    const fits =
      typeof target === "string" && (placement === "env" ? VARIABLE.test(target) : target.startsWith("/"));
    if (!fits) {
      const rule = placement === "env" ? "a variable name" : "an absolute path";
      complain(
        "secret_placement_invalid",
        `the ${placement} of secret "${name}" must be ${rule}, not ${JSON.stringify(target)}`,
      );
    }
    if (taken.has(`${placement}:${String(target)}`)) {
      complain(
        "secret_placement_conflict",
        `two secrets are placed at ${placement} ${JSON.stringify(target)}`,
      );
    }
    taken.add(`${placement}:${String(target)}`);
    return { name, [placement]: String(target), ...modeOf(wild.mode, placement, name, complain) };
  });
}

function modeOf(mode: unknown, placement: string, name: string, complain: Complain): { mode?: number } {
  if (mode === undefined) return {};
  if (
    placement !== "env" &&
    typeof mode === "number" &&
    Number.isInteger(mode) &&
    mode >= 0 &&
    mode <= 0o777
  ) {
    return { mode };
  }
  complain("secret_placement_invalid", `the mode of secret "${name}" must be file permissions such as 0o400`);
  return {};
}
