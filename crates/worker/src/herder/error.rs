//! What a request can fail with.

/// An error of a request: its HTTP status, and a message in Connect's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RequestError {
    /// HTTP status, `error_code` of the body.
    pub(crate) status: u16,
    /// `message` of the body.
    pub(crate) message: String,
}

impl RequestError {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> RequestError {
        RequestError { status, message: message.into() }
    }

    /// 400.
    pub(crate) fn bad(message: impl Into<String>) -> RequestError {
        RequestError::new(400, message)
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>) -> RequestError {
        RequestError::new(404, message)
    }

    /// 409.
    pub(crate) fn conflict(message: impl Into<String>) -> RequestError {
        RequestError::new(409, message)
    }

    /// 500.
    pub(crate) fn internal(message: impl Into<String>) -> RequestError {
        RequestError::new(500, message)
    }
}

impl From<crate::Error> for RequestError {
    fn from(error: crate::Error) -> RequestError {
        RequestError::internal(error.to_string())
    }
}

impl From<kanat_connect::Error> for RequestError {
    fn from(error: kanat_connect::Error) -> RequestError {
        RequestError::internal(error.to_string())
    }
}
