//! Says what its arguments are, one message after the other, and prints the conversation as it grows:
//! `node client/talk.ts "My name is Ada" "Who am I?"`. Each line is one record of the session's transcript.
import { HelmrClient } from "@helmr/sdk";
import { chat, messages } from "../tasks/chat.ts";

const client = new HelmrClient();
const { session, run } = await client.sessions.start(chat);
const conversation = client.sessions.open(session.id);

let lastRun = run.id;
const transcript = conversation.transcript().follow();
const unsaid = process.argv.slice(2);

/** Says the next thing once the agent is silent; at the end it closes the session, which ends the transcript. */
async function sayNext(): Promise<void> {
  await client.runs.wait(lastRun);
  const text = unsaid.shift();
  if (text === undefined) {
    await client.sessions.close(session.id);
    return;
  }
  // The run has ended: this starts the next one.
  const sent = await conversation.input(messages).send({ text });
  lastRun = sent.startedRunId ?? lastRun;
}

let saying = sayNext();
for await (const { position, direction, stream, data } of transcript) {
  console.log(JSON.stringify({ position, direction, stream, data }));
  if (direction === "output") saying = saying.then(sayNext);
}
await saying;
const runs = [];
for await (const { reason, status } of client.runs.list({ sessionId: session.id }))
  runs.unshift({ reason, status });
console.log(JSON.stringify({ runs }));
