//! Responses that are one small JSON document.

use chatark_core::{ErrorKind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::attempt::AttemptError;
use crate::call::Call;
use crate::client::ApiClient;

impl ApiClient {
    /// Sends a call and reads the response as a small JSON document.
    pub async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        Ok(self.json_with_clock_skew(call).await?.0)
    }

    /// Like [`Self::json`], and also returns the seconds by which the vendor's clock is ahead of ours.
    pub async fn json_with_clock_skew<T: DeserializeOwned>(&self, call: &Call) -> Result<(T, Option<i64>)> {
        self.retry(call, || self.attempt_json(call)).await
    }

    async fn attempt_json<T: DeserializeOwned>(&self, call: &Call) -> Result<(T, Option<i64>), AttemptError> {
        let response = self.attempt(call).await?;
        let (clock_skew, request_id) = (response.clock_skew_seconds, response.request_id.clone());
        let body = response.whole(self, call).await?;
        Ok((self.decode(call, &body, request_id.as_deref())?, clock_skew))
    }

    /// Decodes JSON that has already been received. The error names the JSON path of what cannot be read.
    pub fn decode<'a, T: Deserialize<'a>>(
        &self,
        call: &Call,
        body: &'a [u8],
        request_id: Option<&str>,
    ) -> Result<T> {
        let mut json = serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let kind = if error.inner().is_eof() { ErrorKind::Network } else { ErrorKind::Malformed };
            let path = error.path().to_string();
            let what = match error.inner().classify() {
                Category::Data => "a field of the response has a different type than documented",
                Category::Eof => "the response is cut off",
                _ => "the response is not JSON",
            };
            self.error(call, kind, format!("{what}, at `{path}`"), request_id)
                .hint("check `base_url`; if it is right, the vendor has changed its API")
        })
    }
}
