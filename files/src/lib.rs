//! Work on the files of a workspace, as the API words it: what a worker does in the directory of a machine, and the control
//! plane in a captured tree.
//!
//! Knows nothing of where a workspace's files are, of leases or of who may do what. Blocking work runs on threads of its
//! own; bytes pass through bounded channels, and whoever stops giving or taking them is given up after a while.

mod change;
mod head;
mod look;
mod pipe;
mod refusal;
mod view;

pub use change::{change, condition, path};
pub use head::{framed, unframed};
pub use look::{Reply, Works, look};
pub use pipe::{Broken, Feed, Incoming, Outgoing, incoming, outgoing};
pub use refusal::Refusal;
pub use view::{file, uploaded};
