//! Why names do not resolve.

use std::sync::Arc;
use std::time::Duration;

/// A question that has no answer to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{record} of {name}: {reason}")]
pub struct LookupError {
    /// The records that were asked for: `A`, `AAAA` or `SRV`; `all records` after a bug.
    pub record: &'static str,
    /// The name that was asked for.
    pub name: Arc<str>,
    /// What came instead of an answer.
    pub reason: NoAnswer,
}

/// What comes instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The name does not exist.
    #[error("there is no such name (NXDOMAIN)")]
    NoSuchName,
    /// The name exists, but has no record of this type, or none with an address and port that one can connect to.
    #[error("the name has no such record (NODATA)")]
    NoRecord,
    /// The service is said not to be available: an SRV record with the target "." (RFC 2782).
    #[error("the service is declared not available (its target is \".\")")]
    NotAvailable,
    /// The name server reports an error, for example SERVFAIL or REFUSED.
    #[error("the name server answered {0}")]
    Rcode(String),
    /// The name server wants us to ask others: it does not resolve names for clients.
    #[error("the name server only refers to others; expected one that resolves names (a recursive one)")]
    Referral,
    /// Aliases (CNAME) lead to aliases, without end.
    #[error("the name is an alias of an alias of an alias: gave up after {0}")]
    TooManyAliases(u8),
    /// Silence.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The question could not be asked, or the reply was no DNS.
    #[error("{0}")]
    Exchange(String),
}

impl NoAnswer {
    /// Whether this is the answer: that there is nothing.
    pub(crate) fn is_negative(&self) -> bool {
        match self {
            Self::NoSuchName | Self::NoRecord | Self::NotAvailable => true,
            Self::Rcode(_)
            | Self::Referral
            | Self::TooManyAliases(_)
            | Self::Timeout(_)
            | Self::Exchange(_) => false,
        }
    }
}
