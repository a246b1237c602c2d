//! Randomness after a restore.
//!
//! Two machines restored from one checkpoint hold the same random state: without care they would draw the same
//! numbers, UUIDs and keys. So every draw this process makes through `Math.random`, `node:crypto` or Web Crypto
//! is mixed, once the first restore happened, with a keystream from bytes that the worker gives each restore.
//!
//! Limits: keys that OpenSSL makes inside (`generateKeyPair`, TLS), other threads and other processes of the
//! machine are not reached.
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

type Bytes = ArrayBufferView | ArrayBufferLike;
type Fill = (error: Error | null, bytes: Bytes) => void;

let seed: Buffer | undefined;
let keystream: crypto.Cipheriv | undefined;
let draw: (() => number) | undefined;

/**
 * Takes new randomness in, after a restore. What came before is kept in the mix, so that no single restore's
 * bytes decide alone.
 */
export function reseed(bytes: Uint8Array): void {
  seed = crypto
    .createHash("sha256")
    .update(seed ?? "helmr/reseed")
    .update(bytes)
    .digest();
  // AES-256-CTR over zeros is the keystream; the key is used for this alone.
  keystream = crypto.createCipheriv("aes-256-ctr", seed, Buffer.alloc(16));
  draw = generator(nextBytes(16));
}

function nextBytes(length: number): Buffer {
  if (keystream === undefined) throw new Error("no randomness was taken in");
  return keystream.update(Buffer.alloc(length));
}

/** sfc32: 128 bits of state, passes PractRand; `Math.random` promises no more than that. */
function generator(from: Buffer): () => number {
  let a = from.readInt32LE(0);
  let b = from.readInt32LE(4);
  let c = from.readInt32LE(8);
  let counter = from.readInt32LE(12);
  const next = () => {
    const out = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + out;
    c |= 0;
    return out >>> 0;
  };
  for (let warm = 0; warm < 16; warm++) next();
  // 53 bits, as many as a number between 0 and 1 holds.
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}

function viewOf(bytes: Bytes): Uint8Array {
  return ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
}

/** XORs the keystream in: the result is at least as random as either. */
function mix(bytes: Uint8Array): void {
  if (keystream === undefined) return;
  const stream = nextBytes(bytes.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] ?? 0) ^ (stream[at] ?? 0);
}

/** The part of a buffer that `randomFill(buffer, offset, size)` fills; both count in elements. */
function filled(bytes: Bytes, offset = 0, size?: number): Uint8Array {
  const unit =
    "BYTES_PER_ELEMENT" in bytes && typeof bytes.BYTES_PER_ELEMENT === "number" ? bytes.BYTES_PER_ELEMENT : 1;
  return viewOf(bytes).subarray(offset * unit, size === undefined ? undefined : (offset + size) * unit);
}

/** Replaces the sources of randomness. Called once, before any module of the task is loaded. */
export function installEntropy(): void {
  const native = {
    mathRandom: Math.random,
    randomBytes: crypto.randomBytes as (
      size: number,
      done?: (error: Error | null, bytes: Buffer) => void,
    ) => Buffer,
    randomFillSync: crypto.randomFillSync as (bytes: Bytes, offset?: number, size?: number) => Bytes,
    randomFill: crypto.randomFill as (bytes: Bytes, ...rest: unknown[]) => void,
    randomInt: crypto.randomInt as (...args: unknown[]) => number | undefined,
    randomUUID: crypto.randomUUID,
  };
  // The wrapper is in place from the start, because libraries keep the function they find when they load.
  Math.random = function random() {
    return draw === undefined ? native.mathRandom() : draw();
  };

  const randomFillSync = (bytes: Bytes, offset?: number, size?: number): Bytes => {
    native.randomFillSync(bytes, offset, size);
    mix(filled(bytes, offset, size));
    return bytes;
  };
  const randomBytes = (
    size: number,
    done?: (error: Error | null, bytes: Buffer) => void,
  ): Buffer | undefined => {
    if (done === undefined) {
      const bytes = native.randomBytes(size);
      mix(bytes);
      return bytes;
    }
    native.randomBytes(size, (error, bytes) => {
      if (error === null) mix(bytes);
      done(error, bytes);
    });
    return undefined;
  };
  const randomFill = (bytes: Bytes, ...rest: unknown[]): void => {
    const done = rest.pop() as Fill;
    const [offset, size] = rest as [number?, number?];
    native.randomFill(bytes, ...rest, (error: Error | null, out: Bytes) => {
      if (error === null) mix(filled(bytes, offset, size));
      done(error, out);
    });
  };
  const randomUUID = (options?: crypto.RandomUUIDOptions): crypto.UUID => {
    // Node keeps UUIDs in stock; a stock drawn before a checkpoint is the same in every restore.
    if (keystream === undefined) return native.randomUUID({ ...options, disableEntropyCache: true });
    return uuid(randomFillSync(Buffer.alloc(16)) as Buffer);
  };
  const randomInt = (...args: unknown[]): number | undefined => {
    const done =
      typeof args.at(-1) === "function" ? (args.pop() as (e: Error | null, n: number) => void) : undefined;
    // Node's own draw checks the arguments; after a restore its stock of numbers is not used.
    const plain = native.randomInt(...args) ?? 0;
    const [low, high] = args.length === 1 ? [0, Number(args[0])] : [Number(args[0]), Number(args[1])];
    const drawn = keystream === undefined ? plain : low + below(high - low, randomFillSync);
    if (done === undefined) return drawn;
    process.nextTick(done, null, drawn);
    return undefined;
  };

  Object.assign(crypto, { randomBytes, randomFill, randomFillSync, randomInt, randomUUID });
  installWebCrypto(randomUUID);
  syncBuiltinESMExports();
}

function installWebCrypto(randomUUID: () => crypto.UUID): void {
  const prototype = Object.getPrototypeOf(crypto.webcrypto) as crypto.webcrypto.Crypto;
  const native = prototype.getRandomValues;
  const getRandomValues = function (this: crypto.webcrypto.Crypto, array: Uint8Array): Uint8Array {
    native.call(this, array);
    mix(viewOf(array));
    return array;
  };
  // `crypto.getRandomValues` of node:crypto is a getter that looks here.
  Object.assign(prototype, { getRandomValues, randomUUID: () => randomUUID() });
}

function uuid(bytes: Buffer): crypto.UUID {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A whole number under `range` (at most 2^48), each equally likely: draws beyond the last whole range are thrown away. */
function below(range: number, fill: (bytes: Bytes) => Bytes): number {
  const space = 2 ** 48;
  const limit = space - (space % range);
  for (;;) {
    const drawn = (fill(Buffer.alloc(6)) as Buffer).readUIntBE(0, 6);
    if (drawn < limit) return drawn % range;
  }
}
