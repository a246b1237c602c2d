//! What the binary carries: the guest agent, the SDK's package and the kit with which projects are bundled.
//!
//! A binary of a plain `cargo build` carries none of them; `cargo xtask build` makes one that does.

/// The static guest agent.
#[cfg(embedded_guest)]
pub(crate) const GUEST: Option<&[u8]> = Some(include_bytes!(env!("HELMR_GUEST_PATH")));
#[cfg(not(embedded_guest))]
pub(crate) const GUEST: Option<&[u8]> = None;

/// The SDK as npm packs it.
#[cfg(embedded_sdk)]
pub(crate) const SDK_PACKAGE: Option<&[u8]> = Some(include_bytes!(env!("HELMR_SDK_PATH")));
#[cfg(not(embedded_sdk))]
pub(crate) const SDK_PACKAGE: Option<&[u8]> = None;

/// A `node_modules` with the SDK and everything that its bundler loads, as a tar compressed with zstd.
#[cfg(embedded_sdk_kit)]
pub(crate) const SDK_KIT: Option<&[u8]> = Some(include_bytes!(env!("HELMR_SDK_KIT_PATH")));
#[cfg(not(embedded_sdk_kit))]
pub(crate) const SDK_KIT: Option<&[u8]> = None;
