//! How Chatbase v2 reports errors: `{"error": {"code", "message", "details"}}`.

use std::time::Duration;

use chatark_http::{ApiError, Dialect};

use crate::config::RATE_LIMIT;
use crate::wire;

#[derive(Debug)]
pub(crate) struct ChatbaseV2Dialect;

impl Dialect for ChatbaseV2Dialect {
    fn rate_limit_window(&self) -> Option<Duration> {
        Some(Duration::from_secs(RATE_LIMIT.seconds))
    }

    fn parse_error(&self, _status: u16, body: &[u8]) -> ApiError {
        let Ok(wire::Failure { error }) = serde_json::from_slice(body) else {
            return ApiError::default();
        };
        let hint = match error.code.as_deref() {
            Some("AGENT_NOT_FOUND") => {
                Some("check `agent_id`: it is under Settings in the vendor's dashboard")
            }
            Some("AUTH_INSUFFICIENT_PERMISSIONS" | "PERMISSION_DENIED") => {
                Some("give the key the scope `chatlogs:export`, or create a key that has it")
            }
            _ => None,
        };
        ApiError { message: error.text(), code: error.code, kind: None, hint: hint.map(str::to_owned) }
    }
}

/// Returns whether an error says that the key lacks the scope for this route.
pub(crate) fn lacks_scope(error: &chatark_core::Error) -> bool {
    let codes = ["AUTH_INSUFFICIENT_PERMISSIONS", "PERMISSION_DENIED"];
    error.facts().iter().any(|(name, value)| *name == "code" && codes.contains(&value.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Code and text of every documented error are passed on unchanged.
    #[test]
    fn documented_errors_are_parsed() {
        let sample: Value =
            serde_json::from_str(include_str!("../tests/fixtures/chatbase-errors.json")).unwrap();
        let cases = sample["v2"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        for case in cases {
            let error = &case["body"]["error"];
            let body = serde_json::to_vec(&case["body"]).unwrap();
            let parsed = ChatbaseV2Dialect.parse_error(400, &body);
            assert_eq!(parsed.code.as_deref(), error["code"].as_str());
            let text = parsed.message.unwrap();
            assert!(text.starts_with(error["message"].as_str().unwrap()), "{text}");
        }
        let body = serde_json::to_vec(&cases[0]["body"]).unwrap();
        assert_eq!(
            ChatbaseV2Dialect.parse_error(400, &body).message.as_deref(),
            Some("Invalid request (limit: Number must be less than or equal to 20)")
        );
        assert_eq!(ChatbaseV2Dialect.parse_error(502, b"<html>"), ApiError::default());
    }
}
