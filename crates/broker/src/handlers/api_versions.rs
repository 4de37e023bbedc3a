//! ApiVersions.

use bytes::Bytes;
use kanat_protocol::frame::encode_response;
use kanat_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kanat_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kanat_protocol::{Error as ProtocolError, ErrorCode};

use super::{APIS, Context, Handle, offered, text};
use crate::error::{Refusal, wire_code};
use crate::features::FEATURES;

/// First version whose clients name their software.
const SOFTWARE_VERSION_MIN: i16 = 3;
/// First version whose clients can read a feature range that begins with 0.
const ZERO_FEATURE_VERSION_MIN: i16 = 4;

impl Handle for ApiVersionsRequest {
    async fn handle(self, context: &Context) -> ApiVersionsResponse {
        let checked = context.check_request().and_then(|()| check_software(&self, context.version));
        let api_keys = APIS.iter().filter_map(|api| version_entry(*api)).collect();
        let (finalized, epoch) = context.cluster.features.finalized();
        // Up to version 3 clients cannot read a range that begins with 0.
        let supported = FEATURES.iter().map(|feature| {
            let min = if context.version < ZERO_FEATURE_VERSION_MIN { 1 } else { 0 };
            let min = feature.level_min.max(min);
            SupportedFeatureKey::default()
                .with_name(text(feature.name))
                .with_min_version(min)
                .with_max_version(feature.level_max)
        });
        let finalized = finalized.into_iter().map(|(name, level)| {
            let feature = FinalizedFeatureKey::default().with_name(text(name));
            feature.with_min_version_level(level).with_max_version_level(level)
        });
        ApiVersionsResponse::default()
            .with_error_code(wire_code(&checked))
            .with_api_keys(api_keys)
            .with_supported_features(supported.collect())
            .with_finalized_features_epoch(epoch)
            .with_finalized_features(finalized.collect())
    }
}

/// Name and version are of ASCII letters, digits, `.` and `-`, and neither begin nor end with the latter two.
fn check_software(request: &ApiVersionsRequest, version: i16) -> Result<(), Refusal> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let is_outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_legal = |text: &str| {
        let bytes = text.as_bytes();
        is_outer(bytes.first()) && is_outer(bytes.last()) && bytes.iter().all(|byte| is_inner(*byte))
    };
    let (name, software_version) = (&request.client_software_name, &request.client_software_version);
    if version < SOFTWARE_VERSION_MIN || is_legal(name) && is_legal(software_version) {
        return Ok(());
    }
    let reason = format!("client software {name:?} {software_version:?} is no name and version");
    Err(Refusal::new(ErrorCode::InvalidRequest, reason))
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
