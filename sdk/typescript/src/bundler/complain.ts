//! How a definition's faults are gathered while it is read.

/** Takes a fault without its place, which the caller knows. */
export type Complain = (code: string, message: string) => void;
