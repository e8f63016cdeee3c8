//! Everything that can be asked: the router and the OpenAPI document are made from this table.

use axum::routing::MethodFilter;

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// The path, with `{pool}` where a name goes.
    pub(crate) path: &'static str,
    pub(crate) operation: Operation,
    /// What it does, as a sentence.
    pub(crate) summary: &'static str,
}

/// What reads is GET, what changes is POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

impl Method {
    pub(crate) const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }
}

/// What is done for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Status,
    Listeners,
    Pools,
    Pool,
    Overrides,
    Drain,
    Undrain,
    Weight,
    Plan,
    Reload,
    Metrics,
    Health,
    Readiness,
    Document,
}

/// The path that needs no token: whether the process lives is no secret, and what asks often cannot keep one.
pub(crate) const HEALTH_PATH: &str = "/healthz";

pub(crate) const ROUTES: [Route; 14] = [
    get("/v1/status", Operation::Status, "Everything that is known about the process."),
    get("/v1/listeners", Operation::Listeners, "The listeners."),
    get("/v1/pools", Operation::Pools, "The pools and their backends."),
    get("/v1/pools/{pool}", Operation::Pool, "One pool and its backends."),
    get("/v1/overrides", Operation::Overrides, "What operators have set over the configuration."),
    post("/v1/drain", Operation::Drain, "Gives a backend, or all of a pool, no new connections."),
    post("/v1/undrain", Operation::Undrain, "Gives a backend, or all of a pool, new connections again."),
    post("/v1/weight", Operation::Weight, "Sets the weight of a backend, or of all of a pool."),
    post("/v1/plan", Operation::Plan, "What a reload would change. Changes nothing."),
    post("/v1/reload", Operation::Reload, "Puts the configuration of the files in force."),
    get("/v1/openapi.json", Operation::Document, "This document."),
    get("/metrics", Operation::Metrics, "The metrics, in the text format of Prometheus."),
    get(HEALTH_PATH, Operation::Health, "Whether the process lives. Needs no token."),
    get("/readyz", Operation::Readiness, "Whether the process takes connections."),
];

const fn get(path: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route { method: Method::Get, path, operation, summary }
}

const fn post(path: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route { method: Method::Post, path, operation, summary }
}
