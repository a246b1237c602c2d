//! The versions this package was built with.

/** This package's version; a test keeps it equal to `package.json`. */
export const SDK_VERSION = "0.1.0";

/** The version of the public API that this package speaks: a date. */
export const API_VERSION = "2026-06-15";
