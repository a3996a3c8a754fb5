//! What a client still sends of a body once its request is answered: a refusal, say, that was found in the head.
//!
//! Closing the socket on it would reset the connection, and a client that first sends and then reads would never see the
//! answer. So what is left is read and dropped, up to a bound and for a while.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::limits::{LEFTOVER_PATIENCE, MAX_LEFTOVER_BYTES};

/// A request's body, of which the rest is read when nobody wants it any more.
pub(crate) struct Leftover {
    /// `None` once it has been read to its end.
    body: Option<Incoming>,
}

impl Leftover {
    pub(crate) fn new(body: Incoming) -> Leftover {
        let body = Some(body).filter(|body| !body.is_end_stream());
        Leftover { body }
    }
}

impl Body for Leftover {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        // Without a runtime there is no connection either.
        if let (Some(body), Ok(runtime)) = (left, Handle::try_current()) {
            runtime.spawn(timeout(LEFTOVER_PATIENCE, read(body, MAX_LEFTOVER_BYTES)));
        }
    }
}

/// Reads up to so many bytes. What is beyond ends the connection.
async fn read(mut body: Incoming, bytes: usize) {
    let mut left = bytes;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else {
            return;
        };
        left = rest;
    }
}
