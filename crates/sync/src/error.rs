//! What can go wrong, each with a stable code, a page under `docs/errors/` and an exit code.
//!
//! Messages name what a person can change: a file and its key, a broker, a topic, a folder.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Exit code of a run that failed in an ordinary way.
pub const EXIT_FAILURE: u8 = 1;

/// Exit code of a run that stopped because a person has to decide how to go on.
pub const EXIT_OPERATOR: u8 = 3;

/// Declares [`Code`] so that the list of all codes cannot miss one.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        /// Stable number of a kind of failure; its page is `docs/errors/KN-<number>.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Code {
            /// Every code, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

codes! {
    /// A file given to a verb cannot be read.
    FileUnreadable = 1001,
    /// A file given to a verb is not JSON.
    FileNotJson = 1002,
    /// A required key is absent.
    MissingKey = 1003,
    /// A key holds a value that cannot be used.
    WrongValue = 1004,
    /// Two spellings of one setting disagree.
    ConflictingKeys = 1005,
    /// A valid setting that this version cannot honour.
    NotSupported = 1006,
    /// An encrypted file cannot be decrypted.
    Decryption = 1007,
    /// A file that the verb produces cannot be written.
    FileUnwritable = 1008,
    /// A verb was called without a flag it needs.
    MissingFlag = 1009,
    /// The catalog selects nothing that can be synced.
    NoValidStreams = 1101,
    /// Discovery found no topic.
    NoStreamsFound = 1102,
    /// Two streams would write to the same table.
    SharedTable = 1103,
    /// No broker could be reached.
    BrokerUnreachable = 1201,
    /// A topic of the catalog does not exist.
    TopicMissing = 1202,
    /// The consumer group has members.
    GroupInUse = 1203,
    /// Records that were never read have been removed by retention.
    OffsetsExpired = 1204,
    /// A topic was deleted and created again since the last sync.
    TopicRecreated = 1205,
    /// The group's committed offset lies beyond the end of the log.
    CommittedAheadOfEnd = 1206,
    /// A request to Kafka failed.
    Kafka = 1207,
    /// The destination folder cannot be written.
    DestinationUnwritable = 1301,
    /// Writing a table failed.
    Table = 1302,
    /// A file that was sealed by an earlier run is gone.
    SealedFileMissing = 1303,
    /// A journal of sealed files cannot be understood.
    JournalCorrupt = 1304,
    /// A record could not become a row and the sync was told to stop.
    BadRecord = 1401,
    /// The run was cancelled.
    Cancelled = 1402,
    /// The time allowed for the verb is over.
    TimedOut = 1403,
    /// A part of kanat failed where it never should.
    Internal = 1404,
}

