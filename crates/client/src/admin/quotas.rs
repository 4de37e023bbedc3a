//! Quotas of users, client ids and addresses.

use std::collections::BTreeMap;

use kanat_protocol::messages::alter_client_quotas_request::{
    EntityData as AlterEntity, EntryData as AlterEntry, OpData,
};
use kanat_protocol::messages::describe_client_quotas_request::ComponentData;
use kanat_protocol::messages::{AlterClientQuotasRequest, ApiKey, DescribeClientQuotasRequest, StrBytes};

use super::ask::{Home, Node, Repeat, text};
use super::{Admin, Outcomes};
use crate::cluster::str_bytes;
use crate::error::Result;

/// Whom quotas are for: names by entity type (`user`, `client-id`, `ip`), `None` being the default of that type.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// Values by quota name, such as `producer_byte_rate` in bytes per second.
pub type QuotaValues = BTreeMap<String, f64>;

/// Which name of an entity type a filter accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaMatch {
    /// This name.
    Exact(String),
    /// The default of the type.
    Default,
    /// Any name, the default included.
    Any,
}

/// One condition on an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaFilter {
    /// Entity type: `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// Names accepted.
    pub matches: QuotaMatch,
}

/// A change of one entity's quotas; quotas that are not named stay.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaAlteration {
    /// Whom.
    pub entity: QuotaEntity,
    /// New values by quota name; `None` removes one.
    pub quotas: BTreeMap<String, Option<f64>>,
}

impl Admin {
    /// Quotas of the entities that meet every condition; with `strict` of those that have no other entity type. No
    /// condition and not `strict` is everybody. Needs Kafka 2.6.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn describe_quotas(
        &self,
        filters: &[QuotaFilter],
        strict: bool,
    ) -> Result<Vec<(QuotaEntity, QuotaValues)>> {
        let component = |filter: &QuotaFilter| {
            let (code, name) = match &filter.matches {
                QuotaMatch::Exact(name) => (0, Some(str_bytes(name))),
                QuotaMatch::Default => (1, None),
                QuotaMatch::Any => (2, None),
            };
            ComponentData::default()
                .with_entity_type(str_bytes(&filter.entity_type))
                .with_match_type(code)
                .with_match(name)
        };
        let components = filters.iter().map(component).collect();
        let request = DescribeClientQuotasRequest::default().with_components(components).with_strict(strict);
        let ask = move |node: Node| {
            let request = request.clone();
            async move {
                let answer = node.ask(ApiKey::DescribeClientQuotas, &request).await?;
                let body = &answer.body;
                answer.check(|| "quotas".to_owned(), body.error_code, body.error_message.as_ref())?;
                let mut found = Vec::new();
                for row in body.entries.iter().flatten() {
                    let named = row.entity.iter().map(|part| (&part.entity_type, part.entity_name.as_ref()));
                    let values = row.values.iter().map(|value| (text(&value.key), value.value));
                    found.push((entity(named), values.collect::<QuotaValues>()));
                }
                found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
                Ok(found)
            }
        };
        self.ask_one(Home::Any, Repeat::Always, ask).await
    }

    /// Changes quotas and says of each entity whether it was; with `validate_only` whether it could be. Needs Kafka 2.6.
    ///
    /// # Errors
    /// When no controller answers until `retry_timeout_ms`.
    pub async fn alter_quotas(
        &self,
        alterations: &[QuotaAlteration],
        validate_only: bool,
    ) -> Result<Outcomes<QuotaEntity>> {
        let ask = |node: Node, alterations: Vec<QuotaAlteration>| async move {
            let request = AlterClientQuotasRequest::default()
                .with_entries(alterations.iter().map(to_wire).collect())
                .with_validate_only(validate_only);
            let answer = node.ask(ApiKey::AlterClientQuotas, &request).await?;
            let outcome = |alteration: &QuotaAlteration| {
                let row = answer.body.entries.iter().find(|row| {
                    let named = row.entity.iter().map(|part| (&part.entity_type, part.entity_name.as_ref()));
                    entity(named) == alteration.entity
                });
                let subject = || format!("quotas of {:?}", alteration.entity);
                let row = answer.found(row, subject)?;
                answer.check(subject, row.error_code, row.error_message.as_ref())
            };
            Ok(alterations.iter().map(outcome).collect())
        };
        let outcomes = self.ask_each(alterations, Repeat::Always, |_| Home::Controller, ask).await?;
        Ok(alterations.iter().map(|alteration| alteration.entity.clone()).zip(outcomes).collect())
    }
}

fn to_wire(alteration: &QuotaAlteration) -> AlterEntry {
    let part = |(kind, name): (&String, &Option<String>)| {
        AlterEntity::default().with_entity_type(str_bytes(kind)).with_entity_name(name.as_deref().map(str_bytes))
    };
    let change = |(key, value): (&String, &Option<f64>)| {
        OpData::default().with_key(str_bytes(key)).with_value(value.unwrap_or_default()).with_remove(value.is_none())
    };
    AlterEntry::default()
        .with_entity(alteration.entity.iter().map(part).collect())
        .with_ops(alteration.quotas.iter().map(change).collect())
}

fn entity<'a>(parts: impl Iterator<Item = (&'a StrBytes, Option<&'a StrBytes>)>) -> QuotaEntity {
    parts.map(|(kind, name)| (text(kind), name.map(text))).collect()
}
