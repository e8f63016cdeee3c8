//! `[[listeners.NAME.sni]]`

use lb_model::{AlpnProtocol, PoolName, ServerNamePattern};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, Text};

/// Who serves which names of a listener with `protocol = "tls"`. The most specific name counts, whatever the order: an exact
/// one before one with `*`. Of several routes for the same name the first counts whose `alpn` fits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a route")]
#[schemars(
    rename = "sni",
    extend("x-example" = "[listeners.secure]\nbind = [\"0.0.0.0:8443\"]\nprotocol = \"tls\"\n[[listeners.secure.sni]]\nnames = [\"shop.example.com\", \"*.shop.example.com\"]\npool = \"shop\"\n[[listeners.secure.sni]]\nnames = [\"api.example.com\"]\nalpn = [\"h2\"]\npool = \"api\"\n")
)]
pub(crate) struct RawSniRoute {
    /// The names that clients ask for (SNI): exact, or `*.` and a name, where `*` stands for one label.
    #[schemars(required, length(min = 1))]
    pub(crate) names: Option<Located<Vec<Located<Text<ServerNamePattern>>>>>,
    /// Only for clients that offer one of these protocols (ALPN), such as `h2` or `http/1.1`. An empty list is for all.
    #[schemars(extend("default" = []))]
    pub(crate) alpn: Option<Located<Vec<Located<Text<AlpnProtocol>>>>>,
    /// Who serves them: the NAME of a `[pools.NAME]`.
    #[schemars(required)]
    pub(crate) pool: Option<Located<Text<PoolName>>>,
}
