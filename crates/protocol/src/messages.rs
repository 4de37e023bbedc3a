//! The message structs, behind one name.
//!
//! Structs, API keys and version tables come from the `kafka-protocol` crate. Every other crate of the workspace uses
//! them through this module only, so that they can be replaced in one place.

pub use kafka_protocol::messages::*;
pub use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};
pub use uuid::Uuid;

pub use crate::layout::Body;

/// A request whose response, like itself, has a known layout and can be decoded by [`crate::frame::decode_body`].
///
/// It is implemented for every request of this module. `KEY`, `VERSIONS` and `Response` come from its supertraits.
pub trait Request: kafka_protocol::protocol::Request<Response: Body> + Body {}

impl<R> Request for R
where
    R: kafka_protocol::protocol::Request + Body,
    R::Response: Body,
{
}
