//! UpdateFeatures.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::update_features_request::FeatureUpdateKey;
use kanat_protocol::messages::update_features_response::UpdatableFeatureResult;
use kanat_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::{Context, Handle, message};
use crate::acl::operation;
use crate::error::{Refusal, wire_code};
use crate::features::{Direction, Update};

/// First version that says how far an update may go back, and whether it is a rehearsal.
const DIRECTION_VERSION_MIN: i16 = 1;
/// Last version whose answer has a result per feature; all of them are the same.
const RESULTS_VERSION_MAX: i16 = 1;

impl Handle for UpdateFeaturesRequest {
    async fn handle(self, context: &Context) -> UpdateFeaturesResponse {
        context.run(move |context| update(&self, context)).await
    }
}

fn update(request: &UpdateFeaturesRequest, context: &Context) -> UpdateFeaturesResponse {
    let updated = context.check_cluster(operation::ALTER).and_then(|()| {
        let updates = request.feature_updates.iter().map(|update| wanted(update, context.version));
        context.cluster.features.update(&updates.collect::<Result<Vec<_>, _>>()?, request.validate_only)
    });
    let response =
        UpdateFeaturesResponse::default().with_error_code(wire_code(&updated)).with_error_message(message(&updated));
    if context.version > RESULTS_VERSION_MAX {
        return response;
    }
    let results = request.feature_updates.iter().map(|update| {
        UpdatableFeatureResult::default()
            .with_feature(update.feature.clone())
            .with_error_code(wire_code(&updated))
            .with_error_message(message(&updated))
    });
    response.with_results(results.collect())
}

fn wanted(update: &FeatureUpdateKey, version: i16) -> Result<Update, Refusal> {
    let direction = match (version >= DIRECTION_VERSION_MIN, update.upgrade_type, update.allow_downgrade) {
        (false, _, false) | (true, 1, _) => Direction::Upgrade,
        (false, _, true) | (true, 2, _) => Direction::SafeDowngrade,
        (true, 3, _) => Direction::UnsafeDowngrade,
        (true, other, _) => {
            let reason = format!("The controller does not support the given upgrade type {other}.");
            return Err(Refusal::new(ErrorCode::InvalidUpdateVersion, reason));
        }
    };
    Ok(Update { feature: update.feature.to_string(), level: update.max_version_level, direction })
}
