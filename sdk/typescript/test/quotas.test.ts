//! `client.quotas`: what the environment may hold.
import { describe, expect, test } from "vitest";
import { HelmrError } from "../src/index.ts";
import { json, serve } from "./fake-server.ts";

const QUOTAS = {
  workspaces: { limit: 5, used: 2 },
  version_bytes: { limit: null, used: 10 },
  machines: { limit: 0, used: 1 },
};

describe("quotas", () => {
  test("get gives limits and use in camelCase", async () => {
    await using server = await serve(json({ quotas: QUOTAS }));
    expect(await server.client.quotas.get()).toEqual({
      workspaces: { limit: 5, used: 2 },
      versionBytes: { limit: null, used: 10 },
      machines: { limit: 0, used: 1 },
    });
    expect(server.seen[0]).toMatchObject({ method: "GET", path: "/api/v1/quotas" });
  });

  test("update sends what is named, null included", async () => {
    await using server = await serve(json({ quotas: QUOTAS }));
    await server.client.quotas.update({ workspaces: 5, versionBytes: null });
    expect(server.seen[0]).toMatchObject({ method: "PATCH", path: "/api/v1/quotas" });
    expect(server.seen[0]?.body).toEqual({ workspaces: 5, version_bytes: null });
  });

  test("a refusal says which quota it is, its limit and its use", async () => {
    const details = { quota: "workspaces", limit: 5, used: 5 };
    await using server = await serve(
      json({ error: { code: "quota_exceeded", message: "no", details, request_id: "r" } }, 409),
    );
    const refused = await server.client.workspaces.create().catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(HelmrError);
    expect(refused).toMatchObject({ status: 409, code: "quota_exceeded", details });
  });
});
