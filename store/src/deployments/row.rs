//! Rows of deployments.
