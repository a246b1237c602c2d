//! A head and then bytes, in one body: see [`helmr_api::worker::files`].

use std::io;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use helmr_api::worker::files::HEAD_BYTES;

const LENGTH_BYTES: usize = 4;

/// Puts a head before a body.
pub fn framed(head: &[u8], body: Option<Body>) -> Body {
    let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
    let head = Bytes::from([&length.to_be_bytes(), head].concat());
    match body {
        None => Body::from(head),
        Some(body) => {
            let first = stream::once(async move { Ok::<_, axum::Error>(head) });
            Body::from_stream(first.chain(body.into_data_stream()))
        }
    }
}

/// Takes the head off a body. Gives it and the rest.
///
/// # Errors
/// `InvalidData` for a head over its limit, `UnexpectedEof` for half of one.
pub async fn unframed(body: Body) -> io::Result<(Vec<u8>, Body)> {
    let mut pieces = body.into_data_stream();
    let mut arrived = BytesMut::new();
    let mut wanted = LENGTH_BYTES;
    let mut length_known = false;
    loop {
        if arrived.len() >= wanted {
            if length_known {
                break;
            }
            let length = arrived.split_to(LENGTH_BYTES);
            let length = u32::from_be_bytes(length.as_ref().try_into().unwrap_or_default());
            if length > HEAD_BYTES {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            wanted = usize::try_from(length).unwrap_or(usize::MAX);
            length_known = true;
            continue;
        }
        match pieces.try_next().await.map_err(io::Error::other)? {
            Some(piece) => arrived.extend_from_slice(&piece),
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
    let head = arrived.split_to(wanted).to_vec();
    let first = arrived.freeze();
    let rest = stream::once(async move { Ok::<_, axum::Error>(first) })
        .filter(|first| {
            let empty = first.as_ref().is_ok_and(Bytes::is_empty);
            async move { !empty }
        })
        .chain(pieces);
    Ok((head, Body::from_stream(rest)))
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn check(head: &[u8], body: Option<&'static [u8]>) -> Result<()> {
        let sent = framed(head, body.map(Body::from));
        // As it comes over a network: in pieces that end anywhere.
        let whole = sent.collect().await?.to_bytes();
        let pieces: Vec<_> = whole.chunks(3).map(Bytes::copy_from_slice).collect();
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, io::Error>));
        let (found, rest) = unframed(Body::from_stream(pieces)).await?;
        assert_eq!(found, head);
        let rest = rest.collect().await?.to_bytes();
        assert_eq!(rest, body.unwrap_or_default());
        Ok(())
    }

    #[tokio::test]
    async fn a_head_comes_off_as_it_was_put_on() -> Result<()> {
        check(b"{}", None).await?;
        check(b"", Some(b"bytes that follow")).await?;
        check(b"{\"a\":1}", Some(b"and more than one piece of them")).await
    }

    #[tokio::test]
    async fn a_head_that_is_cut_or_too_long_is_refused() -> Result<()> {
        for body in [&b"\0\0"[..], b"\0\0\0\x05half", b"\xff\xff\xff\xffx"] {
            assert!(unframed(Body::from(body)).await.is_err(), "{body:?}");
        }
        Ok(())
    }
}
