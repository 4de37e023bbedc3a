//! InitProducerId.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::transactions::check_id;
use super::{Context, Handle};
use crate::transaction::Identity;

/// First version whose clients know PRODUCER_FENCED.
const FENCED_VERSION_MIN: i16 = 4;

impl Handle for InitProducerIdRequest {
    async fn handle(self, context: &Context) -> InitProducerIdResponse {
        context
            .run(move |context| {
                let (code, identity) = match init(&self, context) {
                    Ok(identity) => (0, identity),
                    Err(ErrorCode::ProducerFenced) if context.version < FENCED_VERSION_MIN => {
                        (ErrorCode::InvalidProducerEpoch.code(), Identity::NONE)
                    }
                    Err(code) => (code.code(), Identity::NONE),
                };
                InitProducerIdResponse::default()
                    .with_error_code(code)
                    .with_producer_id(ProducerId(identity.producer_id))
                    .with_producer_epoch(identity.epoch)
            })
            .await
    }
}

fn init(request: &InitProducerIdRequest, context: &Context) -> Result<Identity, ErrorCode> {
    let cluster = &context.cluster;
    let Some(id) = &request.transactional_id else {
        context.check_request().map_err(|refusal| refusal.code)?;
        context.authorize_idempotence()?;
        // A producer that lost its place asks for the next epoch of its id; a fresh id serves it as well.
        let producer_id = cluster.allocate_producer_id().map_err(|refusal| refusal.code)?;
        return Ok(Identity { producer_id, epoch: 0 });
    };
    check_id(id, context)?;
    let expected = match (request.producer_id.0, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        (producer_id, epoch) => Some(Identity { producer_id, epoch }),
    };
    cluster.transactions.init(cluster, id, request.transaction_timeout_ms, expected)
}
