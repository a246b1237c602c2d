//! The bridge between the task and an approval service: it hands the callback URL over and waits for the run.
//!
//! The service here is a stand-in that behaves as real ones do: it looks at the URL first, then posts a form to it, twice.
//! `node client/bridge.ts form`, or `json`, or `empty` for what it posts.
import { HelmrClient } from "@helmr/sdk";
import { approveRelease, requests } from "../tasks/approve.ts";

const client = new HelmrClient();
const kind = process.argv[2] ?? "form";

/** An approval service. */
async function service(callbackUrl: string): Promise<void> {
  const look = await fetch(callbackUrl);
  console.log(JSON.stringify({ looked: look.status, body: await look.text() }));
  for (let delivery = 1; delivery <= 2; delivery += 1) {
    const answered = await fetch(callbackUrl, { method: "POST", ...body(kind) });
    console.log(JSON.stringify({ delivery, status: answered.status, answer: await answered.json() }));
  }
}

function body(kind: string): RequestInit {
  switch (kind) {
    case "form":
      return { body: new URLSearchParams({ approved: "yes", reviewer: "ana" }) };
    case "json":
      return {
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ approved: true, reviewer: "ana" }),
      };
    default:
      return {};
  }
}

const { session, run } = await client.sessions.start(approveRelease);
for await (const { data } of client.sessions.open(session.id).output(requests).follow()) {
  const { callbackUrl } = data as { callbackUrl: string };
  await service(callbackUrl);
  break;
}
const ended = await client.runs.wait(run.id);
console.log(JSON.stringify({ status: ended.status, output: ended.output }));
