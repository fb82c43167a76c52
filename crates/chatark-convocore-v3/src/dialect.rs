//! How Convocore reports errors: `{message, code, issues?}`, `{error: {code, message}}` or `{success: false, message}`.

use chatark_core::ErrorKind;
use chatark_http::{ApiError, Dialect};
use serde::de::IgnoredAny;

use crate::wire;

const FORBIDDEN: &str = "the vendor's plan or add-on does not include reading conversations through the API: the owner of the workspace can change that on the billing page of the vendor's dashboard; then run the same command again";

#[derive(Debug)]
pub(crate) struct ConvocoreV3Dialect;

impl Dialect for ConvocoreV3Dialect {
    fn parse_error(&self, status: u16, body: &[u8]) -> ApiError {
        let envelope = serde_json::from_slice::<wire::Envelope<IgnoredAny>>(body).ok();
        // The vendor's status for a client that disconnected: worth another attempt.
        let kind = match status {
            499 => Some(ErrorKind::Unavailable),
            // A route that the deployment does not serve: no attempt will change that.
            501 => Some(ErrorKind::Refused),
            _ => None,
        };
        ApiError {
            code: envelope.as_ref().and_then(|envelope| envelope.code()).map(str::to_owned),
            message: envelope.and_then(|envelope| envelope.text()),
            kind,
            hint: (status == 403).then(|| FORBIDDEN.to_owned()),
        }
    }
}

/// Parses an error under a success status, by its code instead of the status.
pub(crate) fn embedded_error<T>(envelope: &wire::Envelope<T>) -> ApiError {
    let kind = match envelope.code() {
        Some("UNAUTHORIZED") => Some(ErrorKind::Unauthorized),
        Some("FORBIDDEN") => Some(ErrorKind::Forbidden),
        Some("NOT_FOUND") => Some(ErrorKind::NotFound),
        Some("TOO_MANY_REQUESTS") => Some(ErrorKind::RateLimited),
        Some("INTERNAL_SERVER_ERROR" | "TIMEOUT" | "CLIENT_CLOSED_REQUEST") => Some(ErrorKind::Unavailable),
        _ => None,
    };
    ApiError {
        code: envelope.code().map(str::to_owned),
        message: envelope.text(),
        kind,
        hint: (kind == Some(ErrorKind::Forbidden)).then(|| FORBIDDEN.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Code and text of every known error are passed on unchanged, from any envelope.
    #[test]
    fn documented_errors_are_parsed() {
        let sample: Value =
            serde_json::from_str(include_str!("../tests/fixtures/convocore-errors.json")).unwrap();
        let cases = sample["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 11);
        for case in cases {
            let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
            let body = &case["body"];
            let expected = if body["error"].is_object() { &body["error"] } else { body };
            let parsed = ConvocoreV3Dialect.parse_error(status, &serde_json::to_vec(body).unwrap());
            assert_eq!(parsed.code.as_deref(), expected["code"].as_str());
            let text = parsed.message.unwrap();
            assert!(text.starts_with(expected["message"].as_str().unwrap()), "{text}");
            assert_eq!((parsed.kind, parsed.hint.is_some()), (None, status == 403));
        }
    }

    #[test]
    fn validation_issues_are_appended_to_the_message() {
        let body = json!({"message": "Input validation failed", "code": "BAD_REQUEST", "issues": [
            {"path": ["tool", "description"], "message": "Required"},
            {"path": ["ids", 0], "message": "Too long"},
            {"message": "Bad"}, "no object",
        ]});
        assert_eq!(
            ConvocoreV3Dialect.parse_error(400, body.to_string().as_bytes()).message.as_deref(),
            Some("Input validation failed (tool.description: Required; ids.0: Too long; Bad)")
        );
    }

    #[test]
    fn other_bodies_give_no_message() {
        assert_eq!(ConvocoreV3Dialect.parse_error(502, b"<html>"), ApiError::default());
        assert_eq!(ConvocoreV3Dialect.parse_error(429, b""), ApiError::default());
        assert_eq!(ConvocoreV3Dialect.parse_error(403, b"no").hint.as_deref(), Some(FORBIDDEN));
        assert_eq!(ConvocoreV3Dialect.parse_error(499, b"").kind, Some(ErrorKind::Unavailable));
        assert_eq!(ConvocoreV3Dialect.parse_error(501, b"").kind, Some(ErrorKind::Refused));
    }

    #[track_caller]
    fn check_embedded(body: Value, is_error: bool, kind: Option<ErrorKind>) {
        let envelope: wire::Envelope<Value> = serde_json::from_value(body).unwrap();
        assert_eq!((envelope.is_error(), embedded_error(&envelope).kind), (is_error, kind));
    }

    #[test]
    fn an_error_under_a_success_status_is_found() {
        let forbidden = json!({"success": false, "code": "FORBIDDEN", "message": "no"});
        check_embedded(forbidden, true, Some(ErrorKind::Forbidden));
        let not_found = json!({"error": {"code": "NOT_FOUND", "message": "no"}});
        check_embedded(not_found, true, Some(ErrorKind::NotFound));
        check_embedded(json!({"message": "no", "code": "UNAUTHORIZED"}), true, Some(ErrorKind::Unauthorized));
        let poisoned =
            json!({"success": false, "code": "INTERNAL_SERVER_ERROR", "message": "Output validation failed"});
        check_embedded(poisoned, true, Some(ErrorKind::Unavailable));
        check_embedded(json!({"success": false, "message": "Invalid request input."}), true, None);
        check_embedded(json!({"success": true, "data": []}), false, None);
    }
}
