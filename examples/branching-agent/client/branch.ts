//! Has one agent study a problem, branches it into three, has each go about it in its own way, and keeps the best:
//! `node client/branch.ts`. Prints a line for each branch and one for what was kept.
import { HelmrClient } from "@helmr/sdk";
import { STRATEGIES, type Strategy } from "../puzzle/packing.ts";
import { findings, orders, packTapes } from "../tasks/pack.ts";

const client = new HelmrClient();
const { session, run } = await client.sessions.start(packTapes);

// It has studied the problem once it says so.
for await (const _ready of client.sessions.open(session.id).output(findings).follow()) break;

interface Branch {
  readonly session: string;
  readonly run: string;
  readonly workspace: string;
}

/** A second agent that knows what the first one knows. */
async function branch(): Promise<Branch> {
  const { workspace, fork } = await client.workspaces.fork(session.workspaceId, { live: true });
  const [copy] = fork.sessions;
  if (copy?.runId === undefined || copy.runId === null) throw new Error("the agent was not branched");
  return { session: copy.sessionId, run: copy.runId, workspace: workspace.id };
}

/** Has an agent go about it in one way. */
async function pursue(agent: Branch, strategy: Strategy) {
  await client.sessions.open(agent.session).input(orders).send({ strategy });
  const ended = await client.runs.wait(agent.run);
  const output = ended.output as { tapes: number; began: number };
  console.log(JSON.stringify({ strategy, status: ended.status, ...output, session: agent.session }));
  return { agent, strategy, tapes: output.tapes };
}

const original = { session: session.id, run: run.id, workspace: session.workspaceId };
const agents = [original, await branch(), await branch()];
const results = await Promise.all(STRATEGIES.map((strategy, at) => pursue(agents[at] ?? original, strategy)));

const best = results.reduce((best, next) => (next.tapes < best.tapes ? next : best));
for (const { agent } of results) {
  if (agent.workspace !== best.agent.workspace) await client.workspaces.delete(agent.workspace);
}
console.log(JSON.stringify({ kept: best.strategy, tapes: best.tapes, workspace: best.agent.workspace }));
