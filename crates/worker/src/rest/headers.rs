//! Headers: what a client accepts, and what the configuration adds to answers.

use hyper::HeaderMap;
use hyper::header::{ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HeaderName, HeaderValue, VARY};

use crate::config::WorkerConfig;
use crate::error::{Error, Result};

/// Whether a header of media types takes JSON.
pub(super) fn is_json(header: &HeaderValue) -> bool {
    let Ok(text) = header.to_str() else { return false };
    text.split(',').any(|range| {
        let name = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", "application/json"].iter().any(|known| known.eq_ignore_ascii_case(name))
    })
}

/// Headers of every answer: `response.http.headers.config` and cross-origin access.
#[derive(Debug, Default)]
pub(super) struct ExtraHeaders {
    set: Vec<(HeaderName, HeaderValue)>,
    origins: Vec<String>,
    methods: Option<HeaderValue>,
}

impl ExtraHeaders {
    pub(super) fn new(config: &WorkerConfig) -> Result<ExtraHeaders> {
        const KEY: &str = "response.http.headers.config";
        let mut set = Vec::new();
        for rule in config.text(KEY).split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            let wrong = |reason: &str| Error::Config(format!("Invalid value {rule} for configuration {KEY}: {reason}"));
            let parts = rule.split_once(' ').and_then(|(action, header)| Some((action, header.split_once(':')?)));
            let (action, (name, value)) =
                parts.ok_or_else(|| wrong("Expected format: [action] [header name]:[value]"))?;
            if !matches!(action, "set" | "add") {
                return Err(wrong("the action is set or add; setDate and addDate are not supported"));
            }
            let name = HeaderName::try_from(name.trim()).map_err(|_| wrong("is not the name of a header"))?;
            let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong("is not the value of a header"))?;
            set.push((name, value));
        }
        let origins = config.text("access.control.allow.origin").split(',').map(str::trim);
        let methods = config.text("access.control.allow.methods");
        Ok(ExtraHeaders {
            set,
            origins: origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect(),
            methods: if methods.is_empty() { None } else { HeaderValue::try_from(methods).ok() },
        })
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        for (name, value) in &self.set {
            headers.append(name.clone(), value.clone());
        }
        let Some(origin) = origin else { return };
        let allowed = |allowed: &String| allowed == "*" || origin.as_bytes() == allowed.as_bytes();
        if self.origins.iter().any(allowed) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(VARY, HeaderValue::from_static("Origin"));
            if let Some(methods) = &self.methods {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            }
        }
    }
}
