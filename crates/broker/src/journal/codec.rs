//! Entries as bytes: length, CRC-32C, a tag and the fields in order.

use std::collections::BTreeMap;
use std::io;

use crc_fast::CrcAlgorithm;
use kanat_protocol::messages::Uuid;

use super::{ConfigOwner, Entry, PartitionEntry};
use crate::acl::Acl;
use crate::group::{Assignment, StoredGroup, StoredMember};
use crate::security::{ScramCredential, ScramHash};
use crate::transaction::{Identity, State, Transaction};

/// Length and CRC in front of an entry.
pub(super) const ENTRY_HEAD_BYTES: usize = 8;

/// Payload of the first entry of `bytes`, if it is whole and unharmed.
pub(super) fn next_payload(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let crc = u32::from_be_bytes(bytes.get(4..ENTRY_HEAD_BYTES)?.try_into().ok()?);
    let end = ENTRY_HEAD_BYTES.checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(ENTRY_HEAD_BYTES..end)?;
    (checksum(payload) == u64::from(crc)).then_some(payload)
}

fn checksum(payload: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, payload)
}

pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) -> io::Result<()> {
    let mut payload = Writer(Vec::new());
    payload.entry(entry)?;
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "journal entry over 4 GiB");
    let length = u32::try_from(payload.0.len()).map_err(too_long)?;
    let crc = u32::try_from(checksum(&payload.0)).map_err(too_long)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&payload.0);
    Ok(())
}

struct Writer(Vec<u8>);

