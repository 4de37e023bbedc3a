//! `kanat quota`: quotas of users, client ids and addresses.

use std::collections::BTreeMap;

use kanat_client::{Admin, QuotaAlteration, QuotaEntity, QuotaFilter, QuotaMatch};
use kanat_sync::{Error, Result};
use serde_json::{Value, json};

use super::client::connect;
use super::outcomes::tell;
use crate::args::{FileArgs, QuotaArgs, QuotaCommand, QuotaEntityArgs};
use crate::output::Rows;

/// Entity types, as Kafka names them.
const ENTITY_TYPES: [&str; 3] = ["user", "client-id", "ip"];

/// Does what the command line asks with quotas.
pub(super) async fn run(files: &FileArgs, args: &QuotaArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        QuotaCommand::List(entity) => list(&admin, entity, json).await,
        QuotaCommand::Set { entity, quotas } => {
            let quotas = quotas.iter().map(|(name, value)| (name.clone(), Some(*value))).collect();
            alter(&admin, entity, quotas, json).await
        }
        QuotaCommand::Delete { entity, quotas } => {
            require_set(&admin, entity, quotas).await?;
            alter(&admin, entity, quotas.iter().map(|name| (name.clone(), None)).collect(), json).await
        }
    }
}

/// Names by entity type; an empty name is the default.
fn entity(args: &QuotaEntityArgs) -> QuotaEntity {
    let names = [&args.user, &args.client_id, &args.ip];
    let given = ENTITY_TYPES.into_iter().zip(names).filter_map(|(kind, name)| Some((kind.to_owned(), name.clone()?)));
    given.map(|(kind, name)| (kind, Some(name).filter(|name| !name.is_empty()))).collect()
}

/// One filter for each part of an entity.
fn filters(entity: QuotaEntity) -> Vec<QuotaFilter> {
    let filter = |(entity_type, name): (String, Option<String>)| QuotaFilter {
        entity_type,
        matches: name.map_or(QuotaMatch::Default, QuotaMatch::Exact),
    };
    entity.into_iter().map(filter).collect()
}

async fn list(admin: &Admin, args: &QuotaEntityArgs, json: bool) -> Result<()> {
    let found = admin.describe_quotas(&filters(entity(args)), false).await;
    let mut rows = Rows::new(&["user", "client_id", "ip", "quota", "value"]);
    for (entity, quotas) in found.map_err(|error| Error::kafka("listing quotas", error))? {
        let name = |kind: &str| match entity.get(kind) {
            None => Value::Null,
            Some(None) => json!("(default)"),
            Some(Some(name)) => json!(name),
        };
        for (quota, value) in &quotas {
            let mut row: Vec<Value> = ENTITY_TYPES.into_iter().map(name).collect();
            row.extend([json!(quota), number(*value)]);
            rows.push(row);
        }
    }
    rows.show(json, "no quotas");
    Ok(())
}

/// Whole numbers without a fraction.
fn number(value: f64) -> Value {
    let text = value.to_string();
    text.parse::<i64>().map_or_else(|_| json!(value), |whole| json!(whole))
}

/// The entity that quotas are changed of, and its name in messages.
fn required_entity(args: &QuotaEntityArgs) -> Result<(QuotaEntity, String)> {
    let entity = entity(args);
    if entity.is_empty() {
        return Err(Error::MissingFlag { flag: "--user", purpose: "whose quotas; or --client-id, --ip" });
    }
    let named = |(kind, name): (&String, &Option<String>)| match name {
        Some(name) => format!("{kind} {name}"),
        None => format!("default {kind}"),
    };
    let name = entity.iter().map(named).collect::<Vec<_>>().join(", ");
    Ok((entity, name))
}

/// Refuses to delete what is not set: brokers are content with it, and a wrong name would go unnoticed.
async fn require_set(admin: &Admin, args: &QuotaEntityArgs, quotas: &[String]) -> Result<()> {
    let (entity, name) = required_entity(args)?;
    let action = format!("changing quotas of {name}");
    let found = admin.describe_quotas(&filters(entity), true).await;
    let found = found.map_err(|error| Error::kafka(action.as_str(), error))?;
    let is_set = |quota: &&String| found.iter().any(|(_, set)| set.contains_key(*quota));
    match quotas.iter().find(|quota| !is_set(quota)) {
        Some(absent) => Err(Error::kafka(action, format!("{absent} is not set"))),
        None => Ok(()),
    }
}

async fn alter(admin: &Admin, args: &QuotaEntityArgs, quotas: BTreeMap<String, Option<f64>>, json: bool) -> Result<()> {
    let (entity, name) = required_entity(args)?;
    let subject = format!("quotas of {name}");
    let altered = admin.alter_quotas(&[QuotaAlteration { entity, quotas }], false).await;
    let altered = altered.map_err(|error| Error::kafka(format!("changing {subject}"), error))?;
    tell(json, altered.into_iter().map(|(_, outcome)| (subject.clone(), outcome)), "changing", "changed")
}
