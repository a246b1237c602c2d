//! Work on single files of a workspace: in a directory that somebody hostile may be changing meanwhile, or in a captured
//! tree.
//!
//! Knows nothing of machines and of who may do what. Paths lead from the root and are resolved here: links are followed
//! only as far as they stay beneath it. Nothing but regular files and directories is ever opened, and bytes go through
//! fixed buffers.

mod error;
mod info;
mod live;
mod path;
mod resolve;
mod tree;

mod glob;
mod search;

mod pack;
mod unpack;

mod stored;

mod edit;

pub use edit::{Edit, Edited, Kept};
pub use error::Error;
pub use glob::{Glob, glob};
pub use info::{Info, Kind, is_revision};
pub use live::{Append, Condition, InTurn, Live, Put, Staged, Unpacking};
pub use pack::pack;
pub use path::Path;
pub use search::{Match, Matches, Meant, Search, search};
pub use stored::{Outline, Stored};
pub use tree::{Content, Flow, Found, Opened, Page, Span, Tree, list, open, read, stat};
pub use unpack::{Dress, Unpack, Unpacked, unpack};
