//! The HTTP data path: what a request goes through from a client to a backend and back.
//!
//! A [`Gateway`] is registered with lb-net's workers as the service of an HTTP listener. Top-down: `service` takes a
//! connection, `conn` waits for its requests (all that an idle connection is), `exchange` is one request and its
//! response, and `pipeline` the phases it goes through, in one function. `route`, `filter`, `forwarded`, `upstream`,
//! `conversation` and `upgrade` are those phases; `refusal` is what clients get instead of a response.
//!
//! A lent chunk of a body lives for one call (ADR 15), nothing borrows across a connection and its request's future
//! (ADR 14), and a filter's step does not wait (ADR 16).
#![forbid(unsafe_code)]

mod access_log;
mod body;
mod client;
mod conn;
mod conversation;
mod exchange;
mod failure;
pub mod filter;
mod forwarded;
mod local;
mod message;
mod patience;
mod pipeline;
mod record;
mod recycled;
mod refusal;
mod request_id;
mod route;
mod service;
mod stock;
mod terms;
mod unread;
mod upgrade;
mod upstream;

pub use service::Gateway;
