//! Opens an approval page in Chromium and answers: `browser.ts CHROMIUM LINK BUTTON COMMENT`.
//!
//! Prints what the page says then, and the requests that the browser made of the API for it: they go through a relay that
//! passes everything on and writes it down, because a page's own tools show no preflights.
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [executablePath = "", link = "", button = "", comment = ""] = process.argv.slice(2);
const DEADLINE_MS = 30_000;
/** What a browser does for itself goes to hosts that a test has no business with. */
const QUIET = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
];

const asked: Record<string, unknown>[] = [];
const [page = "", fragment = ""] = link.split("#");
const details = new URLSearchParams(fragment);
const api = new URL(details.get("api") ?? "");
const relay = createServer((incoming, response) => {
  const { method, url, headers } = incoming;
  const onward = request({ host: api.hostname, port: api.port, method, path: url, headers }, (answer) => {
    asked.push({
      method,
      path: url,
      origin: headers.origin,
      status: answer.statusCode,
      allowedOrigin: answer.headers["access-control-allow-origin"],
      allowsCredentials: "access-control-allow-credentials" in answer.headers,
    });
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", (error) => response.destroy(error));
  incoming.pipe(onward);
});
await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
details.set("api", `http://127.0.0.1:${(relay.address() as AddressInfo).port}`);

const profile = await mkdtemp(join(tmpdir(), "helmr-e2e-chromium-"));
try {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args: QUIET,
    // Its own sandbox needs another user than root.
    chromiumSandbox: process.getuid?.() !== 0,
    timeout: DEADLINE_MS,
  });
  try {
    const tab = context.pages()[0] ?? (await context.newPage());
    tab.setDefaultTimeout(DEADLINE_MS);
    const problems: string[] = [];
    tab.on("pageerror", (error) => problems.push(error.message));
    await tab.goto(`${page}#${details}`);
    const title = await tab.getByRole("heading").textContent();
    await tab.getByLabel("Comment").fill(comment);
    await tab.getByRole("button", { name: button }).click();
    const status = tab.getByRole("status").filter({ hasText: /Thank you|before|Refused|Error/ });
    await status.waitFor();
    const origin = new URL(tab.url()).origin;
    console.log(JSON.stringify({ origin, title, status: await status.textContent(), asked, problems }));
  } finally {
    await context.close();
  }
} finally {
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  relay.close();
  relay.closeAllConnections();
}
