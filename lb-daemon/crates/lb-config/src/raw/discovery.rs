//! `[pools.NAME.discovery]`

use lb_model::{DiscoverySettings, IpFamilies};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, Text, Word};
use crate::duration::Period;
use crate::text;

/// How the backends that are DNS names are looked up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(
    rename = "discovery",
    extend("x-example" = "[pools.api]\nbackends = [\"api.example.com:8080\"]\n[pools.api.discovery]\nfamilies = \"ipv4\"\nmin_ttl = \"10s\"\nkeep = \"1d\"\n")
)]
pub(crate) struct RawDiscovery {
    /// Which addresses to ask for.
    #[schemars(extend("default" = text::ip_families(DiscoverySettings::DEFAULT.families)))]
    pub(crate) families: Option<Located<Word<RawIpFamilies>>>,
    /// An answer is good for its TTL, but for no shorter time than this: how often a DNS server is asked at most.
    #[schemars(extend("default" = text::duration(DiscoverySettings::DEFAULT.min_ttl)))]
    pub(crate) min_ttl: Option<Located<Text<Period>>>,
    /// And for no longer time than this; not shorter than `min_ttl`. Lower it to follow changes sooner than the TTL says.
    #[schemars(extend("default" = text::duration(DiscoverySettings::DEFAULT.max_ttl)))]
    pub(crate) max_ttl: Option<Located<Text<Period>>>,
    /// How long the last good answer is used while there is no other: the DNS server is down, says that the name does not
    /// exist, or has no address for it. `"0s"` drops it at once.
    #[schemars(extend("default" = text::duration(DiscoverySettings::DEFAULT.keep)))]
    pub(crate) keep: Option<Located<Text<Period>>>,
}

/// Address families.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawIpFamilies {
    Both,
    Ipv4,
    Ipv6,
}

impl From<RawIpFamilies> for IpFamilies {
    fn from(raw: RawIpFamilies) -> Self {
        match raw {
            RawIpFamilies::Both => Self::Both,
            RawIpFamilies::Ipv4 => Self::Ipv4,
            RawIpFamilies::Ipv6 => Self::Ipv6,
        }
    }
}
