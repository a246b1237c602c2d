//! The table of a run's transitions.
