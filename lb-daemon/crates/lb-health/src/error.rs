//! Why a probe failed.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_model::StatusRanges;
use rustix::io::Errno;

/// Why a probe failed. The message is for people; [`label`](Self::label) is for metrics and scripts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The whole probe took longer than it may.
    #[error("{step} within {timeout:?}")]
    TimedOut {
        /// What was being waited for.
        step: Step,
        /// The timeout of the whole probe.
        timeout: Duration,
    },
    /// RST, or ICMP port unreachable.
    #[error("connection refused")]
    Refused,
    /// RST on an open connection.
    #[error("connection reset")]
    Reset,
    /// No way there, or something on the way said no.
    #[error("{0}")]
    Unreachable(io::ErrorKind),
    /// The backend closed the connection too early.
    #[error("connection closed before the answer was complete")]
    Closed,
    /// The certificate is not to be trusted.
    #[error("certificate {0}")]
    Certificate(String),
    /// The handshake, or TLS later on, failed otherwise.
    #[error("TLS: {0}")]
    Tls(String),
    /// The answer is not of the protocol.
    #[error("answer is no valid {protocol}: {error}")]
    Protocol {
        /// The protocol's name.
        protocol: &'static str,
        /// What its parser said.
        error: String,
    },
    /// HTTP: another status.
    #[error("status {got}, expected {expected}")]
    Status {
        /// The status.
        got: u16,
        /// Those that are good.
        expected: StatusRanges,
    },
    /// HTTP: not the body that was expected.
    #[error("body does not contain {0:?}")]
    Body(Arc<str>),
    /// UDP: not the answer that was expected.
    #[error("unexpected answer of {0} bytes")]
    Answer(usize),
    /// DNS: the server reports an error.
    #[error("answered {0}")]
    Rcode(String),
    /// DNS: the server has nothing of this name and type.
    #[error("answered without a record of that type")]
    NoRecord,
    /// Exec: the command says no.
    #[error("exit code {code}{output}")]
    Exit {
        /// The exit code, never 0.
        code: i32,
        /// The last line that the command printed.
        output: LastLine,
    },
    /// Exec: the command did not end by itself.
    #[error("killed by signal {signal}{output}")]
    Signal {
        /// The signal's number.
        signal: i32,
        /// The last line that the command printed.
        output: LastLine,
    },
    /// This host could not probe: no verdict on the backend.
    #[error("cannot probe: {0}")]
    Local(String),
}

impl ProbeError {
    /// A stable word for each kind.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Unreachable(_) => "unreachable",
            Self::Closed => "closed",
            Self::Certificate(_) => "certificate",
            Self::Tls(_) => "tls",
            Self::Protocol { .. } => "protocol",
            Self::Status { .. } => "status",
            Self::Body(_) => "body",
            Self::Answer(_) => "answer",
            Self::Rcode(_) => "rcode",
            Self::NoRecord => "no_record",
            Self::Exit { .. } => "exit",
            Self::Signal { .. } => "signal",
            Self::Local(_) => "local",
        }
    }

    /// Whether the fault is this host's, so that nothing is known of the backend.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// For a socket call that failed.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(
                Errno::MFILE
                | Errno::NFILE
                | Errno::NOBUFS
                | Errno::NOMEM
                | Errno::ADDRNOTAVAIL
                | Errno::AFNOSUPPORT
                | Errno::AGAIN,
            ) => return Self::Local(error.to_string()),
            Some(Errno::CONNREFUSED) => return Self::Refused,
            Some(Errno::CONNRESET | Errno::PIPE) => return Self::Reset,
            Some(_) | None => {}
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        Self::Unreachable(error.kind())
    }
}

/// What a probe waits for when its time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To be connected.
    Connect,
    /// The end of the TLS handshake.
    Handshake,
    /// The answer, or its head.
    Answer,
    /// The rest of the answer.
    Body,
    /// A command's exit.
    Exit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Handshake => "no TLS handshake",
            Self::Answer => "no answer",
            Self::Body => "no complete answer",
            Self::Exit => "command did not end",
        })
    }
}

/// The last line of a command's output, in printable characters, perhaps empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastLine(String);

impl LastLine {
    /// From the end of the output.
    pub(crate) fn of(output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(output);
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        Self(last.chars().filter(|c| !c.is_control()).collect())
    }
}

impl fmt::Display for LastLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}
