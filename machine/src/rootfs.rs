//! Root filesystems: an image in any of the usual forms made one uncompressed EROFS file, and a directory taken out of
//! such a file.
//!
//! What is read: an OCI image layout (image-spec 1.1) as a directory or tar, what `docker save` writes, a root
//! directory, and a tar of one; gzip and zstd as layers and around a tar. The rules that are kept:
//! - image-spec 1.1, *image layout*: `oci-layout`, `index.json`, `blobs/sha256/…`; every blob's size and digest are
//!   checked, and of layers the digest of the unpacked text (`rootfs.diff_ids`) too.
//! - *image index*: the manifest for this host's platform is taken, attestations (`unknown/unknown`) are not images.
//! - *layer changesets*: layers apply in order; `.wh.NAME` hides NAME, `.wh..wh..opq` everything that lower layers put
//!   into its directory, and neither hides what its own layer holds, wherever in the layer it stands.
//! - *config*: `Env`, `WorkingDir`, `User`, `Entrypoint` and `Cmd` are handed on.
//!
//! Archives are hostile. Names that are absolute or hold `..` are refused; every path is resolved inside the new root
//! by the kernel (`openat2`, `RESOLVE_IN_ROOT`), so that a link leads nowhere else; entries, bytes and headers are
//! counted against [`Limits`]. Device nodes are left out: a machine has its own `/dev`. Owners can only be given by root
//! or in a user namespace, so that is where this must run.
//!
//! Times are dropped (`-T0`), so the same files give the same EROFS file, byte by byte.
//!
//! Everything here blocks and takes seconds to minutes: call it from a blocking thread.

mod error;

mod archive;
mod digest;
mod source;

mod docker;
mod oci;

mod layer;
mod name;
mod root;

mod erofs;
mod extract;
mod mkfs;

mod import;

pub use error::Error;
pub use extract::{Extracted, extract_subtree};
pub use import::{Format, ImageConfig, Imported, Limits, import};
