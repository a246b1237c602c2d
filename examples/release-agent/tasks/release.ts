//! A scripted coding agent: it repairs a package in a real git repository, asks a person, and commits.
//!
//! Between asking and the answer its machine may be parked, moved and woken. What it holds only in memory, and
//! the child process it talks with, must be the same afterwards; its output says whether they are.
import { streams, task, tokens } from "@helmr/sdk";
import { Ledger } from "../agent/ledger.ts";
import { Notes } from "../agent/notes.ts";
import { commitAll, ensureRepository, repair, runSuite, type Suite } from "../agent/repository.ts";

const events = streams.output("agent.events");

/** What a person decides. */
interface Decision {
  readonly approved: boolean;
  readonly reviewer?: string;
}

export const releaseAgent = task({
  id: "release-agent",
  maxDuration: 600,
  run: async (_payload, ctx) => {
    const say = (type: string, message: string, detail: Record<string, string | number | boolean> = {}) =>
      events.append({ type, message, ...detail });

    const notes = new Notes();
    await using ledger = await Ledger.open(ctx.signal);
    await say("agent.started", "Looking for work.", { ledgerPid: ledger.pid, notesDigest: notes.digest() });

    const directory = await ensureRepository(ctx.workspace.path, ctx.signal);
    notes.keep("directory", directory);
    await say("repository.ready", `Working in ${directory}.`);

    const before = await runSuite(directory, ctx.signal);
    await ledger.add(before.failed);
    notes.keep("failure", before.firstFailure);
    await say("tests.failed", before.firstFailure, suiteDetail(before));
    if (before.failed === 0) return { approved: false, reason: "the tests pass already", directory };

    const fix = await repair(directory, before);
    notes.keep("fix", fix.summary);
    await say("fix.applied", fix.summary, { file: fix.file });

    const after = await runSuite(directory, ctx.signal);
    await ledger.add(after.passed);
    await say(
      after.failed === 0 ? "tests.passed" : "tests.failed",
      `${after.passed} passed`,
      suiteDetail(after),
    );
    if (after.failed > 0) throw new Error(`the fix did not help: ${after.firstFailure}`);

    const memory = notes.digest();
    const count = await ledger.count();
    const token = await tokens.create({
      timeout: "1h",
      tags: ["approval", "release"],
      metadata: { fix: fix.summary },
    });
    await say("approval.requested", `Waiting for approval of: ${fix.summary}`, {
      tokenId: token.id,
      ledgerPid: ledger.pid,
    });

    const answer = await token.wait();
    if (!answer.ok) {
      await say("approval.missing", answer.error.message, { code: answer.error.code });
      return { approved: false, reason: answer.error.code, directory };
    }

    const decision = decisionOf(answer.data);
    const held = {
      memoryIntact: notes.digest() === memory,
      childPid: ledger.pid,
      childIntact: (await ledger.answeringPid()) === ledger.pid && (await ledger.count()) === count,
      ledgerCount: await ledger.add(1),
    };
    await say("agent.resumed", `${decision.reviewer ?? "somebody"} answered.`, held);
    if (!decision.approved)
      return { approved: false, reviewer: decision.reviewer ?? null, directory, ...held };

    const commit = await commitAll(directory, `fix: ${fix.summary}`, ctx.signal);
    await say("release.committed", commit, { notes: notes.size });
    return {
      approved: true,
      reviewer: decision.reviewer ?? null,
      commit,
      directory,
      fix: fix.summary,
      ...held,
    };
  },
});

function suiteDetail(suite: Suite): { passed: number; failed: number } {
  return { passed: suite.passed, failed: suite.failed };
}

/** Reads the decision; what is not clearly an approval is none. */
function decisionOf(data: unknown): Decision {
  if (typeof data !== "object" || data === null) return { approved: false };
  const { approved, reviewer } = data as { approved?: unknown; reviewer?: unknown };
  return { approved: approved === true, ...(typeof reviewer === "string" && { reviewer }) };
}
