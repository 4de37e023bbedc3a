//! Requests and responses as frames.
//!
//! On the socket a frame is a four-byte length and that many bytes. Encoding returns the whole frame, length included,
//! in one exact allocation. For decoding, the caller reads the length, checks it against its own bound, and hands over
//! the bytes behind it: first the header comes off, then [`decode_body`] turns the rest into a message once it is known
//! which one it is. Bodies and the record batches in them share the frame's memory.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::layout::{Body, versions};
use crate::messages::{ApiKey, Encodable, HeaderVersion, Message, Request, StrBytes};
use crate::version::VersionRange;
use crate::wire::{Fault, Reader};

/// Bytes of the length in front of every frame.
pub const LENGTH_BYTES: usize = 4;

/// A request whose header has been read and whose body has not.
#[derive(Debug, Clone)]
pub struct RequestFrame {
    /// API of the request.
    pub api_key: ApiKey,
    /// Version of the request; not checked against what this crate supports.
    pub api_version: i16,
    /// Number to be repeated in the response.
    pub correlation_id: i32,
    /// Name the client gives itself.
    pub client_id: Option<StrBytes>,
    /// The encoded request, for [`decode_body`].
    pub body: Bytes,
}

/// Encodes a request: length, header and body, ready for the socket.
///
/// # Errors
/// [`Error::UnsupportedVersion`] if the message has no such version; [`Error::Encode`] if a field is set that the
/// version cannot carry, if a text is too long, or if the frame would pass 2 GiB.
pub fn encode_request<R: Request>(version: i16, correlation_id: i32, client_id: &str, request: &R) -> Result<Bytes> {
    check_version::<R>(R::API_KEY, version)?;
    let failed = |reason: String| Error::Encode { context: context::<R>(version), reason };
    let client_id_len = i16::try_from(client_id.len()).map_err(|_| failed("client id is too long".to_owned()))?;
    let flexible = R::header_version(version) >= 2;
    let len = request_len(version, client_id, request)?;
    let mut frame = start_frame(len).map_err(failed)?;
    frame.put_i16(R::KEY);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(client_id_len);
    frame.put_slice(client_id.as_bytes());
    if flexible {
        frame.put_u8(0);
    }
    request.encode(&mut frame, version).map_err(|error| failed(error.to_string()))?;
    finish_frame(frame, len).map_err(failed)
}

/// Bytes of the frame that [`encode_request`] makes, length included.
///
/// # Errors
/// [`Error::Encode`] if a field is set that the version cannot carry.
pub fn request_bytes<R: Request>(version: i16, client_id: &str, request: &R) -> Result<usize> {
    Ok(LENGTH_BYTES + request_len(version, client_id, request)?)
}

/// Bytes behind the length of a request's frame.
fn request_len<R: Request>(version: i16, client_id: &str, request: &R) -> Result<usize> {
    let failed = |reason: String| Error::Encode { context: context::<R>(version), reason };
    let body_len = request.compute_size(version).map_err(|error| failed(error.to_string()))?;
    let flexible = R::header_version(version) >= 2;
    Ok(2 + 2 + 4 + 2 + client_id.len() + usize::from(flexible) + body_len)
}

/// Reads the header of a request from a frame without its length.
///
/// The version is not judged here, since a broker must answer an `ApiVersions` request of any version.
///
/// # Errors
/// [`Error::UnknownApiKey`] for an API this crate has no messages for, [`Error::MalformedFrame`] for a cut-off header,
/// [`Error::Decode`] for a client id that is not UTF-8.
pub fn decode_request_header(frame: Bytes) -> Result<RequestFrame> {
    const CONTEXT: &str = "request header";
    let mut reader = Reader::new(&frame);
    let mut fields = || {
        let api_key = reader.i16("api key")?;
        let api_version = reader.i16("api version")?;
        Ok((api_key, api_version, reader.i32("correlation id")?))
    };
    let (api_key, api_version, correlation_id) = fields().map_err(|fault| malformed(CONTEXT, 0, fault))?;
    let api_key = ApiKey::try_from(api_key).map_err(|_| Error::UnknownApiKey(api_key))?;

    let mut rest = || {
        let len = reader.i16("client id")?;
        let start = reader.position();
        if len >= 0 {
            reader.skip(usize::from(len.unsigned_abs()), "client id")?;
        }
        let client_id = (len >= 0).then(|| start..reader.position());
        if api_key.request_header_version(api_version) >= 2 {
            reader.skip_tagged_fields()?;
        }
        Ok((client_id, reader.position()))
    };
    let (client_id, end) = rest().map_err(|fault| malformed(CONTEXT, 0, fault))?;
    let client_id = client_id.map(|range| StrBytes::from_utf8(frame.slice(range))).transpose();
    let client_id =
        client_id.map_err(|error| Error::Decode { context: CONTEXT.to_owned(), reason: error.to_string() })?;
    Ok(RequestFrame { api_key, api_version, correlation_id, client_id, body: frame.slice(end..) })
}

