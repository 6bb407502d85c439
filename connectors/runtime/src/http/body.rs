//! Reads request bodies: bounded in size and in time, whole or not at all.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

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

/// What a body may take without asking: small ones are always let in, so that
/// senders of large ones can only be in the way of each other.
const SMALL_BYTES: usize = 64 * 1024;

/// How much of a body that was refused is let pass, unread, and for how long. A
/// connection that is closed while its client still sends is reset, and the
/// client never sees why.
const ABANDONED_BYTES_MAX: usize = 32 << 20;
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of large bodies is held at the same time, whoever sends them.
pub struct Budget(Semaphore);

impl Budget {
    /// So many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Budget(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS)))
    }
}

/// A body and its share of the budget, which it gives back when it is dropped.
pub struct Whole<'a> {
    /// Byte for byte.
    pub bytes: Bytes,
    _share: Option<SemaphorePermit<'a>>,
}

/// The whole body, byte for byte.
pub async fn read<'a>(
    headers: &HeaderMap,
    mut body: Body,
    limits: Limits,
    budget: &'a Budget,
) -> Result<Whole<'a>, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "compressed bodies are not accepted: signatures cover the bytes as they are sent";
        abandon(body);
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", detail));
    }
    if body.size_hint().lower() > limits.bytes_max as u64 {
        abandon(body);
        return Err(too_large(limits));
    }
    // Most bodies come in one piece, which is then used as it is.
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut share: Option<SemaphorePermit<'a>> = None;
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
            abandon(body);
            return Err(too_large(limits));
        }
        let shared = share.as_ref().map_or(0, SemaphorePermit::num_permits);
        if let Some(more) = length.checked_sub(SMALL_BYTES + shared) {
            let Ok(more) = budget.0.try_acquire_many(u32::try_from(more).unwrap_or(u32::MAX)) else {
                abandon(body);
                return Err(busy());
            };
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
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
    Ok(Whole { bytes: first.unwrap_or_else(|| whole.freeze()), _share: share })
}

/// Lets go of a body whose answer is known already: the answer is sent, and what
/// still comes is dropped, so that the client can read the answer.
pub fn abandon(mut body: Body) {
    tokio::spawn(timeout(ABANDONED_TIMEOUT, async move {
        let mut left = ABANDONED_BYTES_MAX;
        while let Some(Ok(piece)) = body.frame().await {
            let bytes = piece.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else { break };
            left = rest;
        }
    }));
}

fn busy() -> Problem {
    let detail = "too many large bodies are on their way; send it again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "bodies_busy", detail).retry_after(1)
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
            assert_eq!(read(&HeaderMap::new(), body, LIMITS, &Budget::new(0)).await.expect("read").bytes, whole);
        }
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        for body in [Body::from("0123456789a"), pieces(&["01234", "56789", "a"])] {
            let problem = read(&HeaderMap::new(), body, LIMITS, &Budget::new(0))
                .await
                .map(|whole| whole.bytes)
                .expect_err("refused");
            assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_refused() {
        let body = Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        let problem =
            read(&HeaderMap::new(), body, LIMITS, &Budget::new(0)).await.map(|whole| whole.bytes).expect_err("refused");
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn large_bodies_share_a_budget_and_give_it_back() {
        let limits = Limits { bytes_max: 1 << 20, ..LIMITS };
        let budget = Budget::new(100_000);
        let body = |length: usize| Body::from(vec![b'x'; length]);
        let held = read(&HeaderMap::new(), body(SMALL_BYTES + 60_000), limits, &budget).await.map_err(drop);
        let held = held.expect("fits");
        let refused = read(&HeaderMap::new(), body(SMALL_BYTES + 60_000), limits, &budget).await;
        assert_eq!(refused.map(|whole| whole.bytes).expect_err("too much").code(), "bodies_busy");
        assert!(read(&HeaderMap::new(), body(SMALL_BYTES), limits, &budget).await.is_ok(), "small ones are let in");
        drop(held);
        assert!(read(&HeaderMap::new(), body(SMALL_BYTES + 100_000), limits, &budget).await.is_ok());
    }
}
