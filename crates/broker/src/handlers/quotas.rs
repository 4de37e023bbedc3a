//! AlterClientQuotas and DescribeClientQuotas.

use std::net::IpAddr;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::alter_client_quotas_request::EntryData as AlterEntry;
use kanat_protocol::messages::alter_client_quotas_response::{EntityData as AlteredEntity, EntryData as AlteredEntry};
use kanat_protocol::messages::describe_client_quotas_request::ComponentData;
use kanat_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kanat_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::{Context, Handle, message, text};
use crate::acl::operation;
use crate::error::{Refusal, wire_code};
use crate::quotas::{CLIENT_ID, CONNECTION_RATE, Entity, IP, KEYS, Quota, USER};

/// The component has exactly this name.
const EXACT: i8 = 0;
/// The component is the default of its type.
const DEFAULT: i8 = 1;

impl Handle for AlterClientQuotasRequest {
    async fn handle(self, context: &Context) -> AlterClientQuotasResponse {
        context.run(move |context| alter_all(&self, context)).await
    }
}

fn alter_all(request: &AlterClientQuotasRequest, context: &Context) -> AlterClientQuotasResponse {
    let checked = context.check_cluster(operation::ALTER_CONFIGS);
    let entries = request.entries.iter().map(|entry| {
        let altered = checked.clone().and_then(|()| alter(entry, request.validate_only, context));
        let entity = entry.entity.iter().map(|part| {
            let altered = AlteredEntity::default().with_entity_type(part.entity_type.clone());
            altered.with_entity_name(part.entity_name.clone())
        });
        AlteredEntry::default()
            .with_error_code(wire_code(&altered))
            .with_error_message(message(&altered))
            .with_entity(entity.collect())
    });
    AlterClientQuotasResponse::default().with_entries(entries.collect())
}

fn alter(entry: &AlterEntry, validate_only: bool, context: &Context) -> Result<(), Refusal> {
    let entity = entity(entry)?;
    let mut values = Vec::with_capacity(entry.ops.len());
    for change in &entry.ops {
        let key = change.key.as_str();
        if !change.remove {
            check_value(key, change.value)?;
        }
        check_key(key, &entity)?;
        values.push((key.to_owned(), (!change.remove).then_some(change.value)));
    }
    if !validate_only {
        context.cluster.quotas.alter(&entity, &values).map_err(|error| Refusal::storage(&error))?;
    }
    Ok(())
}

/// Whom an entry is about.
fn entity(entry: &AlterEntry) -> Result<Entity, Refusal> {
    let mut entity = Entity::new();
    for part in &entry.entity {
        if ![USER, CLIENT_ID, IP].contains(&part.entity_type.as_str()) {
            return invalid(format!("Unhandled client quota entity type: {}", &*part.entity_type));
        }
        let name = part.entity_name.as_ref().map(ToString::to_string);
        if name.as_ref().is_some_and(String::is_empty) {
            return invalid(format!("Empty {} not supported", &*part.entity_type));
        }
        // Names of hosts are not resolved.
        if let Some(name) = name.as_ref().filter(|name| &*part.entity_type == IP && name.parse::<IpAddr>().is_err()) {
            return invalid(format!("{name} is not a valid IP or resolvable host."));
        }
        if entity.insert(part.entity_type.to_string(), name).is_some() {
            return invalid(format!("Duplicate client quota entity type: {}", &*part.entity_type));
        }
    }
    if entity.is_empty() || entity.contains_key(IP) && entity.len() > 1 {
        return invalid("Invalid client quota entity".to_owned());
    }
    Ok(entity)
}

fn check_key(key: &str, entity: &Entity) -> Result<(), Refusal> {
    if !KEYS.contains(&key) || entity.contains_key(IP) != (key == CONNECTION_RATE) {
        return invalid(format!("Invalid configuration key {key}"));
    }
    Ok(())
}

fn check_value(key: &str, value: f64) -> Result<(), Refusal> {
    if value.is_nan() || value <= 0.0 {
        return invalid(format!("Quota {key} must be greater than 0"));
    }
    let whole = [Quota::ProducerBytes.name(), Quota::ConsumerBytes.name(), CONNECTION_RATE];
    if whole.contains(&key) && value.fract() != 0.0 {
        return invalid(format!("{key} cannot be a fractional value"));
    }
    Ok(())
}

fn invalid<T>(reason: String) -> Result<T, Refusal> {
    Err(Refusal::new(ErrorCode::InvalidRequest, reason))
}

impl Handle for DescribeClientQuotasRequest {
    async fn handle(self, context: &Context) -> DescribeClientQuotasResponse {
        let checked = context.check_cluster(operation::DESCRIBE_CONFIGS);
        if checked.is_err() {
            return DescribeClientQuotasResponse::default()
                .with_error_code(wire_code(&checked))
                .with_error_message(message(&checked))
                .with_entries(None);
        }
        let found = context.cluster.quotas.list().into_iter().filter(|(entity, _)| {
            self.components.iter().all(|component| matches(component, entity))
                && (!self.strict || entity.len() == self.components.len())
        });
        let entries = found.map(|(entity, values)| {
            let parts = entity.into_iter().map(|(kind, name)| {
                EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text))
            });
            let values =
                values.into_iter().map(|(key, value)| ValueData::default().with_key(text(key)).with_value(value));
            EntryData::default().with_entity(parts.collect()).with_values(values.collect())
        });
        DescribeClientQuotasResponse::default().with_entries(Some(entries.collect()))
    }
}

fn matches(component: &ComponentData, entity: &Entity) -> bool {
    let Some(name) = entity.get(component.entity_type.as_str()) else { return false };
    match component.match_type {
        EXACT => name.as_deref() == component._match.as_deref() && name.is_some(),
        DEFAULT => name.is_none(),
        _ => true,
    }
}