/// Encodes a response: length, header and body, ready for the socket.
///
/// # Errors
/// As [`encode_request`].
pub fn encode_response<M>(version: i16, correlation_id: i32, response: &M) -> Result<Bytes>
where
    M: Body + Encodable + HeaderVersion,
{
    check_version::<M>(M::API_KEY, version)?;
    let failed = |reason: String| Error::Encode { context: context::<M>(version), reason };
    let flexible = M::header_version(version) >= 1;
    let body_len = response.compute_size(version).map_err(|error| failed(error.to_string()))?;
    let header_len = 4 + usize::from(flexible);
    let mut frame = start_frame(header_len + body_len).map_err(failed)?;
    frame.put_i32(correlation_id);
    if flexible {
        frame.put_u8(0);
    }
    response.encode(&mut frame, version).map_err(|error| failed(error.to_string()))?;
    finish_frame(frame, header_len + body_len).map_err(failed)
}

/// Reads the header of a response from a frame without its length; returns the correlation id and the body.
///
/// `version` is that of the request. `ApiVersions` responses have the oldest header in every version, so that a client
/// can read the answer to a version the broker does not know.
///
/// # Errors
/// [`Error::MalformedFrame`] for a cut-off header.
pub fn decode_response_header(frame: Bytes, api_key: ApiKey, version: i16) -> Result<(i32, Bytes)> {
    let mut reader = Reader::new(&frame);
    let mut fields = || {
        let correlation_id = reader.i32("correlation id")?;
        if api_key.response_header_version(version) >= 1 {
            reader.skip_tagged_fields()?;
        }
        Ok(correlation_id)
    };
    let correlation_id = fields().map_err(|fault| malformed("response header", 0, fault))?;
    let end = reader.position();
    Ok((correlation_id, frame.slice(end..)))
}

/// Decodes the body of a request or response.
///
/// The body is walked along the message's layout before anything is allocated, so memory stays within a constant times
/// the body's length whatever lengths it claims. Bytes and text fields share the body's memory.
///
/// # Errors
/// [`Error::UnsupportedVersion`] if the message has no such version, [`Error::MalformedFrame`] if the body does not
/// follow the layout or is longer than the message, [`Error::Decode`] if the message library refuses a value.
pub fn decode_body<M: Body>(api_key: ApiKey, version: i16, body: Bytes) -> Result<M> {
    let failed = |reason: String| Error::Decode { context: context::<M>(version), reason };
    if api_key != M::API_KEY {
        return Err(failed(format!("it is not a message of {api_key:?}")));
    }
    check_version::<M>(api_key, version)?;
    M::check_layout(version, &body)?;
    let mut rest = body;
    let message = M::decode(&mut rest, version).map_err(|error| failed(error.to_string()))?;
    if rest.is_empty() { Ok(message) } else { Err(failed(format!("{} bytes are left over", rest.len()))) }
}

fn check_version<M: Message>(api_key: ApiKey, version: i16) -> Result<()> {
    let supported: VersionRange = versions::<M>();
    if supported.contains(version) { Ok(()) } else { Err(Error::UnsupportedVersion { api_key, version, supported }) }
}

fn context<M: Body>(version: i16) -> String {
    format!("{} v{version}", M::NAME)
}

fn malformed(context: &str, position: usize, fault: Fault) -> Error {
    Error::MalformedFrame { context: context.to_owned(), what: fault.what, position, reason: fault.reason }
}

/// A buffer of exactly the right size that begins with the frame's length.
fn start_frame(len: usize) -> std::result::Result<BytesMut, String> {
    let prefix = i32::try_from(len).map_err(|_| format!("frame of {len} bytes is longer than 2 GiB"))?;
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + len);
    frame.put_i32(prefix);
    Ok(frame)
}

fn finish_frame(frame: BytesMut, len: usize) -> std::result::Result<Bytes, String> {
    if frame.len() == LENGTH_BYTES + len {
        Ok(frame.freeze())
    } else {
        Err(format!("the message took {} bytes instead of {len}", frame.len() - LENGTH_BYTES))
    }
}

#[cfg(test)]
mod tests;
