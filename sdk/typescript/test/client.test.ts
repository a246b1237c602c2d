//! The client: where it goes, what it sends with each request, and what it makes of refusals.
import { afterEach, describe, expect, test, vi } from "vitest";
import { API_VERSION, HelmrClient, HelmrError, SDK_VERSION } from "../src/index.ts";
import { json, RUN, refuse, SESSION, serve } from "./fake-server.ts";

afterEach(() => vi.unstubAllEnvs());

describe("the client", () => {
  test.each([
    [{}, /set HELMR_API_URL/],
    [{ url: "https://h" }, /set HELMR_API_KEY/],
    [{ url: "http://example.com", apiKey: "k" }, /would send credentials in clear/],
    [{ url: "http://127.0.0.1.example.com", apiKey: "k" }, /would send credentials in clear/],
    [{ url: "ftp://localhost", apiKey: "k" }, /would send credentials in clear/],
    [{ url: "https://user:pw@h", apiKey: "k" }, /hold no credential/],
    [{ url: "https://h", apiKey: "k", accessToken: "t" }, /not both/],
  ])("%j is refused", (options, message) => {
    vi.stubEnv("HELMR_API_URL", undefined);
    vi.stubEnv("HELMR_API_KEY", undefined);
    expect(() => new HelmrClient(options)).toThrow(message);
  });

  test.each(["http://localhost:1", "http://127.9.9.9", "http://[::1]:4356", "https://example.com"])(
    "%s is accepted",
    (url) => {
      expect(new HelmrClient({ url, apiKey: "k" })).toBeInstanceOf(HelmrClient);
    },
  );

  test("the environment gives what is absent", async () => {
    await using server = await serve(json({ run: RUN }));
    vi.stubEnv("HELMR_API_URL", `${server.url}/behind/`);
    vi.stubEnv("HELMR_API_KEY", "hlmr_sk_env");
    await new HelmrClient().runs.get("run/1");
    expect(server.seen[0]).toMatchObject({
      path: "/behind/api/v1/runs/run%2F1",
      headers: {
        authorization: "Bearer hlmr_sk_env",
        "helmr-api-version": API_VERSION,
        "helmr-client": `sdk/${SDK_VERSION}`,
      },
    });
  });

  test("a key for the whole organization names project and environment on each request", async () => {
    await using server = await serve(json({ run: RUN }));
    const client = new HelmrClient({
      url: server.url,
      apiKey: "k",
      project: "main",
      environment: "production",
    });
    await client.runs.get("run_1");
    expect(server.seen[0]?.query).toEqual({ project_id: "main", environment_id: "production" });
  });

  test.each([
    [400, "invalid_body", "InvalidRequestError"],
    [401, "unauthenticated", "UnauthenticatedError"],
    [403, "permission_denied", "PermissionDeniedError"],
    [404, "run_not_found", "NotFoundError"],
    [409, "run_finished", "ConflictError"],
    [410, "token_expired", "GoneError"],
    [413, "body_too_large", "TooLargeError"],
    [422, "payload_invalid", "UnprocessableError"],
    [500, "internal", "ServerError"],
  ])("%i becomes an error of its class", async (status, code, name) => {
    await using server = await serve(refuse(status, code));
    const error = await server.client.runs.get("run_1").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HelmrError);
    expect(error).toMatchObject({
      name,
      status,
      code,
      message: `it is ${code}`,
      requestId: "req_1",
      details: { user_key: 1 },
    });
    expect(server.seen).toHaveLength(1);
  });

  test("what does not come from Helmr is an error too", async () => {
    await using server = await serve(
      (_seen, response) => response.writeHead(502, { "content-type": "text/html" }).end("<html>"),
      (_seen, response) => response.writeHead(200).end("<html>"),
    );
    await expect(server.client.runs.get("run_1")).rejects.toMatchObject({
      code: "invalid_response",
      name: "ConnectionError",
    });
    expect(server.seen).toHaveLength(2);
  });

  test("a redirect is not followed, so that the credential stays", async () => {
    await using server = await serve((_seen, response) =>
      response.writeHead(307, { location: "https://example.com" }).end(),
    );
    await expect(server.client.runs.get("run_1")).rejects.toMatchObject({ code: "connection_failed" });
  });

  test("an unavailable server is asked again, with the same idempotency key", async () => {
    const started = { session: SESSION, run: RUN, reused: false };
    await using server = await serve(
      refuse(503, "store_unavailable"),
      (_seen, response) => response.destroy(),
      json(started),
    );
    await server.client.sessions.start("release");
    const keys = server.seen.map((seen) => seen.headers["idempotency-key"]);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("a request ends with its signal, and by itself after its time", async () => {
    await using server = await serve(() => undefined);
    const stop = new AbortController();
    const asked = server.client.runs.get("run_1", { signal: stop.signal });
    stop.abort(new Error("changed my mind"));
    await expect(asked).rejects.toThrow("changed my mind");
    await expect(server.client.runs.get("run_1", { timeoutMs: 50 })).rejects.toMatchObject({
      code: "timeout",
    });
  });
});
