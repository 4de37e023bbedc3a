//! Who may connect: TLS and SASL of the listeners, and the SCRAM users.
//!
//! [`ListenerSecurity`] says what the listeners of all nodes want. A stream is encrypted by [`tls`] before the first
//! frame; [`Session`] keeps, per connection, how far the SASL exchange has come, which requests are let through, and
//! whose they are; [`ScramStore`] holds what admin requests change.

mod distinguished_name;
mod handlers;
mod mechanism;
mod options;
mod scram;
mod session;
mod store;
pub(crate) mod tls;

pub(crate) use self::distinguished_name::subject as certificate_subject;
pub use self::options::ListenerSecurity;
pub(crate) use self::scram::{ScramCredential, ScramHash};
pub(crate) use self::session::{ANONYMOUS, Session};
pub(crate) use self::store::ScramStore;
