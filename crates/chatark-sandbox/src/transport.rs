//! How responses are sent: whole, in chunks, truncated, or slowly.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::fault::Transport;
use crate::message::{Reply, ReplyBody};

/// The time for the first half of a truncated response to arrive before the connection closes.
const TIME_TO_ARRIVE: Duration = Duration::from_millis(20);

/// Converts a response to HTTP; fails on invalid headers.
pub(crate) fn response(reply: Reply, transport: Transport) -> Result<Response, axum::http::Error> {
    let reply = match transport {
        Transport::Usual => reply,
        Transport::Cut | Transport::Drip { .. } | Transport::Hang => reply.into_whole(),
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
    match transport {
        Transport::Usual | Transport::Hang => builder.body(Body::from(body)),
        Transport::Cut => builder.header(CONTENT_LENGTH, body.len()).body(Body::from_stream(cut(&body))),
        Transport::Drip { chunk, delay } => {
            builder.header(CONTENT_LENGTH, body.len()).body(Body::from_stream(drip(body, chunk, delay)))
        }
    }
}

/// Sends the first half, then fails, which closes the connection.
fn cut(body: &Bytes) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let half = body.slice(..body.len() / 2);
    let end = stream::once(async {
        tokio::time::sleep(TIME_TO_ARRIVE).await;
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut"))
    });
    stream::iter([Ok(half)]).chain(end)
}

fn drip(body: Bytes, chunk: usize, delay: Duration) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(delay).await;
        let piece = rest.split_to(chunk.min(rest.len()));
        Some((Ok(piece), rest))
    })
}
