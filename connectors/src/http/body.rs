//! Reads request bodies: bounded in size and in time, whole or not at all.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::problem::Problem;

/// What a client may send, and how slowly.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body.
    pub bytes_max: usize,
    /// Longest wait between two pieces of it.
    pub idle: Duration,
    /// Longest wait for all of it.
    pub whole: Duration,
}

/// The whole body, byte for byte.
pub async fn read(headers: &HeaderMap, mut body: Body, limits: Limits) -> Result<Bytes, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "compressed bodies are not accepted: signatures cover the bytes as they are sent";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", detail));
    }
    if body.size_hint().lower() > limits.bytes_max as u64 {
        return Err(too_large(limits));
    }
    // Most bodies come in one piece, which is then used as it is.
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let deadline = Instant::now() + limits.whole;
    loop {
        let piece = timeout_at(deadline, timeout(limits.idle, body.frame())).await;
        let Ok(Ok(piece)) = piece else {
            let detail = "the body came too slowly";
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail));
        };
        let Some(piece) = piece else { break };
        let Ok(piece) = piece else {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "body_broken", "the body broke off"));
        };
        let Ok(data) = piece.into_data() else { continue };
        let length = data.len() + first.as_ref().map_or(whole.len(), Bytes::len);
        if length > limits.bytes_max {
            return Err(too_large(limits));
        }
        match (first.take(), whole.is_empty()) {
            (None, true) => first = Some(data),
            (Some(earlier), _) => {
                whole.reserve(length.max(body.size_hint().lower() as usize));
                whole.extend_from_slice(&earlier);
                whole.extend_from_slice(&data);
            }
            (None, false) => whole.extend_from_slice(&data),
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

fn too_large(limits: Limits) -> Problem {
    let detail = format!("the body is larger than {} bytes", limits.bytes_max);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes_max: 10, idle: Duration::from_secs(1), whole: Duration::from_secs(2) };

    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(futures_util::stream::iter(pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece))))
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        for (body, whole) in [
            (Body::empty(), ""),
            (Body::from("0123456789"), "0123456789"),
            (pieces(&["0", "12", "3456789"]), "0123456789"),
        ] {
            assert_eq!(read(&HeaderMap::new(), body, LIMITS).await.expect("read"), whole);
        }
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        for body in [Body::from("0123456789a"), pieces(&["01234", "56789", "a"])] {
            let problem = read(&HeaderMap::new(), body, LIMITS).await.expect_err("refused");
            assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_refused() {
        let body = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        let problem = read(&HeaderMap::new(), body, LIMITS).await.expect_err("refused");
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
