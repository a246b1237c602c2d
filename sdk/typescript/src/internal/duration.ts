//! Durations and sizes as people write them: `"1h30m"`, `"4Gi"`.

/** A duration: milliseconds as a number, or a string such as `"500ms"`, `"30s"`, `"10m"`, `"1h30m"`, `"7d"`. */
export type Duration = number | string;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const WHOLE = /^(?:\d+(?:ms|[smhd]))+$/;
const PART = /(\d+)(ms|[smhd])/g;

/**
 * Milliseconds in a duration.
 *
 * @throws RangeError when it is not a duration, negative, or too large to count.
 */
export function durationMs(duration: Duration, what = "a duration"): number {
  const ms = typeof duration === "number" ? duration : parse(duration);
  if (ms === undefined || !Number.isSafeInteger(ms) || ms < 0) {
    throw new RangeError(
      `${what} must be whole milliseconds or a string like "30s", "10m", "1h30m" or "7d", not ${JSON.stringify(duration)}`,
    );
  }
  return ms;
}

function parse(text: string): number | undefined {
  if (typeof text !== "string" || !WHOLE.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(PART)) {
    total += Number(count) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
  }
  return total;
}

/** A size: bytes as a number, or a string such as `"512Mi"`, `"4Gi"`, `"1Ti"`, `"500M"`. */
export type Size = number | string;

const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/**
 * Bytes in a size.
 *
 * @throws RangeError when it is not a size.
 */
export function sizeBytes(size: Size, what = "a size"): number {
  const match = typeof size === "number" ? undefined : /^(\d+(?:\.\d+)?)([KMGT]i?)?$/.exec(size);
  const bytes =
    typeof size === "number"
      ? size
      : Math.round(Number(match?.[1]) * (UNIT_BYTES[match?.[2] ?? ""] ?? Number.NaN));
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new RangeError(
      `${what} must be bytes or a string like "512Mi" or "4Gi", not ${JSON.stringify(size)}`,
    );
  }
  return bytes;
}
