// A run that answers each line on its channel with how many there were, and holds on to what a checkpoint must keep.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fstatSync, openSync, writeSync } from "node:fs";
import { connect, createServer, Socket } from "node:net";
import { createInterface } from "node:readline";

const secret = randomBytes(16).toString("hex");
const file = openSync("/workspace/open.txt", "w+");
const echo = spawn("cat", { stdio: ["pipe", "pipe", "ignore"] });
const server = createServer((socket) => socket.on("data", (data) => socket.write(`echo:${data}`)));
await new Promise((done) => server.listen(3000, "127.0.0.1", done));
const client = connect(3000, "127.0.0.1");
await new Promise((done) => client.once("connect", done));
const ballast = randomBytes(Number(process.env.BALLAST_MIB ?? 1) << 20);

const once = (emitter) => new Promise((done) => emitter.once("data", (data) => done(String(data))));
const ask = async (writer, reader, text) => {
  const answer = once(reader);
  writer.write(text);
  return answer;
};

const channel = new Socket({ fd: 3 });
const say = (value) => channel.write(`${JSON.stringify(value)}\n`);
let count = 0;
for await (const line of createInterface({ input: channel })) {
  if (line.includes("exit")) break;
  count += 1;
  if (line === "deep") {
    writeSync(file, "line\n");
    say({
      secret,
      child: { pid: echo.pid, said: await ask(echo.stdin, echo.stdout, `child ${count}`) },
      loopback: await ask(client, client, `tcp ${count}`),
      file: fstatSync(file).size,
      ballast: ballast.length,
    });
  } else {
    say({ count, line });
  }
  console.log(`line ${count}`);
}
process.exit(0);
