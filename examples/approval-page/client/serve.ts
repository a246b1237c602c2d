//! Serves the page, starts the task, prints the link for whoever approves, and waits for the answer.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { HelmrClient } from "@helmr/sdk";
import { build } from "esbuild";
import { askOnPage, requests } from "../tasks/ask.ts";

const page = join(import.meta.dirname, "../page");
const bundle = await build({
  entryPoints: [join(page, "page.ts")],
  bundle: true,
  format: "esm",
  platform: "browser",
  write: false,
});
const files: Record<string, [type: string, body: string | Uint8Array]> = {
  "/": ["text/html", await readFile(join(page, "index.html"))],
  "/page.js": ["text/javascript", bundle.outputFiles[0]?.text ?? ""],
};
const server = createServer((request, response) => {
  const [type, body] = files[request.url ?? ""] ?? ["text/plain", "not found"];
  response
    .writeHead(type === "text/plain" ? 404 : 200, { "content-type": `${type}; charset=utf-8` })
    .end(body);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const api = process.env.HELMR_API_URL ?? "";
const client = new HelmrClient();
const { session, run } = await client.sessions.start(askOnPage);
for await (const { data } of client.sessions.open(session.id).output(requests).follow()) {
  const { title, tokenId } = data as { title: string; tokenId: string };
  // Good for one answer to this question, from this page, within the hour.
  const { secret } = await client.auth.publicTokens.create({
    capability: { kind: "token", tokenId },
    allowedOrigins: [origin],
    expiresIn: "1h",
    maxUses: 1,
  });
  const link = new URLSearchParams({ api, title, token: tokenId, key: secret ?? "" });
  console.log(JSON.stringify({ link: `${origin}/#${link}`, tokenId }));
  break;
}
const ended = await client.runs.wait(run.id);
console.log(JSON.stringify({ status: ended.status, output: ended.output }));
server.close();
server.closeAllConnections();
