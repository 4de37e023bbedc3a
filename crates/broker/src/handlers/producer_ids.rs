//! InitProducerId.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Context, Handle};
use crate::error::Refusal;

impl Handle for InitProducerIdRequest {
    async fn handle(self, context: &Context) -> InitProducerIdResponse {
        context
            .run(move |context| match init(&self, context) {
                Ok((id, epoch)) => {
                    InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
                }
                Err(refusal) => InitProducerIdResponse::default()
                    .with_error_code(refusal.code.code())
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1),
            })
            .await
    }
}

fn init(request: &InitProducerIdRequest, context: &Context) -> Result<(i64, i16), Refusal> {
    context.check_request()?;
    if request.transactional_id.is_some() {
        let reason = "this broker does not support transactions yet";
        return Err(Refusal::new(ErrorCode::TransactionalIdAuthorizationFailed, reason));
    }
    // A producer that lost its place asks for the next epoch of its id; a fresh id serves it as well.
    Ok((context.cluster.allocate_producer_id()?, 0))
}
