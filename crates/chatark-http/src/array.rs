//! Responses that hold one array of records: a page, read as a whole, or an array of any size, read while it arrives.

use std::mem;

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::attempt::AttemptError;
use crate::call::Call;
use crate::client::ApiClient;
use crate::framer::{ArrayFramer, FrameError};
use crate::observer::HttpEvent;
use crate::response::Response;

/// One page: the elements of its array as bytes, and the envelope around them.
#[derive(Debug)]
pub struct Page {
    /// The elements of the array, byte for byte.
    pub elements: Vec<Bytes>,
    envelope: Bytes,
    request_id: Option<String>,
}

/// What an [`ArrayReader`] returns next.
#[derive(Debug)]
pub enum ArrayEvent {
    /// One element, byte for byte.
    Element(Bytes),
    /// The attempt failed and the request is repeated: all elements follow again, starting with the first.
    Restarted,
    /// The array and its document are complete.
    End,
}

/// Reads an array while it arrives, one element at a time.
///
/// It owns its call and borrows only the client, so that a stream can keep it in its state.
pub struct ArrayReader<'a> {
    client: &'a ApiClient,
    call: Call,
    key: String,
    failed_attempts: u32,
    /// Whether elements of the current attempt may have been returned.
    has_begun: bool,
    arriving: Option<ArrivingArray>,
    envelope: Bytes,
    request_id: Option<String>,
}

/// A response that is split into elements while it arrives.
struct ArrivingArray {
    response: Response,
    framer: ArrayFramer,
    bytes: usize,
}

impl ApiClient {
    /// Requests one page whose records are the array under `key`. A page that was cut off is requested again.
    pub async fn page(&self, call: &Call, key: &str) -> Result<Page> {
        self.retry(call, || self.attempt_page(call, key)).await
    }

    async fn attempt_page(&self, call: &Call, key: &str) -> Result<Page, AttemptError> {
        let mut arriving = self.attempt_array(call, key).await?;
        let mut elements = Vec::new();
        while let Some(element) = arriving.next(self, call).await? {
            elements.push(element);
        }
        let request_id = arriving.response.request_id.clone();
        let envelope = arriving.finish(self, call)?;
        Ok(Page { elements, envelope, request_id })
    }

    /// Prepares to read an array of any size under `key`. Nothing is sent before the first [`ArrayReader::next`].
    pub fn array(&self, call: Call, key: impl Into<String>) -> ArrayReader<'_> {
        ArrayReader {
            client: self,
            call,
            key: key.into(),
            failed_attempts: 0,
            has_begun: false,
            arriving: None,
            envelope: Bytes::new(),
            request_id: None,
        }
    }

    async fn attempt_array(&self, call: &Call, key: &str) -> Result<ArrivingArray, AttemptError> {
        let response = self.attempt(call).await?;
        Ok(ArrivingArray { response, framer: ArrayFramer::new(key, self.policy.size_limits), bytes: 0 })
    }

    fn frame_error(&self, call: &Call, error: FrameError, request_id: Option<&str>) -> Error {
        let kind = match error {
            FrameError::Truncated => ErrorKind::Network,
            FrameError::NotJson => ErrorKind::Malformed,
            FrameError::ElementTooLarge | FrameError::EnvelopeTooLarge => ErrorKind::TooLarge,
        };
        let hint = match error {
            FrameError::Truncated => "completed work is saved: run the same command again",
            FrameError::NotJson => {
                "something other than the API answered: check `base_url`, and whether the service is up"
            }
            _ => "report this with the request id; the rest of the archive is not affected",
        };
        self.error(call, kind, error, request_id).hint(hint)
    }
}

impl Page {
    /// Decodes the envelope, in which the array is empty.
    pub fn envelope<'a, T: Deserialize<'a>>(&'a self, client: &ApiClient, call: &Call) -> Result<T> {
        client.decode(call, &self.envelope, self.request_id())
    }

    /// Returns the vendor's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl ArrayReader<'_> {
    /// Returns the next event. Repeats the request after a transient failure, as often as the policy allows.
    pub async fn next(&mut self) -> Result<ArrayEvent> {
        loop {
            match self.advance().await {
                Ok(Some(element)) => return Ok(ArrayEvent::Element(element)),
                Ok(None) => return Ok(ArrayEvent::End),
                Err(failed) => {
                    self.arriving = None;
                    self.failed_attempts += 1;
                    self.client.wait_to_retry(&self.call, failed, self.failed_attempts).await?;
                    if mem::take(&mut self.has_begun) {
                        return Ok(ArrayEvent::Restarted);
                    }
                }
            }
        }
    }

    /// Returns the call.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Decodes the envelope, in which the array is empty. It is complete after [`ArrayEvent::End`].
    pub fn envelope<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        self.client.decode(&self.call, &self.envelope, self.request_id())
    }

    /// Returns the vendor's id of the request, after [`ArrayEvent::End`].
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, AttemptError> {
        let arriving = match &mut self.arriving {
            Some(arriving) => arriving,
            None => self.arriving.insert(self.client.attempt_array(&self.call, &self.key).await?),
        };
        self.has_begun = true;
        if let Some(element) = arriving.next(self.client, &self.call).await? {
            return Ok(Some(element));
        }
        if let Some(arriving) = self.arriving.take() {
            self.request_id.clone_from(&arriving.response.request_id);
            self.envelope = arriving.finish(self.client, &self.call)?;
        }
        Ok(None)
    }
}

impl ArrivingArray {
    async fn next(&mut self, client: &ApiClient, call: &Call) -> Result<Option<Bytes>> {
        loop {
            let framed = self.framer.next_element();
            let request_id = self.response.request_id.as_deref();
            if let Some(element) = framed.map_err(|error| client.frame_error(call, error, request_id))? {
                return Ok(Some(element));
            }
            let Some(chunk) = self.response.chunk(client, call).await? else {
                return Ok(None);
            };
            self.bytes += chunk.len();
            self.framer.feed(chunk);
        }
    }

    fn finish(self, client: &ApiClient, call: &Call) -> Result<Bytes> {
        let Self { response, framer, bytes } = self;
        let request_id = response.request_id.as_deref();
        let envelope = framer.finish().map_err(|error| client.frame_error(call, error, request_id))?;
        client.notify(&HttpEvent::Received { bytes });
        Ok(envelope)
    }
}
