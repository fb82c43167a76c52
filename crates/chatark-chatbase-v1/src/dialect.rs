//! How Chatbase v1 reports errors: as `{"message"}`. Compatible deployments may report them as v2 does.

use chatark_http::{ApiError, Dialect};

use crate::wire;

#[derive(Debug)]
pub(crate) struct ChatbaseV1Dialect;

impl Dialect for ChatbaseV1Dialect {
    fn parse_error(&self, _status: u16, body: &[u8]) -> ApiError {
        let Ok(failure) = serde_json::from_slice::<wire::Failure>(body) else {
            return ApiError::default();
        };
        let (code, inner) = failure.error.map_or((None, None), |error| (error.code, error.message));
        ApiError { code, message: failure.message.or(inner), ..ApiError::default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn documented_errors_are_parsed() {
        let sample: Value =
            serde_json::from_str(include_str!("../tests/fixtures/chatbase-errors.json")).unwrap();
        for case in sample["v1"].as_array().unwrap() {
            let parsed = ChatbaseV1Dialect.parse_error(400, &serde_json::to_vec(&case["body"]).unwrap());
            assert_eq!(parsed.message.as_deref(), case["body"]["message"].as_str());
        }
        let plan = &sample["v2"][3]["body"];
        let parsed = ChatbaseV1Dialect.parse_error(403, &serde_json::to_vec(plan).unwrap());
        assert_eq!(parsed.code.as_deref(), Some("SUBSCRIPTION_API_RESTRICTED_PLAN"));
        assert_eq!(
            parsed.message.as_deref(),
            Some("A Standard plan or higher is required to access the API")
        );
        assert_eq!(ChatbaseV1Dialect.parse_error(502, b"<html>"), ApiError::default());
    }
}
