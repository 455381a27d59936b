//! Reading request bodies within a bound.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Bytes of an unwanted body that are read and dropped: a client that is still sending sees the answer only when the
/// connection is not reset under it.
const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long an unwanted body is read.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    Broken,
}

/// The whole body, of at most `max` bytes.
pub(crate) async fn read<B>(body: &mut B, max: usize) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    if body.size_hint().lower() > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(Unread::TooLarge);
    }
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if first.len() + more.len() + data.len() > max {
            return Err(Unread::TooLarge);
        }
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() && more.is_empty() {
            first = data;
            continue;
        }
        more.extend_from_slice(&std::mem::take(&mut first));
        more.extend_from_slice(&data);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// Reads and drops what is left, within bounds.
pub(crate) async fn drain<B>(body: &mut B)
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    let dropping = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // The body is unwanted either way.
    drop(tokio::time::timeout(DRAIN_TIME, dropping).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    #[tokio::test]
    async fn bodies_are_read_up_to_the_bound() {
        let pieces = |sizes: &[usize]| {
            let frames: Vec<Result<_, std::io::Error>> =
                sizes.iter().map(|n| Ok(Frame::data(Bytes::from(vec![b'x'; *n])))).collect();
            StreamBody::new(stream::iter(frames))
        };
        assert_eq!(read(&mut Full::from("ab"), 2).await, Ok(Bytes::from("ab")));
        assert_eq!(read(&mut Full::from("abc"), 2).await, Err(Unread::TooLarge));
        assert_eq!(read(&mut pieces(&[]), 2).await, Ok(Bytes::new()));
        assert_eq!(read(&mut pieces(&[1, 2, 1]), 4).await, Ok(Bytes::from("xxxx")));
        assert_eq!(read(&mut pieces(&[1, 2, 2]), 4).await, Err(Unread::TooLarge));
    }
}
