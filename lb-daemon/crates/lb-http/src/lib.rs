//! HTTP/1.1 on the wire (RFC 9112; fields and semantics RFC 9110): heads, their framing, and bodies.
//!
//! Sans-IO: bytes in, bytes out. It reads no socket and no clock, allocates nothing for a message once its buffers have
//! grown, and holds no policy: which limits apply, what is routed where and which fields are added is its callers'
//! business.
//!
//! **Strict.** What two parsers could read differently is refused, so that nobody in front of Sluice or behind it can be
//! led to see another message than Sluice does. What is written is canonical, whatever was read: `HTTP/1.1`, one
//! space behind the colon, CR LF, and exactly one field, or none, that says where the body ends.
//!
//! A message, top-down:
//! 1. [`RequestHead::parse`] or [`ResponseHead::parse`]: the start line (`request`, `response`), its target (`target`,
//!    `authority`), the field lines (`cursor`, `fields`), then what they mean: `host`, `connection`, and [`Framing`].
//! 2. [`BodyDecoder`] finds the content in the bytes that follow.
//! 3. [`RequestHead::write`] or [`ResponseHead::write`], with the fields as they were edited, and a [`BodyEncoder`] for
//!    what follows.
//!
//! ```
//! use lb_http::{Framing, HeadLimits, KnownField, Parsed, RequestHead};
//!
//! let limits = HeadLimits { bytes: 16 * 1024, target: 8 * 1024, fields: 100 };
//! let mut head = RequestHead::new();
//! let input = b"GET /a HTTP/1.1\r\nhost:example.com\r\nConnection: close\r\n\r\n";
//! assert_eq!(head.parse(&input[..20], &limits)?, Parsed::Partial);
//! assert_eq!(head.parse(input, &limits)?, Parsed::Complete { length: input.len() });
//! assert_eq!(head.framing(), Framing::None);
//!
//! head.fields_mut().remove_hop_by_hop();
//! head.fields_mut().set(KnownField::XForwardedFor, b"192.0.2.1")?;
//! let mut out = Vec::new();
//! head.write(head.framing(), &mut out);
//! assert_eq!(out, b"GET /a HTTP/1.1\r\nhost: example.com\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod arena;
mod authority;
mod chunks;
mod connection;
mod cursor;
mod decimal;
mod decoder;
mod encoder;
mod fault;
mod fields;
mod framing;
mod grammar;
mod known;
mod method;
mod progress;
mod request;
mod response;
mod status;
mod target;
mod trailers;
mod version;

pub use authority::Authority;
pub use connection::Persistence;
pub use decoder::{BodyDecoder, BodyLimits, Decoded};
pub use encoder::{BodyEncoder, EncodeError, Frame};
pub use fault::{Fault, ParseError};
pub use fields::{EditError, Field, Fields, Name};
pub use framing::Framing;
pub use grammar::{is_field_name, is_field_value};
pub use known::KnownField;
pub use method::Method;
pub use progress::{HeadLimits, Parsed};
pub use request::{Expectation, RequestHead};
pub use response::ResponseHead;
pub use status::reason_phrase;
pub use target::Scheme;
pub use version::Version;

#[cfg(test)]
mod tests;
