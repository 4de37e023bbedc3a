//! Options from the properties of a Java client: the same keys, the same values.
//!
//! ```text
//! text ── text::parse ──> JavaProperties ── rows of an area ──> draft ──> ClientOptions, ProducerOptions, ...
//! ```
//!
//! Every key Java's clients know is a row in one of the tables here. A row sets an option, has no effect for a reason,
//! or is refused for one; the table in `docs/client/security.md` is made of the same rows. Keys without a row are
//! reported by [`JavaProperties::unknown_keys`].

mod connection;
mod consumer;
mod producer;
mod row;
mod sasl;
mod security;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::collections::BTreeMap;

use self::row::{Described, Effect, Row, Value};
use crate::consumer::ConsumerOptions;
use crate::error::{Error, Result};
use crate::group::{GroupOptions, Subscription};
use crate::options::ClientOptions;
use crate::producer::ProducerOptions;
use crate::security::Secret;
use crate::transaction::TransactionalOptions;

/// Properties by the names Java's clients have for them, to make options of:
///
/// ```
/// use kanat_client::{ClientOptions, GroupOptions, JavaProperties, ProducerOptions};
///
/// # fn main() -> kanat_client::Result<()> {
/// let properties = JavaProperties::parse(
///     "bootstrap.servers=b1:9093,b2:9093
///      security.protocol=SASL_SSL
///      sasl.mechanism=PLAIN
///      sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
///          username='billing' password='secret';
///      group.id=billing
///      linger.ms=20",
/// )?;
/// for key in properties.unknown_keys() {
///     eprintln!("{key} is not a property of a Kafka client");
/// }
/// let client = ClientOptions::from_properties(&properties)?;
/// let producer = ProducerOptions::from_properties(&properties)?;
/// let group = GroupOptions::from_properties(&properties, ["orders"])?;
/// # assert_eq!((client.bootstrap.len(), producer.linger_ms, group.group_id.as_str()), (2, 20, "billing"));
/// # Ok(())
/// # }
/// ```
///
/// One set of properties may hold keys for clients of every kind; each kind of options takes its own. A key that is
/// absent leaves this crate's default, which is not always Java's. `Debug` shows keys only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JavaProperties {
    entries: BTreeMap<String, Secret>,
}

impl JavaProperties {
    /// Reads the text of a properties file: comments, `\` at the end of a line, escapes. The last of several lines
    /// with one key counts.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the number of the line that has a damaged escape.
    pub fn parse(text: &str) -> Result<JavaProperties> {
        let entries = text::parse(text).map_err(|reason| invalid("properties", reason))?;
        Ok(entries.into_iter().collect())
    }

    /// Keys that no kind of options takes and that mean nothing to Java's clients either, as far as this crate knows:
    /// most often misspelt, or of another product.
    pub fn unknown_keys(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).filter(|key| described().all(|row| row.key != *key)).collect()
    }

    /// Keys that Java's clients know and that change nothing here, and why.
    pub fn keys_without_effect(&self) -> Vec<(&str, &'static str)> {
        let nothing = described().filter(|row| !row.sets && !row.refused);
        nothing.filter_map(|row| Some((self.entries.get_key_value(row.key)?.0.as_str(), row.note))).collect()
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.entries.get(key).map(|value| Value(value.reveal().trim()))
    }

    /// The text of a key that `what` cannot do without.
    fn required(&self, key: &str, what: &str) -> Result<String> {
        self.get(key).and_then(Value::text).ok_or_else(|| invalid(key, format!("is missing: {what} needs it")))
    }

    /// Goes through the rows of an area.
    fn apply<D>(&self, rows: &[Row<D>], draft: &mut D) -> Result<()> {
        for row in rows {
            let Some(value) = self.get(row.key) else { continue };
            match row.effect {
                Effect::Sets(setter) => setter(draft, value).map_err(|reason| invalid(row.key, reason))?,
                Effect::Nothing => {}
                Effect::Refused if value.0.is_empty() => {}
                Effect::Refused => {
                    return Err(invalid(row.key, format!("{:?} is not supported: {}", value.0, row.note)));
                }
            }
        }
        Ok(())
    }
}

