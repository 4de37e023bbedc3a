//! CreateTopics, DeleteTopics and CreatePartitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use kanat_protocol::ErrorCode;
use kanat_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kanat_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kanat_protocol::messages::create_topics_request::CreatableTopic;
use kanat_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kanat_protocol::messages::delete_topics_request::DeleteTopicState;
use kanat_protocol::messages::delete_topics_response::DeletableTopicResult;
use kanat_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};

use super::{Context, Handle, message, text};
use crate::cluster::{CreatedTopic, NewTopic, unknown_topic};
use crate::error::{Refusal, wire_code};
use crate::quotas::Quota;
use crate::topic::Topic;
use crate::topic_config::{CONFIGS, effective};

impl Handle for CreateTopicsRequest {
    async fn handle(self, context: &Context) -> CreateTopicsResponse {
        context.run(move |context| create(self, context)).await
    }
}

fn create(request: CreateTopicsRequest, context: &Context) -> CreateTopicsResponse {
    let named_twice = |name: &TopicName| request.topics.iter().filter(|topic| topic.name == *name).count() > 1;
    let mut answered = BTreeSet::new();
    let topics = request.topics.iter().filter(|topic| answered.insert(topic.name.as_str())).map(|topic| {
        let created = context.check_topic(&topic.name).and_then(|()| {
            if named_twice(&topic.name) {
                let reason = format!("topic {} is named twice", &*topic.name);
                return Err(Refusal::new(ErrorCode::InvalidRequest, reason));
            }
            let new = new_topic(topic)?;
            if request.validate_only {
                return context.cluster.create_topic(&new, true);
            }
            context.check_mutations()?;
            let created = context.cluster.create_topic(&new, false)?;
            context.charge_count(Quota::Mutations, created.leaderships.len());
            Ok(created)
        });
        let result = CreatableTopicResult::default().with_name(topic.name.clone());
        match created {
            Ok(created) => describe_created(result, &created, context),
            Err(refusal) => result
                .with_error_code(refusal.code.code())
                .with_error_message(Some(text(refusal.reason)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}

fn new_topic(topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
    let mut assignments: Vec<(i32, Vec<i32>)> = topic
        .assignments
        .iter()
        .map(|assignment| (assignment.partition_index, assignment.broker_ids.iter().map(|node| node.0).collect()))
        .collect();
    if !assignments.is_empty() && (topic.num_partitions, topic.replication_factor) != (-1, -1) {
        let reason = "with assignments the partition count and the replication factor must be -1";
        return Err(Refusal::new(ErrorCode::InvalidRequest, reason));
    }
    assignments.sort_unstable();
    if !(0..).zip(&assignments).all(|(expected, (partition, _)): (i32, _)| expected == *partition) {
        let reason = "the assignments must name partitions 0, 1, ... once each";
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, reason));
    }
    let mut new = NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.into_iter().map(|(_, replicas)| replicas).collect(),
        ..NewTopic::default()
    };
    for config in &topic.configs {
        // Without a value the config keeps its default.
        if let Some(value) = &config.value {
            new.configs.insert(config.name.to_string(), value.to_string());
        }
    }
    Ok(new)
}

fn describe_created(result: CreatableTopicResult, created: &CreatedTopic, context: &Context) -> CreatableTopicResult {
    let replicas = created.leaderships.first().map_or(0, |leadership| leadership.replicas.len());
    let defaults = context.cluster.topic_defaults();
    let configs = CONFIGS.iter().map(|config| {
        let (value, source) = effective(config.name, &created.configs.own, &defaults);
        CreatableTopicConfigs::default()
            .with_name(text(config.name))
            .with_value(Some(text(value)))
            .with_config_source(source.wire())
    });
    result
        .with_topic_id(created.id)
        .with_num_partitions(i32::try_from(created.leaderships.len()).unwrap_or(i32::MAX))
        .with_replication_factor(i16::try_from(replicas).unwrap_or(i16::MAX))
        .with_configs(Some(configs.collect()))
}

impl Handle for DeleteTopicsRequest {
    async fn handle(self, context: &Context) -> DeleteTopicsResponse {
        context.run(move |context| delete(self, context)).await
    }
}

fn delete(request: DeleteTopicsRequest, context: &Context) -> DeleteTopicsResponse {
    let by_name = |name: TopicName| DeleteTopicState::default().with_name(Some(name));
    let named = request.topics.into_iter().chain(request.topic_names.into_iter().map(by_name));
    let responses = named.map(|state| {
        let found = find_topic(&state, context);
        let deleted = found.as_ref().map_err(Clone::clone).and_then(|topic| {
            context.check_topic(&topic.name)?;
            context.check_mutations()?;
            let partitions = topic.partitions().len();
            context.cluster.delete_topic(topic)?;
            context.charge_count(Quota::Mutations, partitions);
            Ok(())
        });
        let name = found.as_ref().ok().map(|topic| TopicName(text(&*topic.name))).or(state.name);
        let id = found.map_or(state.topic_id, |topic| topic.id);
        DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(id)
            .with_error_code(wire_code(&deleted))
            .with_error_message(message(&deleted))
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

fn find_topic(state: &DeleteTopicState, context: &Context) -> Result<Arc<Topic>, Refusal> {
    match &state.name {
        Some(name) => context.cluster.topic(name).ok_or_else(|| unknown_topic(name)),
        None if state.topic_id.is_nil() => {
            Err(Refusal::new(ErrorCode::InvalidRequest, "there is neither a topic name nor a topic id"))
        }
        None => {
            let unknown = || Refusal::new(ErrorCode::UnknownTopicId, "no topic has this id");
            context.cluster.topic_by_id(state.topic_id).ok_or_else(unknown)
        }
    }
}

impl Handle for CreatePartitionsRequest {
    async fn handle(self, context: &Context) -> CreatePartitionsResponse {
        let validate_only = self.validate_only;
        context
            .run(move |context| {
                let results = self.topics.into_iter().map(|topic| {
                    let grown = context.check_topic(&topic.name).and_then(|()| grow(&topic, validate_only, context));
                    CreatePartitionsTopicResult::default()
                        .with_name(topic.name)
                        .with_error_code(wire_code(&grown))
                        .with_error_message(message(&grown))
                });
                CreatePartitionsResponse::default().with_results(results.collect())
            })
            .await
    }
}

fn grow(topic: &CreatePartitionsTopic, validate_only: bool, context: &Context) -> Result<(), Refusal> {
    let assignments: Option<Vec<Vec<i32>>> = topic.assignments.as_ref().map(|assignments| {
        assignments.iter().map(|assignment| assignment.broker_ids.iter().map(|node| node.0).collect()).collect()
    });
    let grow =
        |validate_only| context.cluster.add_partitions(&topic.name, topic.count, assignments.as_deref(), validate_only);
    if validate_only {
        return grow(true).map(drop);
    }
    context.check_mutations()?;
    context.charge_count(Quota::Mutations, grow(false)?);
    Ok(())
}
