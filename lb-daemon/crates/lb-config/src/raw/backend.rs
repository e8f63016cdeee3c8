//! A table in a pool's `backends`.

use std::num::NonZeroU32;

use lb_model::{BackendName, DnsName, Weight, ZoneName};
use schemars::JsonSchema;
use serde::Deserialize;

use super::short_or::LongForm;
use super::{Located, RawHealthCheck, ShortOr, Text, Whole};
use crate::target::Target;

/// A backend with more than an address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a backend")]
#[schemars(
    rename = "backend",
    extend("oneOf" = [{ "required": ["address"] }, { "required": ["srv"] }]),
    extend("x-example" = "[[pools.mail.backends]]\naddress = \"10.0.0.2:25\"\nname = \"mail-2\"\nweight = 3\nmax_connections = 500\nzone = \"a\"\n[[pools.mail.backends]]\nsrv = \"_smtp._tcp.example.com\"\ntier = 1\n")
)]
pub(crate) struct RawBackend {
    /// Where it is: an IP address or a DNS name, and a port. Without a port, the port that the client connected to: for
    /// listeners with several ports. Each address that a name resolves to is a backend of its own, called by that address.
    #[schemars(extend("x-unset" = "required, or `srv`"))]
    pub(crate) address: Option<Located<Text<Target>>>,
    /// A DNS name with SRV records: each is a backend. Their priorities are tiers, from `tier` on; their weights are
    /// multiplied with `weight`.
    #[schemars(extend("x-unset" = "required, or `address`"))]
    pub(crate) srv: Option<Located<Text<DnsName>>>,
    /// What logs, metrics and commands call it, unique in its pool. `balance = "hash"` places a backend by its name, so a
    /// server that moves keeps its clients if it keeps its name. Not for DNS names.
    #[schemars(extend("x-unset" = "the address"))]
    pub(crate) name: Option<Located<Text<BackendName>>>,
    /// Its share of new connections in proportion to the other weights. With 0 it gets none and keeps those that it has.
    #[schemars(extend("default" = Weight::DEFAULT.0))]
    pub(crate) weight: Option<Located<Whole<u16, { u16::MAX as u64 }>>>,
    /// Most connections to it at once, over all workers; for `http` most requests. Where all backends of a pool are at their
    /// limit, connections or requests wait in the pool's queue.
    #[schemars(extend("x-unset" = "no limit"))]
    pub(crate) max_connections: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// The backends of the lowest tier get the connections until they are short of capacity, then the next tier's too. Give
    /// a spare server a higher one.
    #[schemars(extend("default" = 0))]
    pub(crate) tier: Option<Located<Whole<u8, { u8::MAX as u64 }>>>,
    /// The failure domain that it is in, such as a rack or a data centre: for `zones` of the pool.
    #[schemars(extend("x-unset" = "none"))]
    pub(crate) zone: Option<Located<Text<ZoneName>>>,
    /// How this backend is checked: `"off"`, or a table whose keys are laid over those of the pool's `health_check`. Where
    /// it states another `type`, the pool's keys for its own type do not count.
    #[schemars(extend("x-unset" = "as the pool says", "x-explained" = "pools.NAME.health_check"))]
    pub(crate) health_check: Option<Located<ShortOr<RawHealthCheck>>>,
}

impl LongForm for RawBackend {
    type Short = Text<Target>;

    const EXPECTED: &'static str = "an address or a DNS name in quotes, for example \"10.0.0.1:80\", \
        \"[2001:db8::1]:80\" or \"app.example.com:80\", or a table such as { address = \"10.0.0.1:80\", weight = 3 }";
}