impl<K: Into<String>, V: Into<Secret>> FromIterator<(K, V)> for JavaProperties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        JavaProperties { entries: entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect() }
    }
}

impl<K: Into<String>, V: Into<Secret>> Extend<(K, V)> for JavaProperties {
    /// Later values of a key replace earlier ones.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.entries.extend(entries.into_iter().map(|(key, value)| (key.into(), value.into())));
    }
}

impl IntoIterator for JavaProperties {
    type Item = (String, Secret);
    type IntoIter = std::collections::btree_map::IntoIter<String, Secret>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl ClientOptions {
    /// Bootstrap addresses, time-outs, TLS and SASL of a Java client's properties.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the key and, unless it is secret, the value: a value out of range, or something
    /// this crate does not do, such as Kerberos or a JKS store.
    pub fn from_properties(properties: &JavaProperties) -> Result<ClientOptions> {
        let mut options = ClientOptions::default();
        properties.apply(connection::ROWS, &mut options)?;
        options.backoff.max_ms = options.backoff.max_ms.max(options.backoff.initial_ms);
        let mut draft = security::Draft::default();
        properties.apply(security::ROWS, &mut draft)?;
        options.security = draft.finish()?;
        Ok(options)
    }
}

impl ProducerOptions {
    /// Options of a Java producer's properties.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with key and value.
    pub fn from_properties(properties: &JavaProperties) -> Result<ProducerOptions> {
        let mut draft = producer::Draft::default();
        properties.apply(producer::ROWS, &mut draft)?;
        draft.finish()
    }
}

impl TransactionalOptions {
    /// Options of the properties of a Java producer that has a `transactional.id`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with key and value, also when `transactional.id` is missing.
    pub fn from_properties(properties: &JavaProperties) -> Result<TransactionalOptions> {
        let id = properties.required("transactional.id", "a transactional producer")?;
        let mut options = TransactionalOptions::new(id);
        properties.apply(producer::TRANSACTION_ROWS, &mut options)?;
        options.producer = ProducerOptions::from_properties(properties)?;
        Ok(options)
    }
}

impl ConsumerOptions {
    /// Options of the properties of a Java consumer that assigns its partitions itself.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with key and value.
    pub fn from_properties(properties: &JavaProperties) -> Result<ConsumerOptions> {
        let mut draft = consumer::Draft::default();
        properties.apply(consumer::ROWS, &mut draft)?;
        Ok(draft.options)
    }
}

impl GroupOptions {
    /// Options of the properties of a Java consumer that subscribes.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with key and value, also when `group.id` is missing.
    pub fn from_properties(properties: &JavaProperties, subscription: impl Into<Subscription>) -> Result<GroupOptions> {
        let group_id = properties.required("group.id", "a group consumer")?;
        let mut consumer = consumer::Draft::default();
        properties.apply(consumer::ROWS, &mut consumer)?;
        let mut group = consumer::GroupDraft::new(GroupOptions::new(group_id, subscription));
        properties.apply(consumer::GROUP_ROWS, &mut group)?;
        Ok(group.finish(consumer))
    }
}

/// Every row, in the order of the documentation.
fn described() -> impl Iterator<Item = Described> {
    let connection = connection::ROWS.iter().map(Row::describe);
    let security = security::ROWS.iter().map(Row::describe);
    let producer = producer::ROWS.iter().map(Row::describe);
    let transaction = producer::TRANSACTION_ROWS.iter().map(Row::describe);
    let consumer = consumer::ROWS.iter().map(Row::describe);
    let group = consumer::GROUP_ROWS.iter().map(Row::describe);
    connection.chain(security).chain(producer).chain(transaction).chain(consumer).chain(group)
}

fn invalid(key: &str, reason: impl Into<String>) -> Error {
    Error::InvalidOption { option: key.to_owned(), reason: reason.into() }
}
