//! Bytes on the socket: a little-endian `u32` length, then that many bytes of protobuf.

use bytes::{Buf, BufMut, BytesMut};
use prost::Message;

use crate::Frame;

/// The longest encoded frame. Checked before anything is allocated for it, since the length comes from a stranger.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

const PREFIX_BYTES: usize = 4;

/// Why bytes are not a frame. The connection they came on is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("frame of {bytes} bytes is over the limit of {MAX_FRAME_BYTES}")]
    TooLong { bytes: u64 },
    #[error("decode a frame of {bytes} bytes")]
    Malformed {
        bytes: usize,
        source: prost::DecodeError,
    },
}

/// Appends `frame` to `out`.
///
/// # Errors
/// `TooLong` if the frame is over [`MAX_FRAME_BYTES`]; `out` is then unchanged.
pub fn encode(frame: &Frame, out: &mut BytesMut) -> Result<(), Error> {
    let length = checked_length(frame)?;
    out.reserve(PREFIX_BYTES + frame.encoded_len());
    out.put_u32_le(length);
    frame.encode_raw(out);
    Ok(())
}

/// Takes the next whole frame from the front of `input`; `None` if more bytes are needed first.
///
/// # Errors
/// `TooLong` as soon as the prefix says so, `Malformed` if the bytes are no frame.
pub fn decode(input: &mut BytesMut) -> Result<Option<Frame>, Error> {
    let Some(prefix) = input.first_chunk::<PREFIX_BYTES>() else {
        return Ok(None);
    };
    let announced = u32::from_le_bytes(*prefix);
    let bytes = match usize::try_from(announced) {
        Ok(bytes) if bytes <= MAX_FRAME_BYTES => bytes,
        _ => {
            return Err(Error::TooLong {
                bytes: u64::from(announced),
            });
        }
    };
    if input.len() < PREFIX_BYTES + bytes {
        input.reserve(PREFIX_BYTES + bytes - input.len());
        return Ok(None);
    }
    input.advance(PREFIX_BYTES);
    let body = input.split_to(bytes);
    Frame::decode(body.as_ref())
        .map(Some)
        .map_err(|source| Error::Malformed { bytes, source })
}

/// The length prefix of `frame`, if it may be sent at all.
pub(crate) fn checked_length(frame: &Frame) -> Result<u32, Error> {
    let bytes = frame.encoded_len();
    match u32::try_from(bytes) {
        Ok(length) if bytes <= MAX_FRAME_BYTES => Ok(length),
        _ => Err(Error::TooLong {
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::{Body, Heartbeat, RunLine};

    #[test]
    fn a_length_over_the_cap_is_refused_from_its_prefix_alone() {
        let mut input = BytesMut::new();
        input.put_u32_le(u32::try_from(MAX_FRAME_BYTES).unwrap() + 1);
        assert!(matches!(decode(&mut input), Err(Error::TooLong { .. })));
        assert!(input.capacity() < 4096, "nothing was allocated for it");
    }

    #[test]
    fn a_frame_of_exactly_the_cap_passes_and_one_byte_more_does_not() {
        let of = |line_bytes: usize| Frame {
            seq: 1,
            ack: 0,
            body: Some(Body::RunLine(RunLine {
                line: vec![7; line_bytes],
                ..RunLine::default()
            })),
        };
        let overhead = of(MAX_FRAME_BYTES / 2).encoded_len() - MAX_FRAME_BYTES / 2;
        let mut out = BytesMut::new();
        encode(&of(MAX_FRAME_BYTES - overhead), &mut out).unwrap();
        assert!(decode(&mut out).unwrap().is_some());
        assert!(matches!(
            encode(&of(MAX_FRAME_BYTES - overhead + 1), &mut out),
            Err(Error::TooLong { .. })
        ));
        assert!(out.is_empty());
    }

    #[test]
    fn garbage_of_a_fair_length_is_malformed() {
        let mut input = BytesMut::new();
        input.put_u32_le(3);
        input.put_slice(&[0xff, 0xff, 0xff]);
        assert!(matches!(
            decode(&mut input),
            Err(Error::Malformed { bytes: 3, .. })
        ));
    }

    #[test]
    fn a_body_of_a_later_version_decodes_as_none_with_its_position() {
        // Field 99, length-delimited, empty: a message kind this build does not know.
        let mut input = BytesMut::new();
        input.put_u32_le(5);
        input.put_slice(&[0x08, 0x09, 0x9a, 0x06, 0x00]);
        let frame = decode(&mut input).unwrap().unwrap();
        assert_eq!((frame.seq, frame.body), (9, None));
    }

    #[test]
    fn an_empty_heartbeat_is_a_few_bytes() {
        let mut out = BytesMut::new();
        encode(
            &Frame {
                seq: 0,
                ack: 5,
                body: Some(Body::Heartbeat(Heartbeat {})),
            },
            &mut out,
        )
        .unwrap();
        assert_eq!(out.as_ref(), [4, 0, 0, 0, 0x10, 5, 0x62, 0]);
    }
}
