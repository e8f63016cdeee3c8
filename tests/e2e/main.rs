//! End-to-end tests: what a user of the daemon would notice, with real sockets and four workers.
//!
//! One binary, a module per topic. Every test makes its own backends, addresses and daemon, so all may run at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod access;
mod balance;
mod check;
mod content;
mod demo;
mod drain;
mod ends;
mod examples;
mod failover;
mod fds;
mod half_close;
mod lab;
mod limits;
mod queue;
mod settings;
mod slow_reader;