impl Code {
    /// The number alone, such as 1204.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether a person has to decide before a further run can do better.
    pub fn operator_must_act(self) -> bool {
        matches!(
            self,
            Self::OffsetsExpired
                | Self::TopicRecreated
                | Self::CommittedAheadOfEnd
                | Self::SealedFileMissing
                | Self::JournalCorrupt
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KN-{}", self.number())
    }
}

/// A cause that another crate reported.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file given to a verb cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file given to a verb is not JSON.
    #[error("{file} is not valid JSON: {reason}")]
    FileNotJson {
        /// The file.
        file: String,
        /// What is wrong and where.
        reason: String,
    },
    /// A required key is absent.
    #[error("{file}: {key} is required")]
    MissingKey {
        /// The file.
        file: String,
        /// The key, with its path inside the file.
        key: String,
    },
    /// A key holds a value that cannot be used.
    #[error("{file}: {key} {reason}")]
    WrongValue {
        /// The file.
        file: String,
        /// The key, with its path inside the file.
        key: String,
        /// What it must be and what it is.
        reason: String,
    },
    /// Two spellings of one setting disagree.
    #[error("{file}: {first} and {second} are two spellings of one setting and disagree; keep one of them")]
    ConflictingKeys {
        /// The file.
        file: String,
        /// One spelling.
        first: String,
        /// The other spelling.
        second: String,
    },
    /// A valid setting that this version cannot honour.
    #[error("{file}: {key}: {what} is not supported in this version")]
    NotSupported {
        /// The file, or the verb for a flag.
        file: String,
        /// The key or flag.
        key: String,
        /// What is not supported.
        what: String,
    },
    /// An encrypted file cannot be decrypted.
    #[error("cannot decrypt {file}: {reason}")]
    Decryption {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file that the verb produces cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    FileUnwritable {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A verb was called without a flag it needs.
    #[error("{flag} is required: {purpose}")]
    MissingFlag {
        /// The flag, dashes included.
        flag: &'static str,
        /// What it names.
        purpose: &'static str,
    },
    /// The catalog selects nothing that can be synced.
    #[error("no valid streams found in catalog {file}: {reason}")]
    NoValidStreams {
        /// The catalog.
        file: String,
        /// Why nothing is left.
        reason: String,
    },
    /// Discovery found no topic.
    #[error("no streams found in connector: {reason}")]
    NoStreamsFound {
        /// What was looked at.
        reason: String,
    },
    /// Two streams would write to the same table.
    #[error(
        "streams {first} and {second} both write to table {table}; change destination_table of one of them in the catalog"
    )]
    SharedTable {
        /// One stream.
        first: String,
        /// The other stream.
        second: String,
        /// Database and table.
        table: String,
    },
    /// No broker could be reached.
    #[error("no broker of bootstrap_servers {servers} answered: {source}")]
    BrokerUnreachable {
        /// The configured addresses.
        servers: String,
        /// What the last attempt met.
        source: Cause,
    },
    /// A topic of the catalog does not exist.
    #[error("topic {topic} does not exist on {servers}")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// The configured addresses.
        servers: String,
    },
    /// The consumer group has members.
    #[error(
        "consumer group {group} is in use ({members} members, state {state}); stop them or set another consumer_group_id"
    )]
    GroupInUse {
        /// The group.
        group: String,
        /// How many members it has.
        members: usize,
        /// The state the coordinator reported.
        state: String,
    },
    /// Records that were never read have been removed by retention.
    #[error(
        "topic {topic} partition {partition}: group {group} stands at offset {committed} but the log starts at {log_start}; {} records are gone",
        log_start.saturating_sub(*committed)
    )]
    OffsetsExpired {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The group.
        group: String,
        /// The committed offset.
        committed: i64,
        /// First offset the broker still has.
        log_start: i64,
    },
    /// A topic was deleted and created again since the last sync.
    #[error(
        "topic {topic} was deleted and created again since group {group} committed offset {committed} of partition {partition}"
    )]
    TopicRecreated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The group.
        group: String,
        /// The committed offset.
        committed: i64,
    },
    /// The group's committed offset lies beyond the end of the log.
    #[error(
        "topic {topic} partition {partition}: group {group} stands at offset {committed}, beyond the end of the log at {end}"
    )]
    CommittedAheadOfEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The group.
        group: String,
        /// The committed offset.
        committed: i64,
        /// End of the log.
        end: i64,
    },
    /// A request to Kafka failed.
    #[error("{action} failed: {source}")]
    Kafka {
        /// What was asked, with topic, partition or group.
        action: String,
        /// What the client reported.
        source: Cause,
    },
    /// The destination folder cannot be written.
    #[error("destination folder {} cannot be written: {source}", path.display())]
    DestinationUnwritable {
        /// The folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Writing a table failed.
    #[error("table {table}: {source}")]
    Table {
        /// The table or its folder.
        table: String,
        /// What the writer reported.
        source: Cause,
    },
    /// A file that was sealed by an earlier run is gone.
    #[error("sealed file {} is missing although its offsets count as delivered", path.display())]
    SealedFileMissing {
        /// The file.
        path: PathBuf,
    },
    /// A journal of sealed files cannot be understood.
    #[error("journal {} cannot be understood: {reason}", path.display())]
    JournalCorrupt {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record could not become a row and the sync was told to stop.
    #[error("record {topic}/{partition}@{offset} cannot become a row: {reason}")]
    BadRecord {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The run was cancelled.
    #[error("cancelled before the end")]
    Cancelled,
    /// The time allowed for the verb is over.
    #[error("{verb} took longer than {seconds} s; raise --timeout")]
    TimedOut {
        /// The verb.
        verb: &'static str,
        /// The limit, seconds.
        seconds: u64,
    },
    /// A part of kanat failed where it never should.
    #[error("internal fault: {reason}; please report it")]
    Internal {
        /// What was met.
        reason: String,
    },
}

impl Error {
    /// The stable code of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::FileUnreadable { .. } => Code::FileUnreadable,
            Self::FileNotJson { .. } => Code::FileNotJson,
            Self::MissingKey { .. } => Code::MissingKey,
            Self::WrongValue { .. } => Code::WrongValue,
            Self::ConflictingKeys { .. } => Code::ConflictingKeys,
            Self::NotSupported { .. } => Code::NotSupported,
            Self::Decryption { .. } => Code::Decryption,
            Self::FileUnwritable { .. } => Code::FileUnwritable,
            Self::MissingFlag { .. } => Code::MissingFlag,
            Self::NoValidStreams { .. } => Code::NoValidStreams,
            Self::NoStreamsFound { .. } => Code::NoStreamsFound,
            Self::SharedTable { .. } => Code::SharedTable,
            Self::BrokerUnreachable { .. } => Code::BrokerUnreachable,
            Self::TopicMissing { .. } => Code::TopicMissing,
            Self::GroupInUse { .. } => Code::GroupInUse,
            Self::OffsetsExpired { .. } => Code::OffsetsExpired,
            Self::TopicRecreated { .. } => Code::TopicRecreated,
            Self::CommittedAheadOfEnd { .. } => Code::CommittedAheadOfEnd,
            Self::Kafka { .. } => Code::Kafka,
            Self::DestinationUnwritable { .. } => Code::DestinationUnwritable,
            Self::Table { .. } => Code::Table,
            Self::SealedFileMissing { .. } => Code::SealedFileMissing,
            Self::JournalCorrupt { .. } => Code::JournalCorrupt,
            Self::BadRecord { .. } => Code::BadRecord,
            Self::Cancelled => Code::Cancelled,
            Self::TimedOut { .. } => Code::TimedOut,
            Self::Internal { .. } => Code::Internal,
        }
    }

    /// Exit code of a process that ends with this failure: [`EXIT_FAILURE`] or [`EXIT_OPERATOR`].
    pub fn exit_code(&self) -> u8 {
        if self.code().operator_must_act() { EXIT_OPERATOR } else { EXIT_FAILURE }
    }

    /// A failed request: `action` says what was asked, naming topic, partition or group.
    pub fn kafka(action: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Kafka { action: action.into(), source: source.into() }
    }

    /// A failure to write the table in `table`.
    pub fn table(table: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Table { table: table.into(), source: source.into() }
    }

    /// A file the verb produces could not be written.
    pub(crate) fn unwritable(path: &Path, source: io::Error) -> Self {
        Self::FileUnwritable { path: path.to_owned(), source }
    }

    /// A wrong value under `key` of `file`.
    pub(crate) fn wrong_value(file: &str, key: &str, reason: impl Into<String>) -> Self {
        Self::WrongValue { file: file.to_owned(), key: key.to_owned(), reason: reason.into() }
    }

    /// A setting this version cannot honour.
    pub(crate) fn not_supported(file: &str, key: &str, what: impl Into<String>) -> Self {
        Self::NotSupported { file: file.to_owned(), key: key.to_owned(), what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("KN-1"))
            .collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
        assert_eq!(pages, codes);
        for code in Code::ALL {
            let page = std::fs::read_to_string(folder.join(format!("{code}.md"))).unwrap();
            assert!(page.starts_with(&format!("# {code}: ")), "{code} opens with its number and a title");
            assert!(page.contains("## What happened") && page.contains("## What to change"), "{code} has both parts");
            let exit = if code.operator_must_act() { EXIT_OPERATOR } else { EXIT_FAILURE };
            assert!(page.contains(&format!("Exit code {exit}.")), "{code} names exit code {exit}");
        }
    }

    #[test]
    fn only_lost_positions_and_lost_files_ask_for_an_operator() {
        let operator: Vec<u16> =
            Code::ALL.iter().filter(|code| code.operator_must_act()).map(|code| code.number()).collect();
        assert_eq!(operator, [1204, 1205, 1206, 1303, 1304]);
        let error = Error::SealedFileMissing { path: "t/a.parquet".into() };
        assert_eq!((error.exit_code(), error.code().to_string().as_str()), (3, "KN-1303"));
        assert_eq!(Error::Cancelled.exit_code(), 1);
    }
}
