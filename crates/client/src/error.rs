//! What can go wrong between a component and the API server.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

use crate::BoxError;

/// Why a request to the API server did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server answered with an error; the text is the server's.
    #[error("{}", .0.message.as_deref().unwrap_or("the server gave no reason"))]
    Status(Box<Status>),
    /// No answer came: the server is away, or the connection broke.
    #[error("{request}: {source}")]
    Transport {
        /// Method and path.
        request: String,
        /// What the transport said.
        source: BoxError,
    },
    /// The answer is not what the request promises.
    #[error("{request}: cannot read the answer: {source}")]
    Decode {
        /// Method and path.
        request: String,
        /// Where reading failed.
        source: serde_json::Error,
    },
    /// A line of a watch is longer than any object can be.
    #[error("{request}: an event of the watch exceeds {limit} bytes")]
    EventTooLarge {
        /// Method and path.
        request: String,
        /// The longest line that is read.
        limit: usize,
    },
    /// The kubeconfig cannot be used.
    #[error("kubeconfig: {0}")]
    Config(String),
}

impl ApiError {
    /// The server's HTTP code, if it answered.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        if let Self::Status(status) = self { status.code } else { None }
    }

    /// The server's machine-readable reason: `NotFound`, `Conflict`, …
    #[must_use]
    pub fn reason(&self) -> &str {
        if let Self::Status(status) = self { status.reason.as_deref().unwrap_or_default() } else { "" }
    }

    /// The object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.reason() == "NotFound"
    }

    /// The object exists already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// The object changed since it was read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// The server does not accept the object.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.reason() == "Invalid"
    }

    /// The user may not do this.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.reason() == "Forbidden"
    }

    /// The revision asked for is compacted away: list again.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410) || matches!(self.reason(), "Expired" | "Gone")
    }

    /// The server asks to come again later (429, or a budget that an eviction would break).
    #[must_use]
    pub fn is_too_many_requests(&self) -> bool {
        self.code() == Some(429)
    }

    /// Creation is forbidden because the namespace goes away.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        self.has_cause("NamespaceTerminating")
    }

    /// Whether the server names `reason` among the causes.
    #[must_use]
    pub fn has_cause(&self, reason: &str) -> bool {
        let Self::Status(status) = self else { return false };
        let causes = status.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
        causes.iter().any(|cause| cause.reason.as_deref() == Some(reason))
    }

    /// How long the server asks to wait before trying again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Status(status) = self else { return None };
        let seconds = status.details.as_ref()?.retry_after_seconds?;
        Some(Duration::from_secs(u64::try_from(seconds).ok()?))
    }

    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.code, Some(429 | 500 | 502 | 503 | 504)),
            Self::Transport { .. } => true,
            Self::Decode { .. } | Self::EventTooLarge { .. } | Self::Config(_) => false,
        }
    }
}
