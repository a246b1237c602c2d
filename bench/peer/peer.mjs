// What the peer does in the benchmark: `node peer.mjs PORT`. Lines on stdout: `ready`, `waiting ID`, `next MICROSECONDS`.
import * as restate from "@restatedev/restate-sdk";

const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

const bench = restate.service({
  name: "bench",
  handlers: {
    // A durable call that does nothing.
    accept: async (_context, input) => input,
    steps: async (context) => {
      const ten = async () => {
        const begun = now();
        for (let step = 0; step < 10; step += 1) await context.run("step", () => step);
        return now() - begun;
      };
      const elapsedUs = await ten();
      await ten();
      await ten();
      return { elapsedUs, warmUs: await ten() };
    },
    // Waits for somebody outside.
    awaken: async (context) => {
      const { id, promise } = context.awakeable();
      process.stdout.write(`waiting ${id}\n`);
      await promise;
      process.stdout.write(`next ${now()}\n`);
    },
  },
});

await restate.serve({ services: [bench], port: Number(process.argv[2]) });
process.stdout.write("ready\n");
