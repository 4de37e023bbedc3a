//! Transforms that choose the topic.

use super::options::{self, Options, valid_regex};
use super::{Parts, Transformation, Verdict};
use crate::config::{ConfigDef, ConfigType, Importance, Properties};
use crate::error::{Error, Result};
use crate::java::{DateFormat, JavaRegex, Replacement};
use crate::record::Record;

/// `RegexRouter`: renames topics by a regular expression.
#[derive(Debug)]
pub(super) struct RegexRouter {
    regex: JavaRegex,
    replacement: Replacement,
    /// The last topic that was routed, and where to: topics repeat.
    last: Option<(crate::data::Text, crate::data::Text)>,
}

impl RegexRouter {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Regular expression that the whole topic must fit; others stay.";
        let regex = options::required("regex", ConfigType::String, Importance::High, documentation);
        let documentation = "What the topic becomes; $1 stands for the first group.";
        let replacement = options::required("replacement", ConfigType::String, Importance::High, documentation);
        ConfigDef::new().define(regex.validated(valid_regex())).define(replacement)
    }

    pub(super) fn build(config: &Properties) -> Result<RegexRouter> {
        let options = Options::parse(&RegexRouter::config_def(), config)?;
        let pattern = options.required("regex")?;
        let regex = JavaRegex::new(pattern).map_err(|problem| Error::config_value("regex", pattern, &problem))?;
        Ok(RegexRouter { regex, replacement: Replacement::new(options.required("replacement")?), last: None })
    }
}

impl Transformation for RegexRouter {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        if let Some((_, to)) = self.last.as_ref().filter(|(from, _)| *from == record.topic) {
            record.topic = to.clone();
            return Ok(Verdict::Keep);
        }
        let mut to = record.topic.clone();
        if self.regex.matches(&record.topic)?
            && let Some(replaced) = self.regex.replace_first(&record.topic, &self.replacement)?
        {
            to = replaced.into();
        }
        self.last = Some((record.topic.clone(), to.clone()));
        record.topic = to;
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        Parts::NONE
    }
}

/// `TimestampRouter`: puts the time of the record into the name of the topic.
#[derive(Debug)]
pub(super) struct TimestampRouter {
    topic_format: String,
    timestamp_format: DateFormat,
}

impl TimestampRouter {
    pub(super) fn config_def() -> ConfigDef {
        let documentation = "Name of the topic; ${topic} and ${timestamp} stand for the old name and the time.";
        let topic = options::text("topic.format", Some("${topic}-${timestamp}"), Importance::High, documentation);
        let documentation = "How the time is written, in UTC, in the syntax of Java's SimpleDateFormat.";
        let timestamp = options::text("timestamp.format", Some("yyyyMMdd"), Importance::High, documentation);
        ConfigDef::new().define(topic).define(timestamp)
    }

    pub(super) fn build(config: &Properties) -> Result<TimestampRouter> {
        let options = Options::parse(&TimestampRouter::config_def(), config)?;
        let timestamp_format = DateFormat::new(options.required("timestamp.format")?).map_err(Error::Argument)?;
        Ok(TimestampRouter { topic_format: options.required("topic.format")?.to_owned(), timestamp_format })
    }
}

impl Transformation for TimestampRouter {
    fn apply(&mut self, record: &mut Record) -> Result<Verdict> {
        let Some(timestamp) = record.timestamp else {
            return Err(Error::data(format!("Timestamp missing on record: {record}")));
        };
        let topic = self.topic_format.replace("${topic}", &record.topic);
        record.topic = topic.replace("${timestamp}", &self.timestamp_format.format(timestamp)).into();
        Ok(Verdict::Keep)
    }

    fn parts(&self) -> Parts {
        Parts::NONE
    }
}
