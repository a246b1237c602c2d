//! Opens an approval page in Chromium and answers: `browser.ts CHROMIUM LINK BUTTON COMMENT`.
//!
//! Prints what the page says then, and which requests the browser asked leave for first.
import { mkdtemp, rm } from "node:fs/promises";
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
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(DEADLINE_MS);
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    const preflights: { method: string; path: string }[] = [];
    const devtools = await context.newCDPSession(page);
    await devtools.send("Network.enable");
    devtools.on("Network.requestWillBeSent", ({ type, request }) => {
      if (type !== "Preflight") return;
      preflights.push({ method: request.method, path: new URL(request.url).pathname });
    });
    await page.goto(link);
    const title = await page.getByRole("heading").textContent();
    await page.getByLabel("Comment").fill(comment);
    await page.getByRole("button", { name: button }).click();
    const status = page.getByRole("status").filter({ hasText: /Thank you|before|Refused|Error/ });
    await status.waitFor();
    const origin = new URL(page.url()).origin;
    console.log(JSON.stringify({ origin, title, status: await status.textContent(), preflights, problems }));
  } finally {
    await context.close();
  }
} finally {
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
