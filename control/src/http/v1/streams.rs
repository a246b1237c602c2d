//! `/sessions/{id}/streams`, `/inputs/{stream}` and `/outputs/{stream}`.

pub(crate) mod read;
pub(crate) mod send;
pub(crate) mod view;
