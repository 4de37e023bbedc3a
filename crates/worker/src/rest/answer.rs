//! Answers: status, JSON, and the few headers that matter.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::herder::RequestError;
use crate::store::compact;

/// An answer to a request.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
    content_type: Option<&'static str>,
    location: Option<String>,
    allow: Option<String>,
}

const JSON: &str = "application/json";

impl Answer {
    fn new(status: StatusCode) -> Answer {
        Answer { status, body: Bytes::new(), content_type: None, location: None, allow: None }
    }

    /// A status without a body.
    pub(super) fn empty(status: StatusCode) -> Answer {
        Answer::new(status)
    }

    /// 200 with a body.
    pub(super) fn ok(body: &Value) -> Answer {
        Answer::json(StatusCode::OK, body)
    }

    /// A body with its status.
    pub(super) fn json(status: StatusCode, body: &Value) -> Answer {
        Answer { body: compact(body).into(), content_type: Some(JSON), ..Answer::new(status) }
    }

    /// 201 with a body and where to find it.
    pub(super) fn created(location: String, body: &Value) -> Answer {
        Answer { location: Some(location), ..Answer::json(StatusCode::CREATED, body) }
    }

    /// An error of the herder.
    pub(super) fn error(error: &RequestError) -> Answer {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Answer::json(status, &json!({ "error_code": error.status, "message": error.message }))
    }

    /// 500.
    pub(super) fn internal(message: &str) -> Answer {
        Answer::error(&RequestError::internal(message))
    }

    /// An error that no resource has given: in Connect it has a JSON body without saying so.
    pub(super) fn framework(status: StatusCode) -> Answer {
        let reason = if status == StatusCode::PAYLOAD_TOO_LARGE { "Request Entity Too Large" } else { reason(status) };
        let message = format!("HTTP {} {reason}", status.as_u16());
        Answer { content_type: None, ..Answer::error(&RequestError::new(status.as_u16(), message)) }
    }

    /// The same with the type of the body, for a path whose parameter is not a number.
    pub(super) fn no_such_parameter() -> Answer {
        Answer { content_type: Some(JSON), ..Answer::framework(StatusCode::NOT_FOUND) }
    }

    /// A path that could be read in two ways.
    pub(super) fn bad_uri(method: &Method, reason: &str) -> Answer {
        let answer = Answer::new(StatusCode::BAD_REQUEST);
        if *method != Method::GET {
            return answer;
        }
        let page =
            format!("<html>\n<head>\n<title>Error 400 {reason}</title>\n</head>\n<body>{reason}</body>\n</html>\n");
        Answer { body: page.into(), content_type: Some("text/html;charset=iso-8859-1"), ..answer }
    }

    /// What a path takes.
    pub(super) fn options(methods: &[Method]) -> Answer {
        let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        if names.contains(&"GET") {
            names.insert(0, "HEAD");
        }
        names.push("OPTIONS");
        let allow = names.join(", ");
        Answer {
            body: allow.clone().into(),
            content_type: Some("text/plain"),
            allow: Some(allow),
            ..Answer::new(StatusCode::OK)
        }
    }

    pub(super) fn into_response(self, is_head: bool) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(if is_head { Bytes::new() } else { self.body }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let texts = [(LOCATION, self.location), (ALLOW, self.allow)];
        for (name, text) in texts {
            // Names in a location are percent-encoded; anything else that no header can hold is left out.
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}
