//! Why a message is refused.

use std::fmt;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $fault:ident $label:literal $status:literal $message:literal,)*) => {
        /// What is wrong with a message. What is wrong first counts: more bytes do not change it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $fault,)*
        }

        impl Fault {
            /// All of them, in the order of a message's parts.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$fault),*];

            /// The name in metrics.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$fault => $label,)*
                }
            }

            /// The status with which a server refuses a request that has it. The connection has to be closed then:
            /// where the next request begins is not known. A response that has it is a bad gateway's (502) matter.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$fault => $status,)*
                }
            }

            const fn message(self) -> &'static str {
                match self {
                    $(Self::$fault => $message,)*
                }
            }
        }
    };
}

faults! {
    /// No method, or one with other characters than a token has (RFC 9110 §9.1).
    Method "method" 400
        "the request does not begin with a method and a space",
    /// A method longer than any that there is (RFC 9112 §3).
    MethodTooLong "method_too_long" 501
        "the method is too long",
    /// CONNECT, which is for forward proxies (RFC 9110 §9.3.6).
    Connect "connect" 501
        "CONNECT is not supported",
    /// A target with characters that it must not have, or without any (RFC 9112 §3.2).
    Target "target" 400
        "the request target is empty or has a character that must be percent-encoded",
    /// A target that is no path, no http or https URI and not `*` with OPTIONS.
    TargetForm "target_form" 400
        "the request target is not a path, an http or https URI, or, with OPTIONS, *",
    /// A target longer than the limit.
    TargetTooLong "target_too_long" 414
        "the request target is longer than the limit",
    /// No HTTP version where it should be.
    Version "version" 400
        "no HTTP version where one should be; expected HTTP/1.1 or HTTP/1.0",
    /// A version other than 1.1 and 1.0.
    VersionUnsupported "version_unsupported" 505
        "the HTTP version is not supported; expected HTTP/1.1 or HTTP/1.0",
    /// A status that is not three digits, or less than 100.
    Status "status" 400
        "the status is not a number from 100 to 999",
    /// Control characters in the reason phrase.
    Reason "reason" 400
        "the reason phrase has a control character",
    /// A CR without a LF behind it.
    BareCr "bare_cr" 400
        "a CR without LF",
    /// A LF without a CR before it.
    BareLf "bare_lf" 400
        "a LF without CR",
    /// White space at the start of a line: a folded field (RFC 9112 §5.2), or a line before the first (§2.2).
    Folded "folded" 400
        "a field line begins with white space",
    /// A name that is empty, has other characters than a token has, or no colon behind it (RFC 9110 §5.1).
    FieldName "field_name" 400
        "a field line does not begin with a name and a colon",
    /// White space behind the name, whether a colon follows or not (RFC 9112 §5.1).
    SpaceBeforeColon "space_before_colon" 400
        "white space behind a field's name, where its colon should be",
    /// NUL or another control character in a value (RFC 9110 §5.5).
    FieldValue "field_value" 400
        "a field's value has a control character",
    /// More fields than the limit.
    TooManyFields "too_many_fields" 431
        "there are more fields than the limit",
    /// More bytes than the limit.
    HeadTooLong "head_too_long" 431
        "the head is longer than the limit",
    /// HTTP/1.1 without `Host` (RFC 9112 §3.2).
    HostMissing "host_missing" 400
        "there is no Host field",
    /// More than one `Host`.
    HostRepeated "host_repeated" 400
        "there is more than one Host field",
    /// A `Host`, or a target's authority, that is no host with an optional port (RFC 9110 §7.2).
    Host "host" 400
        "the host is not a name or an address with an optional port",
    /// More options in `Connection` than anybody needs, or some that are no ASCII.
    ConnectionOptions "connection_options" 400
        "Connection has more than 32 options, or some that are not ASCII",
    /// A `Content-Length` that is no decimal number, or a list (RFC 9112 §6.3).
    ContentLength "content_length" 400
        "Content-Length is not one decimal number",
    /// More than one `Content-Length`, even with the same value.
    ContentLengthRepeated "content_length_repeated" 400
        "there is more than one Content-Length field",
    /// A `Transfer-Encoding` other than `chunked` (RFC 9112 §6.1).
    TransferEncoding "transfer_encoding" 400
        "Transfer-Encoding is something other than \"chunked\"",
    /// More than one `Transfer-Encoding`.
    TransferEncodingRepeated "transfer_encoding_repeated" 400
        "there is more than one Transfer-Encoding field",
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 §6.1).
    LengthAndTransferEncoding "length_and_transfer_encoding" 400
        "there are both Content-Length and Transfer-Encoding",
    /// `Transfer-Encoding` with HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingBefore11 "transfer_encoding_before_1_1" 400
        "Transfer-Encoding with HTTP/1.0",
    /// An informational response (1xx) that claims to have content.
    InformationalContent "informational_content" 400
        "an informational response claims to have content",
    /// A chunk's size that is no hexadecimal number (RFC 9112 §7.1).
    ChunkSize "chunk_size" 400
        "a chunk's size is not a hexadecimal number with CR LF or ; behind it",
    /// A chunk's size that is more than 64 bits hold.
    ChunkSizeTooLarge "chunk_size_too_large" 400
        "a chunk's size does not fit into 64 bits",
    /// Control characters in a chunk extension.
    ChunkExtension "chunk_extension" 400
        "a chunk extension has a control character",
    /// Chunk extensions longer than the limit (RFC 9112 §7.1.1).
    ChunkExtensionsTooLong "chunk_extensions_too_long" 400
        "the chunk extensions are longer than the limit",
    /// No CR LF behind a chunk's data.
    ChunkEnd "chunk_end" 400
        "no CR LF behind a chunk's data",
    /// The connection ended before the message.
    Truncated "truncated" 400
        "the connection was closed before the message had ended",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Bytes that are no message that Sluice accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (at byte {at})")]
pub struct ParseError {
    /// What is wrong.
    pub fault: Fault,
    /// Where it shows: the offset of the byte in the input that was parsed, or 0 if that byte came earlier. Where it is
    /// the whole head that is wrong, its length.
    pub at: usize,
}
