//! The documentation's `release` task. The helpers must be in place before it runs, so they come first.
import "../helpers/release.ts";

export { release } from "../samples/release.ts";
