//! Entries as bytes: length, CRC-32C, a tag and the fields in order.

use std::io;

use crc_fast::CrcAlgorithm;
use kanat_protocol::messages::Uuid;

use super::{Entry, PartitionEntry};
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
                self.tag(3).uuid(*id).text(name)?.count(configs.len())?;
                for (config, value) in configs {
                    self.text(config)?.text(value)?;
                }
                self.count(partitions.len())?;
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

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<&mut Self> {
        self.count(bytes.len())?.0.extend_from_slice(bytes);
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
            configs: reader.many(|reader| Some((reader.text()?, reader.text()?)))?.into_iter().collect(),
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
        ScramHash::from_number(i8::try_from(self.int()?).ok()?)
    }

    fn many<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.int()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn epoch(&mut self) -> Option<i16> {
        i16::try_from(self.int()?).ok()
    }

    fn transaction(&mut self) -> Option<Transaction> {
        Some(Transaction {
            identity: Identity { producer_id: self.long()?, epoch: self.epoch()? },
            last_epoch: self.epoch()?,
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
