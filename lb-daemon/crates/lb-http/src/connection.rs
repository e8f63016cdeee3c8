//! What holds for one connection only, not for the message: `Connection` and the fields that it names (RFC 9110 §7.6.1,
//! RFC 9112 §9).

use crate::fault::Fault;
use crate::fields::Fields;
use crate::known::{KnownField, KnownFields};
use crate::version::Version;

/// Whether the connection may be used again after the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// The sender is ready for more.
    KeepAlive,
    /// It is not, or where a next message would begin is not known.
    Close,
}

/// The options in `Connection` that have a meaning of their own. All others are names of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

/// Fields that are for the next hop only, whether `Connection` names them or not.
const HOP_BY_HOP: KnownFields = KnownFields::of(&[
    KnownField::Connection,
    KnownField::KeepAlive,
    KnownField::ProxyConnection,
    KnownField::Te,
    KnownField::TransferEncoding,
    KnownField::Upgrade,
]);

/// Fields that no `Connection` can take away, as the message would become another without them.
const END_TO_END: KnownFields = KnownFields::of(&[KnownField::Host, KnownField::ContentLength]);

/// So many options are enough: each is looked for among all fields.
const MOST_OPTIONS: usize = 32;

impl ConnectionOptions {
    /// What is no token is no option that anybody knows, and no name of a field either: it says nothing. But some do not
    /// read a value at all that is not ASCII.
    pub(crate) fn of(fields: &Fields) -> Result<Self, Fault> {
        let mut options = Self::default();
        for (before, option) in fields.elements(KnownField::Connection).enumerate() {
            if before == MOST_OPTIONS || !option.is_ascii() {
                return Err(Fault::ConnectionOptions);
            }
            options.close |= option.eq_ignore_ascii_case(b"close");
            options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            options.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(options)
    }

    /// RFC 9112 §9.3.
    pub(crate) fn persistence(self, version: Version) -> Persistence {
        let is_persistent = !self.close && (version >= Version::Http11 || self.keep_alive);
        if is_persistent { Persistence::KeepAlive } else { Persistence::Close }
    }

    /// Whether the sender asks for another protocol, or agrees to one (RFC 9110 §7.8).
    pub(crate) fn upgrades(self, version: Version) -> bool {
        self.upgrade && version >= Version::Http11
    }
}

impl Fields {
    /// Removes the fields that are for this hop only: `Connection`, those that it names, and `Keep-Alive`,
    /// `Proxy-Connection`, `TE`, `Transfer-Encoding` and `Upgrade` (RFC 9110 §7.6.1). `Host` and `Content-Length` stay,
    /// whatever `Connection` says.
    pub fn remove_hop_by_hop(&mut self) {
        if self.known().intersects(HOP_BY_HOP) {
            self.remove_listed(KnownField::Connection, HOP_BY_HOP, END_TO_END);
        }
    }
}
