//! A server on loopback that answers the client the way Helmr does.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { HelmrClient } from "../src/index.ts";

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: Record<string, string>;
  readonly headers: IncomingMessage["headers"];
  /** Undefined where it is no JSON. */
  readonly body: unknown;
  readonly text: string;
}

export type Answer = (seen: Seen, response: ServerResponse) => unknown;

/** A server that gives the answers in turn, the last one forever, and keeps what it was asked. */
export async function serve(...answers: Answer[]) {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const now = {
      method: request.method ?? "",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: (request.headers["content-type"] ?? "").startsWith("application/json")
        ? JSON.parse(text)
        : undefined,
      text,
    };
    seen.push(now);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    await answer?.(now, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    seen,
    client: new HelmrClient({ url, apiKey: "hlmr_sk_x" }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function json(body: unknown, status = 200): Answer {
  return (_seen, response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
}

export function refuse(status: number, code: string): Answer {
  const error = { code, message: `it is ${code}`, details: { user_key: 1 }, request_id: "req_1" };
  return json({ error }, status);
}

export const END = "event: end\ndata: {}\n\n";

/** A stream of events: it stays open, says that this was all, is closed without a word, or is cut off. */
export function events(chunks: string[], ends: "open" | "end" | "close" | "cut" = "open"): Answer {
  return (_seen, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const chunk of chunks) response.write(chunk);
    if (ends === "end") response.write(END);
    if (ends === "end" || ends === "close") response.end();
    // Only once the client has the bytes: a reset would take them along.
    if (ends === "cut") setImmediate(() => response.socket?.end());
  };
}

export function event(cursor: number, kind: string): string {
  const data = {
    cursor: String(cursor),
    at: "t",
    kind,
    run_id: "run_1",
    session_id: null,
    attributes: { wait_id: "w" },
  };
  return `id: ${cursor}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

export const RUN = {
  id: "run_1",
  session_id: "ses_1",
  status: "running",
  output: null,
  metadata: { user_key: 1 },
  pending_wait: null,
};
export const DONE = { ...RUN, status: "succeeded", output: { user_output: [{ inner_key: 1 }] } };
export const SESSION = {
  id: "ses_1",
  external_id: "x",
  status: "open",
  current_run_id: "run_1",
  metadata: { a_b: 1 },
};
export const RECORD = {
  id: "rec_1",
  sequence: 1,
  data: { some_text: "hi" },
  correlation_id: "c",
  content_type: "application/json",
  created_at: "t",
};
export const TOKEN = { id: "tok_1", status: "pending", timeout_at: "t", metadata: { a_b: 1 }, run_id: null };
