//! Records on their way: none is forgotten before it is acknowledged.

use std::collections::VecDeque;

use kanat_client::{DeliveryFuture, Result};

/// Records that may wait for their acknowledgement.
const WAITING_MAX: usize = 200_000;

/// Acknowledgements that are still to come, oldest first.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    waiting: VecDeque<DeliveryFuture>,
}

impl Deliveries {
    /// Adds one and looks at those that have come; waits only when too many have not.
    pub(super) async fn push(&mut self, delivery: DeliveryFuture) -> Result<()> {
        self.waiting.push_back(delivery);
        while self.waiting.len() > WAITING_MAX || self.waiting.front().is_some_and(DeliveryFuture::is_done) {
            let Some(oldest) = self.waiting.pop_front() else { break };
            oldest.await?;
        }
        Ok(())
    }

    /// Waits for all of them.
    pub(super) async fn finish(self) -> Result<()> {
        for delivery in self.waiting {
            delivery.await?;
        }
        Ok(())
    }
}
