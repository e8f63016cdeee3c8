//! The admin API: commands in, state out.
//!
//! [`Server`] serves the API on a unix socket, and over TCP where that is configured; [`Client`] asks it; [`render`] shows
//! its answers on a terminal. All of it ends at [`Control`], which the daemon implements: nothing here knows a data plane.
//!
//! `route.rs` has the table of everything that can be asked. The router and the OpenAPI document are made from it, and
//! the answers are an exhaustive match over it, so that what is documented is what is served.
#![forbid(unsafe_code)]

mod api;
mod audit;
mod client;
mod command;
mod control;
mod error;
mod openapi;
mod plan;
pub mod render;
mod route;
mod server;
mod status;

#[cfg(test)]
mod fake;

pub use client::{Client, ClientError};
pub use command::{Changed, NewWeight, Nothing, Target};
pub use control::{Control, ControlError};
pub use error::{ErrorAnswer, ErrorBody, ErrorCode};
pub use openapi::openapi_json;
pub use plan::{Change, ChangeKind, Plan, PoolChange, Reloaded};
pub use server::{BindError, Server, socket_path};
pub use status::{
    Backend, BackendState, Discovery, Health, HealthStatus, LastReload, Listener, Override, OverrideOf,
    Overrides, Pool, Readiness, Status,
};
