//! One HTTP request: a form posted to a token endpoint, its answer bounded in size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;

use super::TlsOptions;

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Posts a form and returns status and body.
pub(super) async fn post_form(
    url: &Uri,
    authorization: &str,
    form: String,
    tls: &TlsOptions,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let request = Request::post(url.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, authorization)
        .body(Full::new(Bytes::from(form)))
        .map_err(|error| error.to_string())?;
    let exchange = async {
        match url.scheme_str() {
            Some("http") => send(HttpConnector::new(), request).await,
            Some("https") => {
                let config = tls.config().await.map_err(|error| error.to_string())?;
                let connector = HttpsConnectorBuilder::new().with_tls_config((*config).clone()).https_only();
                send(connector.enable_http1().build(), request).await
            }
            _ => Err("the URL must begin with http:// or https://".to_owned()),
        }
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answered) => answered,
        Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
    }
}

async fn send<C>(connector: C, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let response: Response<_> = client.request(request).await.map_err(|error| with_sources(&error))?;
    let status = response.status();
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| with_sources(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(data);
    }
    Ok((status, bytes.freeze()))
}

/// The whole chain: the outer error alone says "client error (Connect)".
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
