//! What the daemon does for the API.

use crate::{Changed, Plan, Readiness, Reloaded, Status, Target};

/// The process, as the API sees it.
///
/// What reads is called often and from several tasks at once, and must not block for long. What changes is called by one
/// task, one call after the other, and never abandoned half way.
pub trait Control: Send + Sync + 'static {
    /// What there is to know.
    fn status(&self) -> Status;

    /// The metrics, in the text format of Prometheus (0.0.4).
    fn metrics(&self) -> String;

    /// Whether the process takes connections.
    fn readiness(&self) -> Readiness;

    /// Gives the target's backends no new connections.
    fn drain(&self, target: Target) -> impl Future<Output = Result<Changed, ControlError>> + Send;

    /// Gives the target's backends new connections again.
    fn undrain(&self, target: Target) -> impl Future<Output = Result<Changed, ControlError>> + Send;

    /// Sets the weight of the target's backends; `None` is the configured one.
    fn set_weight(
        &self,
        target: Target,
        weight: Option<u16>,
    ) -> impl Future<Output = Result<Changed, ControlError>> + Send;

    /// Compares the configuration in force with the files.
    fn plan(&self) -> impl Future<Output = Result<Plan, ControlError>> + Send;

    /// Puts the files' configuration in force.
    fn reload(&self) -> impl Future<Output = Result<Reloaded, ControlError>> + Send;
}

/// Why a command was not carried out. The texts are for the one who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such pool or backend.
    #[error("{0}")]
    NotFound(String),
    /// The command makes no sense for its target.
    #[error("{0}")]
    Invalid(String),
    /// The configuration has errors: these, one or more lines each.
    #[error("{0}")]
    Refused(String),
    /// Another command is being carried out.
    #[error("another command is being carried out; try again")]
    Busy,
    /// Something else went wrong.
    #[error("{0}")]
    Failed(String),
}
