//! What goes wrong at the runtime's socket.

/// The result of a call to the runtime.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// A call to the runtime failed. Shown as clients of gRPC show it, since users meet these texts in events.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The endpoint is not a Unix socket.
    #[error("the container runtime endpoint {0:?} is not an absolute path or unix:// and one")]
    Endpoint(String),
    /// The runtime answered with an error, or not at all.
    #[error("rpc error: code = {code} desc = {message}")]
    Call {
        /// gRPC's name of the error.
        code: &'static str,
        /// The runtime's words.
        message: String,
    },
}

impl RuntimeError {
    /// The runtime's words alone.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Endpoint(_) => self.to_string(),
            Self::Call { message, .. } => message.clone(),
        }
    }

    /// Whether the runtime could not be reached (and so may be later).
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Call { code: "Unavailable", .. })
    }

    /// Whether the call took too long.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call { code: "DeadlineExceeded", .. })
    }
}

impl From<tonic::Status> for RuntimeError {
    fn from(status: tonic::Status) -> Self {
        Self::Call { code: code_name(status.code()), message: status.message().to_owned() }
    }
}

fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
