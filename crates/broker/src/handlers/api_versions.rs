//! ApiVersions.

use bytes::Bytes;
use kanat_protocol::frame::encode_response;
use kanat_protocol::messages::api_versions_response::ApiVersion;
use kanat_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kanat_protocol::{Error as ProtocolError, ErrorCode};

use super::{APIS, Context, Handle, offered};
use crate::error::wire_code;

impl Handle for ApiVersionsRequest {
    async fn handle(self, context: &Context) -> ApiVersionsResponse {
        let checked = context.check_request();
        let api_keys = APIS.iter().filter_map(|api| version_entry(*api)).collect();
        ApiVersionsResponse::default().with_error_code(wire_code(&checked)).with_api_keys(api_keys)
    }
}

/// Answer to an ApiVersions request of a version nobody knows: version 0 of the response, which every client can read,
/// naming the versions of ApiVersions itself.
pub(crate) fn unsupported_version(correlation_id: i32) -> Result<Bytes, ProtocolError> {
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(version_entry(ApiKey::ApiVersions).into_iter().collect());
    encode_response(0, correlation_id, &response)
}

fn version_entry(api: ApiKey) -> Option<ApiVersion> {
    let range = offered(api)?;
    Some(ApiVersion::default().with_api_key(api as i16).with_min_version(range.min).with_max_version(range.max))
}
