//! Answers that hold an array of conversations: one page at once, or one array of any size as it arrives.

use bytes::Bytes;
use chatark_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::client::{ApiClient, Body, Call, Failure};
use crate::framer::{ArrayFramer, FrameError};

/// One page: the elements of its array as bytes, and what surrounds them.
#[derive(Debug)]
pub struct Page {
    /// The elements of the array, byte for byte.
    pub elements: Vec<Bytes>,
    envelope: Bytes,
    request_id: Option<String>,
}

/// What comes next out of an array that is still arriving.
#[derive(Debug)]
pub enum Event {
    /// One element, byte for byte.
    Element(Bytes),
    /// The connection broke and the vendor was asked again: every element comes once more from the first.
    Restarted,
    /// The array and its document are complete.
    End,
}

/// An array that is still arriving.
pub struct Elements<'a> {
    client: &'a ApiClient,
    call: &'a Call,
    key: &'static str,
    attempts: u32,
    /// Whether elements of the current attempt may have been handed out.
    begun: bool,
    open: Option<Open<'a>>,
    envelope: Bytes,
    request_id: Option<String>,
}

struct Open<'a> {
    body: Body<'a>,
    framer: ArrayFramer,
    bytes: usize,
}

impl ApiClient {
    /// Asks for one page whose conversations are the array under `key`; a cut page is asked for again.
    pub async fn page(&self, call: &Call, key: &'static str) -> Result<Page> {
        let mut attempts = 1;
        loop {
            match self.try_page(call, key).await {
                Ok(page) => return Ok(page),
                Err(failure) => self.wait_after(call, failure, attempts).await?,
            }
            attempts += 1;
        }
    }

    async fn try_page(&self, call: &Call, key: &'static str) -> Result<Page, Failure> {
        let mut open = self.open(call, key).await?;
        let request_id = open.body.request_id().map(str::to_owned);
        let mut elements = Vec::new();
        while let Some(element) = open.next(self, call).await? {
            elements.push(element);
        }
        let envelope = open.finish(self, call)?;
        Ok(Page { elements, envelope, request_id })
    }

    /// Asks for an array of any size under `key`, of which memory holds one element at a time.
    pub fn elements<'a>(&'a self, call: &'a Call, key: &'static str) -> Elements<'a> {
        Elements {
            client: self,
            call,
            key,
            attempts: 0,
            begun: false,
            open: None,
            envelope: Bytes::new(),
            request_id: None,
        }
    }

    async fn open<'a>(&'a self, call: &'a Call, key: &'static str) -> Result<Open<'a>, Failure> {
        let answer = self.send(call).await?;
        let framer = ArrayFramer::new(key, self.policy().limits);
        Ok(Open { body: Body::new(self, call, answer), framer, bytes: 0 })
    }

    fn unframed(&self, call: &Call, error: FrameError, request_id: Option<&str>) -> Error {
        let kind = match error {
            FrameError::Cut => ErrorKind::Network,
            FrameError::NotJson => ErrorKind::Malformed,
            FrameError::ElementTooLarge | FrameError::EnvelopeTooLarge => ErrorKind::TooLarge,
        };
        let fault = self.fault(call, kind, error, request_id);
        match error {
            FrameError::Cut => fault.hint("what is done is safe: run the same command again"),
            FrameError::NotJson => fault.hint(
                "the vendor sent a web page or other text: check `base_url`, and whether the service is up",
            ),
            _ => fault.hint("report this with the request id; the rest of the archive is not affected"),
        }
    }
}

impl Page {
    /// Decodes what surrounds the array, in which the array is empty.
    pub fn envelope<'a, T: Deserialize<'a>>(&'a self, client: &ApiClient, call: &Call) -> Result<T> {
        client.decode(call, &self.envelope, self.request_id())
    }

    /// Returns the vendor's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl Elements<'_> {
    /// Returns what comes next. Asks the vendor again where the connection breaks, as often as the policy allows.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            match self.advance().await {
                Ok(Some(element)) => return Ok(Event::Element(element)),
                Ok(None) => return Ok(Event::End),
                Err(failure) => {
                    self.open = None;
                    self.attempts += 1;
                    self.client.wait_after(self.call, failure, self.attempts).await?;
                    if std::mem::take(&mut self.begun) {
                        return Ok(Event::Restarted);
                    }
                }
            }
        }
    }

    /// Decodes what surrounds the array, once the end has come.
    pub fn envelope<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        self.client.decode(self.call, &self.envelope, self.request_id())
    }

    /// Returns the vendor's id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Failure> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(self.client.open(self.call, self.key).await?),
        };
        self.begun = true;
        if let Some(element) = open.next(self.client, self.call).await? {
            return Ok(Some(element));
        }
        self.request_id = open.body.request_id().map(str::to_owned);
        if let Some(open) = self.open.take() {
            self.envelope = open.finish(self.client, self.call)?;
        }
        Ok(None)
    }
}

impl Open<'_> {
    async fn next(&mut self, client: &ApiClient, call: &Call) -> Result<Option<Bytes>> {
        loop {
            let framed = self.framer.next_element();
            let id = self.body.request_id();
            if let Some(element) = framed.map_err(|error| client.unframed(call, error, id))? {
                return Ok(Some(element));
            }
            let Some(chunk) = self.body.chunk().await? else {
                return Ok(None);
            };
            self.bytes += chunk.len();
            self.framer.feed(chunk);
        }
    }

    fn finish(self, client: &ApiClient, call: &Call) -> Result<Bytes> {
        let id = self.body.request_id().map(str::to_owned);
        let envelope = self.framer.finish().map_err(|error| client.unframed(call, error, id.as_deref()))?;
        client.answered(self.bytes);
        Ok(envelope)
    }
}