impl Writer {
    fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::Cluster { id } => self.tag(1).text(id)?,
            Entry::ProducerIds { next } => self.tag(2).long(*next),
            Entry::Topic { id, name, configs, partitions } => {
                self.tag(3).uuid(*id).text(name)?.pairs(configs)?.count(partitions.len())?;
                for partition in partitions {
                    self.partition(partition)?;
                }
                self
            }
            Entry::TopicDeleted { id } => self.tag(4).uuid(*id),
            Entry::Leader { topic, partition, entry } => self.tag(5).uuid(*topic).int(*partition).partition(entry)?,
            Entry::LogStart { topic, partition, offset } => self.tag(6).uuid(*topic).int(*partition).long(*offset),
            Entry::Offset { group, topic, partition, offset, leader_epoch, metadata } => {
                self.tag(7).text(group)?.text(topic)?.int(*partition).long(*offset).int(*leader_epoch).text(metadata)?
            }
            Entry::OffsetDeleted { group, topic, partition } => self.tag(8).text(group)?.text(topic)?.int(*partition),
            Entry::GroupDeleted { group } => self.tag(9).text(group)?,
            Entry::Acl { acl } => self.tag(13).acl(acl)?,
            Entry::AclDeleted { acl } => self.tag(14).acl(acl)?,
            Entry::Quota { entity, values } => {
                self.tag(15).count(entity.len())?;
                for (kind, name) in entity {
                    self.text(kind)?.count(usize::from(name.is_some()))?.text(name.as_deref().unwrap_or_default())?;
                }
                self.count(values.len())?;
                for (key, bits) in values {
                    self.text(key)?.0.extend_from_slice(&bits.to_be_bytes());
                }
                self
            }
            Entry::ConsumerGroup { group, stored } => self.tag(19).text(group)?.group(stored)?,
            Entry::Configs { owner: ConfigOwner::Nodes, values } => self.tag(17).pairs(values)?,
            Entry::Configs { owner: ConfigOwner::Group(group), values } => self.tag(18).text(group)?.pairs(values)?,
            Entry::Feature { name, level } => self.tag(16).text(name)?.int(i32::from(*level)),
            Entry::ScramUser { user, hash, credential } => {
                self.tag(30).text(user)?.int(*hash as i32).int(credential.iterations);
                self.bytes(&credential.salt)?.bytes(&credential.stored_key)?.bytes(&credential.server_key)?
            }
            Entry::ScramUserDeleted { user, hash } => self.tag(31).text(user)?.int(*hash as i32),
            Entry::Transaction { id, transaction } => self.tag(10).text(id)?.transaction(transaction)?,
            Entry::PendingOffset { group, producer_id, topic, partition, offset, leader_epoch, metadata } => {
                self.tag(11).text(group)?.long(*producer_id).text(topic)?.int(*partition);
                self.long(*offset).int(*leader_epoch).text(metadata)?
            }
            Entry::PendingEnded { group, producer_id } => self.tag(12).text(group)?.long(*producer_id),
        };
        Ok(())
    }

    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn int(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    fn count(&mut self, count: usize) -> io::Result<&mut Self> {
        let too_many = |_| io::Error::new(io::ErrorKind::InvalidInput, "journal entry with too many items");
        Ok(self.int(i32::try_from(count).map_err(too_many)?))
    }

    fn text(&mut self, text: &str) -> io::Result<&mut Self> {
        self.bytes(text.as_bytes())
    }

    fn pairs(&mut self, pairs: &BTreeMap<String, String>) -> io::Result<&mut Self> {
        self.count(pairs.len())?;
        for (name, value) in pairs {
            self.text(name)?.text(value)?;
        }
        Ok(self)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<&mut Self> {
        self.count(bytes.len())?.0.extend_from_slice(bytes);
        Ok(self)
    }

    fn acl(&mut self, acl: &Acl) -> io::Result<&mut Self> {
        for number in [acl.resource_type, acl.pattern_type, acl.operation, acl.permission] {
            self.int(i32::from(number));
        }
        self.text(&acl.resource_name)?.text(&acl.principal)?.text(&acl.host)
    }

    /// Texts; an optional one is a list of at most one.
    fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> io::Result<&mut Self> {
        let texts: Vec<&str> = texts.into_iter().collect();
        self.count(texts.len())?;
        for text in texts {
            self.text(text)?;
        }
        Ok(self)
    }

    fn group(&mut self, group: &StoredGroup) -> io::Result<&mut Self> {
        self.int(group.epoch).int(group.assignment_epoch).count(group.topics.len())?;
        for (name, (id, partitions)) in &group.topics {
            self.text(name)?.uuid(*id).int(*partitions);
        }
        self.count(group.members.len())?;
        for member in &group.members {
            self.member(member)?;
        }
        Ok(self)
    }

    fn member(&mut self, member: &StoredMember) -> io::Result<&mut Self> {
        self.text(&member.id)?.texts(member.instance_id.as_deref())?.texts(member.rack_id.as_deref())?;
        self.text(&member.client_id)?.text(&member.client_host)?.int(member.epoch).int(member.previous_epoch);
        self.long(i64::try_from(member.rebalance_timeout_ms).unwrap_or(i64::MAX));
        self.texts(member.topics.iter().map(String::as_str))?.texts(member.regex.as_deref())?;
        self.texts(member.assignor.as_deref())?;
        self.assignment(&member.assigned)?.assignment(&member.revoking)?.assignment(&member.target)
    }

    fn assignment(&mut self, assignment: &Assignment) -> io::Result<&mut Self> {
        self.count(assignment.len())?;
        for (topic, partition) in assignment {
            self.uuid(*topic).int(*partition);
        }
        Ok(self)
    }

    fn transaction(&mut self, transaction: &Transaction) -> io::Result<&mut Self> {
        let state = State::ALL.iter().position(|state| *state == transaction.state).unwrap_or_default();
        self.long(transaction.identity.producer_id).int(i32::from(transaction.identity.epoch));
        self.int(i32::from(transaction.last_epoch)).long(transaction.previous_id);
        self.long(transaction.next_id.unwrap_or(-1)).long(i64::try_from(transaction.timeout_ms).unwrap_or(i64::MAX));
        self.count(state)?.count(transaction.partitions.len())?;
        for (topic, partition) in &transaction.partitions {
            self.text(topic)?.int(*partition);
        }
        self.count(transaction.groups.len())?;
        for group in &transaction.groups {
            self.text(group)?;
        }
        Ok(self)
    }

    fn partition(&mut self, entry: &PartitionEntry) -> io::Result<&mut Self> {
        self.int(entry.leader).int(entry.epoch).count(entry.replicas.len())?;
        for replica in &entry.replicas {
            self.int(*replica);
        }
        Ok(self)
    }
}

pub(super) fn decode(payload: &[u8]) -> Option<Entry> {
    let mut reader = Reader(payload);
    let entry = match reader.array::<1>()?[0] {
        1 => Entry::Cluster { id: reader.text()? },
        2 => Entry::ProducerIds { next: reader.long()? },
        3 => Entry::Topic {
            id: reader.uuid()?,
            name: reader.text()?,
            configs: reader.pairs()?,
            partitions: reader.many(Reader::partition)?,
        },
        4 => Entry::TopicDeleted { id: reader.uuid()? },
        5 => Entry::Leader { topic: reader.uuid()?, partition: reader.int()?, entry: reader.partition()? },
        6 => Entry::LogStart { topic: reader.uuid()?, partition: reader.int()?, offset: reader.long()? },
        7 => Entry::Offset {
            group: reader.text()?,
            topic: reader.text()?,
            partition: reader.int()?,
            offset: reader.long()?,
            leader_epoch: reader.int()?,
            metadata: reader.text()?,
        },
        8 => Entry::OffsetDeleted { group: reader.text()?, topic: reader.text()?, partition: reader.int()? },
        9 => Entry::GroupDeleted { group: reader.text()? },
        13 => Entry::Acl { acl: reader.acl()? },
        14 => Entry::AclDeleted { acl: reader.acl()? },
        15 => Entry::Quota {
            entity: reader.many(Reader::entity_part)?.into_iter().collect(),
            values: reader
                .many(|reader| Some((reader.text()?, reader.array().map(u64::from_be_bytes)?)))?
                .into_iter()
                .collect(),
        },
        16 => Entry::Feature { name: reader.text()?, level: reader.short()? },
        19 => Entry::ConsumerGroup { group: reader.text()?, stored: reader.group()? },
        17 => Entry::Configs { owner: ConfigOwner::Nodes, values: reader.pairs()? },
        18 => Entry::Configs { owner: ConfigOwner::Group(reader.text()?), values: reader.pairs()? },
        30 => Entry::ScramUser {
            user: reader.text()?,
            hash: reader.scram_hash()?,
            credential: ScramCredential {
                iterations: reader.int()?,
                salt: reader.bytes()?,
                stored_key: reader.bytes()?,
                server_key: reader.bytes()?,
            },
        },
        31 => Entry::ScramUserDeleted { user: reader.text()?, hash: reader.scram_hash()? },
        10 => Entry::Transaction { id: reader.text()?, transaction: reader.transaction()? },
        11 => Entry::PendingOffset {
            group: reader.text()?,
            producer_id: reader.long()?,
            topic: reader.text()?,
            partition: reader.int()?,
            offset: reader.long()?,
            leader_epoch: reader.int()?,
            metadata: reader.text()?,
        },
        12 => Entry::PendingEnded { group: reader.text()?, producer_id: reader.long()? },
        _ => return None,
    };
    reader.0.is_empty().then_some(entry)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn int(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.int()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn scram_hash(&mut self) -> Option<ScramHash> {
        ScramHash::from_number(self.byte()?)
    }

    fn byte(&mut self) -> Option<i8> {
        i8::try_from(self.int()?).ok()
    }

    fn acl(&mut self) -> Option<Acl> {
        Some(Acl {
            resource_type: self.byte()?,
            pattern_type: self.byte()?,
            operation: self.byte()?,
            permission: self.byte()?,
            resource_name: self.text()?,
            principal: self.text()?,
            host: self.text()?,
        })
    }

    /// Type and name of a part of a quota's entity; the default of a type has no name.
    fn entity_part(&mut self) -> Option<(String, Option<String>)> {
        let (kind, is_named, name) = (self.text()?, self.int()? == 1, self.text()?);
        Some((kind, is_named.then_some(name)))
    }

    fn many<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.int()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn pairs(&mut self) -> Option<BTreeMap<String, String>> {
        Some(self.many(|reader| Some((reader.text()?, reader.text()?)))?.into_iter().collect())
    }

    fn optional(&mut self) -> Option<Option<String>> {
        self.many(Self::text).map(|mut texts| texts.pop())
    }

    fn group(&mut self) -> Option<StoredGroup> {
        Some(StoredGroup {
            epoch: self.int()?,
            assignment_epoch: self.int()?,
            topics: self.many(|it| Some((it.text()?, (it.uuid()?, it.int()?))))?.into_iter().collect(),
            members: self.many(Self::member)?,
        })
    }

    fn member(&mut self) -> Option<StoredMember> {
        Some(StoredMember {
            id: self.text()?,
            instance_id: self.optional()?,
            rack_id: self.optional()?,
            client_id: self.text()?,
            client_host: self.text()?,
            epoch: self.int()?,
            previous_epoch: self.int()?,
            rebalance_timeout_ms: u64::try_from(self.long()?).ok()?,
            topics: self.many(Self::text)?,
            regex: self.optional()?,
            assignor: self.optional()?,
            assigned: self.assignment()?,
            revoking: self.assignment()?,
            target: self.assignment()?,
        })
    }

    fn assignment(&mut self) -> Option<Assignment> {
        Some(self.many(|reader| Some((reader.uuid()?, reader.int()?)))?.into_iter().collect())
    }

    fn short(&mut self) -> Option<i16> {
        i16::try_from(self.int()?).ok()
    }

    fn transaction(&mut self) -> Option<Transaction> {
        Some(Transaction {
            identity: Identity { producer_id: self.long()?, epoch: self.short()? },
            last_epoch: self.short()?,
            previous_id: self.long()?,
            next_id: Some(self.long()?).filter(|id| *id >= 0),
            timeout_ms: u64::try_from(self.long()?).ok()?,
            state: *State::ALL.get(usize::try_from(self.int()?).ok()?)?,
            partitions: self.many(|reader| Some((reader.text()?, reader.int()?)))?.into_iter().collect(),
            groups: self.many(Self::text)?.into_iter().collect(),
            begun_ms: 0,
        })
    }

    fn partition(&mut self) -> Option<PartitionEntry> {
        Some(PartitionEntry { leader: self.int()?, epoch: self.int()?, replicas: self.many(Self::int)? })
    }
}
