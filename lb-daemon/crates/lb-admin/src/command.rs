//! What changes something: the commands, and the one task that carries them out.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::audit::{self, Peer};
use crate::{Backend, Control, ControlError, Plan, Reloaded};

/// Whom a command is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The name of the pool.
    pub pool: String,
    /// The name of the backend; absent or null for all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// A weight to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["pool", "weight"]))]
pub struct NewWeight {
    /// The name of the pool.
    pub pool: String,
    /// The name of the backend; absent or null for all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The share of new connections in proportion to the others' weights, 0 for none; null for the configured one.
    // With a function of its own it has to be there: who forgets it must not reset anything.
    #[serde(deserialize_with = "Option::deserialize")]
    pub weight: Option<u16>,
}

/// A command without settings: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The backends that a command was for, as they are after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The name of their pool.
    pub pool: String,
    /// The backends. `connections` is what a drain still has to wait for.
    pub backends: Vec<Backend>,
    /// Whether the change survives a restart.
    pub persisted: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Drain(Target),
    Undrain(Target),
    SetWeight(Target, Option<u16>),
    Plan,
    Reload,
}

/// What has become of a command.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Changed(Changed),
    Plan(Plan),
    Reloaded(Reloaded),
}

impl Command {
    /// As the API's paths have it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Drain(_) => "drain",
            Self::Undrain(_) => "undrain",
            Self::SetWeight(..) => "weight",
            Self::Plan => "plan",
            Self::Reload => "reload",
        }
    }

    async fn run(self, control: &impl Control) -> Result<Outcome, ControlError> {
        match self {
            Self::Drain(target) => control.drain(target).await.map(Outcome::Changed),
            Self::Undrain(target) => control.undrain(target).await.map(Outcome::Changed),
            Self::SetWeight(target, weight) => control.set_weight(target, weight).await.map(Outcome::Changed),
            Self::Plan => control.plan().await.map(Outcome::Plan),
            Self::Reload => control.reload().await.map(Outcome::Reloaded).map_err(old_one_stays),
        }
    }
}

fn old_one_stays(error: ControlError) -> ControlError {
    match error {
        ControlError::Refused(errors) => {
            ControlError::Refused(format!("{errors}\n\nthe old configuration stays"))
        }
        ControlError::Failed(error) => ControlError::Failed(format!("{error}; the old configuration stays")),
        other @ (ControlError::NotFound(_) | ControlError::Invalid(_) | ControlError::Busy) => other,
    }
}

/// Most commands that wait for their turn.
pub(crate) const QUEUE: usize = 16;

/// Where commands are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Commands(mpsc::Sender<Order>);

/// The queue's other end.
#[derive(Debug)]
pub(crate) struct Orders(mpsc::Receiver<Order>);

#[derive(Debug)]
struct Order {
    command: Command,
    peer: Arc<Peer>,
    done: oneshot::Sender<Result<Outcome, ControlError>>,
}

/// A queue for commands.
pub(crate) fn queue() -> (Commands, Orders) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Commands(sender), Orders(receiver))
}

impl Commands {
    /// Has a command carried out. It is, even if the caller does not wait for the result.
    pub(crate) async fn run(&self, command: Command, peer: Arc<Peer>) -> Result<Outcome, ControlError> {
        let (done, outcome) = oneshot::channel();
        self.0.try_send(Order { command, peer, done }).map_err(|_full| ControlError::Busy)?;
        outcome.await.map_err(|_gone| ControlError::Failed("the process is ending".into()))?
    }
}

impl Orders {
    /// Carries commands out, one after the other, and writes an audit line for each; until nobody can hand in any more.
    ///
    /// A task of its own, so that a client that hangs up cuts no command short.
    pub(crate) async fn carry_out(mut self, control: &impl Control) {
        while let Some(Order { command, peer, done }) = self.0.recv().await {
            let outcome = command.clone().run(control).await;
            audit::command(&peer, &command, &outcome);
            // Nobody waits for it any more, perhaps.
            let _ = done.send(outcome);
        }
    }
}
