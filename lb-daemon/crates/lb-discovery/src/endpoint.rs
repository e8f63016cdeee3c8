//! What answers consist of.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use lb_model::BackendAddress;

/// One place that an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; `None` is the port that the client connected to.
    pub port: Option<u16>,
    /// How much of the load it is to get in proportion to the others, at least 1. Always 1 where no SRV record
    /// says.
    ///
    /// RFC 2782 wants "a very small chance" for weight 0 among others, and an equal one where all have it: it
    /// counts as 1.
    pub weight: u16,
    /// Its place among the priorities of the answer: 0 is used first. Always 0 where no SRV record says.
    pub rank: u8,
}

impl Endpoint {
    /// Where a backend for it is.
    pub fn address(&self) -> BackendAddress {
        BackendAddress { ip: self.ip, port: self.port }
    }
}

/// A set of endpoints, in the order of their addresses: the order of an answer means nothing. Where an address is
/// named twice, the lower rank counts, then the higher weight.
pub(crate) fn set(mut endpoints: Vec<Endpoint>) -> Arc<[Endpoint]> {
    endpoints.sort_by_key(|endpoint| (endpoint.ip, endpoint.port, endpoint.rank, Reverse(endpoint.weight)));
    endpoints.dedup_by_key(|endpoint| (endpoint.ip, endpoint.port));
    endpoints.into()
}
