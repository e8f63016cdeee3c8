//! Who did what: one line of target `audit` per command, and per request that was refused for who sent it.

use std::fmt;
use std::net::SocketAddr;

use crate::ControlError;
use crate::command::{Command, Outcome};

/// The target of audit lines.
const AUDIT: &str = "audit";

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this host, as the kernel knows it.
    Local { uid: u32, gid: u32, pid: Option<i32> },
    /// Somebody over TCP.
    Remote {
        address: SocketAddr,
        /// Whom the client certificate is for, where one is asked for.
        certificate: Option<String>,
    },
}

impl Peer {
    /// What the peer has shown, beyond its address, for its commands to be carried out.
    fn proof(&self) -> Option<&str> {
        match self {
            Self::Local { .. } => None,
            Self::Remote { certificate, .. } => Some(certificate.as_deref().unwrap_or("token")),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid, gid, pid: Some(pid) } => write!(f, "uid={uid} gid={gid} pid={pid}"),
            Self::Local { uid, gid, pid: None } => write!(f, "uid={uid} gid={gid}"),
            Self::Remote { address, .. } => write!(f, "{address}"),
        }
    }
}

/// Writes that `peer` gave `command`, and how it ended.
///
/// What comes from the client is written as text, not as is: it is escaped and cannot forge a line.
pub(crate) fn command(peer: &Peer, command: &Command, outcome: &Result<Outcome, ControlError>) {
    let target = match command {
        Command::Drain(target) | Command::Undrain(target) | Command::SetWeight(target, _) => Some(target),
        Command::Plan | Command::Reload => None,
    };
    let weight = match command {
        Command::SetWeight(_, Some(weight)) => Some(weight.to_string()),
        Command::SetWeight(_, None) => Some("configured".to_owned()),
        Command::Drain(_) | Command::Undrain(_) | Command::Plan | Command::Reload => None,
    };
    let error = outcome.as_ref().err().map(ToString::to_string);
    tracing::info!(
        target: AUDIT,
        client = %peer,
        proof = peer.proof(),
        operation = command.name(),
        pool = target.map(|target| target.pool.as_str()),
        backend = target.and_then(|target| target.backend.as_deref()),
        weight,
        result = if outcome.is_ok() { "done" } else { "refused" },
        error,
        "command"
    );
}

/// Writes that something `peer` asked for was refused because of who asked.
pub(crate) fn denied(peer: &Peer, reason: &str) {
    tracing::info!(target: AUDIT, client = %peer, reason, "denied");
}
