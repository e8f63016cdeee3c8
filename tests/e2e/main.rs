//! End-to-end tests: what a user of the daemon would notice, with real sockets and four workers.
//!
//! One binary, a module per topic. Every test makes its own backends, addresses and daemon, so all may run at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod access;
mod admin;
mod algorithms;
mod balance;
mod check;
mod cli;
mod content;
mod demo;
mod discovery;
mod drain;
mod drills;
mod ends;
mod examples;
mod failover;
mod fds;
mod half_close;
mod health;
mod http;
mod lab;
mod limits;
mod metrics;
mod overrides;
mod proxy_protocol;
mod queue;
mod reload;
mod service;
mod settings;
mod slow_reader;
mod tls;
mod udp;
