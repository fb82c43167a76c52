//! The error responses of each vendor.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::exchange::Reply;
use crate::truth::Vendor;

/// An error that every vendor has a response for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiError {
    MissingKey,
    InvalidKey,
    ExpiredKey,
    PlanGate,
    InsufficientScope,
    TooManyRequests,
    ServerError,
    Maintenance,
    UnknownRoute,
}

impl ApiError {
    /// Returns the vendor's response.
    pub(crate) fn reply(self, vendor: Vendor) -> Reply {
        let status = self.status();
        let body = match vendor {
            Vendor::ChatbaseV1 => json!({ "message": self.chatbase_v1_message() }),
            Vendor::ChatbaseV2 => {
                let (code, message) = self.chatbase_v2_words();
                chatbase_v2_error(code, message)
            }
            Vendor::ConvocoreV3 => {
                let (code, message) = self.convocore_words();
                json!({ "message": message, "code": code })
            }
        };
        Reply::json(status, &body)
    }

    fn status(self) -> StatusCode {
        match self {
            Self::MissingKey | Self::InvalidKey | Self::ExpiredKey => StatusCode::UNAUTHORIZED,
            Self::PlanGate | Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
            Self::UnknownRoute => StatusCode::NOT_FOUND,
        }
    }

    /// Only the texts for a missing key, a server error and an unknown route are documented.
    fn chatbase_v1_message(self) -> &'static str {
        match self {
            Self::MissingKey => "No API key provided.",
            Self::InvalidKey => "Invalid API key.",
            Self::ExpiredKey => "API key expired.",
            Self::PlanGate => "A Standard plan or higher is required to access the API",
            Self::InsufficientScope => "The API key may not do this.",
            Self::TooManyRequests => "Too many requests, please try again later",
            Self::ServerError => "Internal server error",
            Self::Maintenance => "Service unavailable",
            Self::UnknownRoute => "Resource not found",
        }
    }

    fn chatbase_v2_words(self) -> (&'static str, &'static str) {
        match self {
            Self::MissingKey => ("AUTH_MISSING_API_KEY", "Authentication required"),
            Self::InvalidKey => ("AUTH_INVALID_API_KEY", "The API key is not valid"),
            Self::ExpiredKey => ("AUTH_EXPIRED_API_KEY", "The API key has expired"),
            Self::PlanGate => (
                "SUBSCRIPTION_API_RESTRICTED_PLAN",
                "A Standard plan or higher is required to access the API",
            ),
            Self::InsufficientScope => {
                ("AUTH_INSUFFICIENT_PERMISSIONS", "The API key does not have the chatlogs:export permission")
            }
            Self::TooManyRequests => {
                ("RATE_LIMIT_TOO_MANY_REQUESTS", "Too many requests, please try again later")
            }
            Self::ServerError => ("INTERNAL_SERVER_ERROR", "Something went wrong, please try again"),
            Self::Maintenance => (
                "SERVICE_UNDER_MAINTENANCE",
                "The API is temporarily unavailable for scheduled maintenance, please try again later",
            ),
            Self::UnknownRoute => ("NOT_FOUND", "Not found"),
        }
    }

    fn convocore_words(self) -> (&'static str, &'static str) {
        match self {
            Self::MissingKey | Self::InvalidKey | Self::ExpiredKey => ("UNAUTHORIZED", "Unauthorized"),
            Self::PlanGate => (
                "FORBIDDEN",
                "API access requires the Business plan or higher (read-only). White Label unlocks full API write access.",
            ),
            Self::InsufficientScope => (
                "FORBIDDEN",
                "Chat Export API addon required. Subscribe to chat-export-api to use this endpoint.",
            ),
            Self::TooManyRequests => ("TOO_MANY_REQUESTS", "Export rate limit exceeded"),
            Self::ServerError => ("INTERNAL_SERVER_ERROR", "Output validation failed"),
            Self::Maintenance => ("INTERNAL_SERVER_ERROR", "Service unavailable"),
            Self::UnknownRoute => ("NOT_FOUND", "Not found"),
        }
    }
}

/// Returns the error envelope of Chatbase's second API.
pub(crate) fn chatbase_v2_error(code: &str, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}
