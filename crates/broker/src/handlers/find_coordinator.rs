//! FindCoordinator.

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::find_coordinator_response::Coordinator;
use kanat_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};

use super::{Context, Handle, text};
use crate::error::Refusal;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// First version that asks for several keys.
const BATCHED_VERSION_MIN: i16 = 4;

impl Handle for FindCoordinatorRequest {
    async fn handle(self, context: &Context) -> FindCoordinatorResponse {
        if context.version >= BATCHED_VERSION_MIN {
            let keys = self.coordinator_keys.into_iter();
            let coordinators = keys.map(|key| answer(key, self.key_type, context));
            return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
        }
        let found = answer(self.key, self.key_type, context);
        FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_error_message(found.error_message)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port)
    }
}

fn answer(key: StrBytes, key_type: i8, context: &Context) -> Coordinator {
    match find(&key, key_type, context) {
        Ok((node, host, port)) => {
            let found = Coordinator::default().with_key(key).with_node_id(BrokerId(node));
            found.with_host(text(host)).with_port(port).with_error_message(Some(text("")))
        }
        Err(refusal) => Coordinator::default()
            .with_key(key)
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(refusal.code.code())
            .with_error_message(Some(text(refusal.reason))),
    }
}

fn find(key: &str, key_type: i8, context: &Context) -> Result<(i32, String, i32), Refusal> {
    context.check_request()?;
    let node = match key_type {
        GROUP => {
            let refused = |code| Refusal::new(code, "");
            context.authorize_group(key).map_err(refused)?;
            context.cluster.coordinator_of(key)
        }
        TRANSACTION => {
            let refused = |code| Refusal::new(code, "");
            context.authorize_transactional_id(key).map_err(refused)?;
            context.cluster.transaction_coordinator_of(key)
        }
        other => {
            return Err(Refusal::new(ErrorCode::InvalidRequest, format!("coordinator type {other} is unknown")));
        }
    };
    let none = || Refusal::new(ErrorCode::CoordinatorNotAvailable, "no node is running");
    let node = node.ok_or_else(none)?;
    let (host, port) = node.endpoint();
    Ok((node.id, host, port))
}
