//! A response with a success status, whose body is still arriving.

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use humantime::format_duration;
use tokio::time::{Instant, timeout_at};

use crate::call::Call;
use crate::client::ApiClient;
use crate::observer::HttpEvent;
use crate::transport::TransportError;

/// A body has stalled if fewer bytes than this arrive within the time limit.
const STALLED_BYTES: usize = 1 << 10;

/// A response whose body is read in chunks, and fails if it stalls.
pub(crate) struct Response {
    pub(crate) request_id: Option<String>,
    /// The seconds by which the vendor's clock is ahead of ours.
    pub(crate) clock_skew_seconds: Option<i64>,
    body: BoxStream<'static, Result<Bytes, TransportError>>,
    deadline: Instant,
    bytes_before_deadline: usize,
    /// Whether the body has begun, and not as a web page.
    is_json: bool,
}

impl Response {
    pub(crate) fn new(
        client: &ApiClient,
        body: BoxStream<'static, Result<Bytes, TransportError>>,
        request_id: Option<String>,
        clock_skew_seconds: Option<i64>,
    ) -> Self {
        let deadline = Instant::now() + client.policy.timeout;
        Self { request_id, clock_skew_seconds, body, deadline, bytes_before_deadline: 0, is_json: false }
    }

    /// Returns the next chunk, decompressed, or `None` at the end.
    pub(crate) async fn chunk(&mut self, client: &ApiClient, call: &Call) -> Result<Option<Bytes>> {
        loop {
            let deadline = client.budget.cap_deadline(self.deadline);
            match timeout_at(deadline, self.body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    self.bytes_before_deadline += chunk.len();
                    self.refuse_web_page(&chunk, client, call)?;
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    return Err(client.network_error(call, error, self.request_id.as_deref()));
                }
                Err(_) if client.budget.is_over(deadline) => return Err(client.out_of_time(call)),
                Err(_) if self.bytes_before_deadline < STALLED_BYTES => {
                    return Err(self.stalled(client, call));
                }
                Err(_) => {
                    self.bytes_before_deadline = 0;
                    self.deadline = Instant::now() + client.policy.timeout;
                }
            }
        }
    }

    /// Reads the whole body, up to the size limit of an element.
    pub(crate) async fn whole(mut self, client: &ApiClient, call: &Call) -> Result<Vec<u8>> {
        let limit = client.policy.size_limits.element;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(client, call).await? {
            if bytes.len() + chunk.len() > limit {
                let message = format!("the response is larger than {limit} bytes");
                let error = client.error(call, ErrorKind::TooLarge, message, self.request_id.as_deref());
                return Err(error.hint("check `base_url`: a response of this kind should be smaller"));
            }
            bytes.extend_from_slice(&chunk);
        }
        client.notify(&HttpEvent::Received { bytes: bytes.len() });
        Ok(bytes)
    }

    /// Rejects a web page with a success status: a gateway or a captive portal sends one if the vendor cannot be
    /// reached.
    fn refuse_web_page(&mut self, chunk: &[u8], client: &ApiClient, call: &Call) -> Result<()> {
        let Some(first) = chunk.iter().find(|byte| !byte.is_ascii_whitespace()).filter(|_| !self.is_json)
        else {
            return Ok(());
        };
        self.is_json = *first != b'<';
        if self.is_json {
            return Ok(());
        }
        let message = "the response is a web page instead of JSON";
        let error = client.error(call, ErrorKind::Unavailable, message, self.request_id.as_deref());
        Err(error.hint("check `base_url`, and whether this network or the vendor's service is up; completed work is saved: run the same command again"))
    }

    fn stalled(&self, client: &ApiClient, call: &Call) -> Error {
        let limit = format_duration(client.policy.timeout);
        let message = format!("the response body stalled: fewer than {STALLED_BYTES} bytes in {limit}");
        client.network_error(call, message, self.request_id.as_deref())
    }
}
