//! The documentation's `review-pr` task.
export { reviewPr } from "../samples/review-pr.ts";
