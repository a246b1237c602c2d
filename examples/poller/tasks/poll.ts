//! Polls a build until it is done, with pauses that grow. The run parks in each pause and uses nothing.
import { logger, metadata, task, timers } from "@helmr/sdk";
import { BuildService } from "../service/builds.ts";

/** Pauses between looks, in milliseconds: the first, how much longer each is than the one before, and the longest. */
const FIRST = 200;
const FACTOR = 2;
const LONGEST = 1_000;

export const pollBuild = task({
  id: "poll-build",
  run: async () => {
    await using builds = await BuildService.start({ doneAfter: 4 });
    const paused: number[] = [];
    for (let pause = FIRST; ; pause = Math.min(pause * FACTOR, LONGEST)) {
      const build = await builds.look("build-7");
      await metadata.set("build", build);
      logger.info("looked at the build", build);
      if (build.state !== "running") return { state: build.state, looks: build.looks, paused };
      await timers.waitFor(pause, { idleTimeout: 0 });
      paused.push(pause);
    }
  },
});
