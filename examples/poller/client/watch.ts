//! Starts the poller and prints what happens until its run has ended: `node client/watch.ts`.
import { HelmrClient } from "@helmr/sdk";
import { pollBuild } from "../tasks/poll.ts";

const client = new HelmrClient();
const { run } = await client.sessions.start(pollBuild);
for await (const { kind, at } of client.runs.events(run.id).follow())
  console.log(JSON.stringify({ kind, at }));
const ended = await client.runs.get(run.id);
console.log(JSON.stringify({ status: ended.status, output: ended.output, metadata: ended.metadata }));
