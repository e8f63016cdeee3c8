//! TLS alerts: what a client that is turned away before any handshake is told.

/// Why a TLS client is turned away. All of these are fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alert {
    /// It sent something that is not due now.
    UnexpectedMessage,
    /// It sent a record that is longer than records may be.
    RecordOverflow,
    /// A field has a value that it must not have.
    IllegalParameter,
    /// A message cannot be taken apart.
    DecodeError,
    /// It speaks no version that is served.
    ProtocolVersion,
    /// The name that it asked for is not served (RFC 6066 §3).
    UnrecognizedName,
    /// None of the protocols that it offered is served (RFC 7301 §3.2).
    NoApplicationProtocol,
}

impl Alert {
    /// The number that stands for it (RFC 8446 §6).
    pub fn code(self) -> u8 {
        match self {
            Self::UnexpectedMessage => 10,
            Self::RecordOverflow => 22,
            Self::IllegalParameter => 47,
            Self::DecodeError => 50,
            Self::ProtocolVersion => 70,
            Self::UnrecognizedName => 112,
            Self::NoApplicationProtocol => 120,
        }
    }

    /// The alert as a record to send before closing. Its version is TLS 1.2's, as all versions since write it;
    /// earlier ones take it too, as long as none has been agreed on.
    pub fn encode(self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        [ALERT, 3, 3, 0, 2, FATAL, self.code()]
    }
}
