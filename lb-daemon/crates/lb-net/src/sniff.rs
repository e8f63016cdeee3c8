//! What the first bytes of a connection say: a [PROXY protocol header](proxy_protocol), a [TLS
//! ClientHello](client_hello).
//!
//! Pure: bytes in, verdict out. Every parser takes all bytes that have come so far, however they were cut into
//! segments and whatever follows; it keeps nothing between calls. A verdict depends on nothing but the bytes up to
//! its length: what is [done](Progress::Done) or invalid stays so with any bytes more.
#![forbid(unsafe_code)]

pub mod alert;
pub mod client_hello;
pub mod proxy_protocol;
mod reader;

/// How far a parser got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// All bytes so far make a good beginning.
    NeedMore {
        /// The parser will not look at more bytes than so many, counted from the first; always more than there are
        /// now.
        at_most: usize,
    },
    /// It is whole.
    Done {
        /// What it says.
        value: T,
        /// How many bytes it takes, counted from the first. Those behind it are something else.
        length: usize,
    },
}
