//! Sends responses: as they are, cut short, or slowly.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::exchange::{Reply, ReplyBody};
use crate::fault::Delivery;

/// The time between the first half of a response and the close of the connection, so that the half arrives.
const CUT_DELAY: Duration = Duration::from_millis(20);

/// Converts a response to HTTP, with a body that is sent as required. Fails if a header is invalid.
pub(crate) fn response(reply: Reply, delivery: Delivery) -> Result<Response, axum::http::Error> {
    let reply = match delivery {
        Delivery::Normal => reply,
        Delivery::Cut | Delivery::Slow { .. } | Delivery::Never => reply.into_whole(),
    };
    let mut builder = Response::builder().status(reply.status).header(CONTENT_TYPE, reply.content_type);
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    let body = match reply.body {
        ReplyBody::Chunks(chunks) => {
            return builder.body(Body::from_stream(stream::iter(chunks.map(io::Result::Ok))));
        }
        ReplyBody::Whole(body) => body,
    };
    match delivery {
        Delivery::Normal | Delivery::Never => builder.body(Body::from(body)),
        Delivery::Cut => builder.header(CONTENT_LENGTH, body.len()).body(Body::from_stream(cut_body(&body))),
        Delivery::Slow { chunk, delay } => {
            builder.header(CONTENT_LENGTH, body.len()).body(Body::from_stream(slow_body(body, chunk, delay)))
        }
    }
}

/// Sends the first half, then fails, which closes the connection.
fn cut_body(body: &Bytes) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let half = body.slice(..body.len() / 2);
    let end = stream::once(async {
        tokio::time::sleep(CUT_DELAY).await;
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut"))
    });
    stream::iter([Ok(half)]).chain(end)
}

fn slow_body(body: Bytes, chunk: usize, delay: Duration) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(delay).await;
        let piece = rest.split_to(chunk.min(rest.len()));
        Some((Ok(piece), rest))
    })
}
