//! How source maps of bundles name a project's files.

/** Stands before the path of a source in its project, so that neither the project's place nor the bundle's shows. */
export const SOURCE_PREFIX = "project:///";
