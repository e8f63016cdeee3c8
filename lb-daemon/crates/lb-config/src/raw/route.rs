//! `[[listeners.NAME.routes]]`

use lb_model::{HeaderName, HeaderValue, PathPrefix, PoolName, RouteHost};
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::UnderName;
use super::{Located, Named, Text};

/// Who serves which requests of a listener with `protocol = "http"`, and what is changed on the way. Whatever the order of
/// the routes, those that name the host of the request go before those for all hosts, and of either the longest
/// `path_prefix` goes first. A request that no route is for goes to the listener's `pool`; without one it is answered with
/// 404.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a route")]
#[schemars(
    rename = "route",
    extend("x-example" = "[listeners.site]\nbind = [\"0.0.0.0:8000\"]\nprotocol = \"http\"\npool = \"web\"\n[[listeners.site.routes]]\nhosts = [\"shop.example.com\", \"www.shop.example.com\"]\npool = \"shop\"\n[[listeners.site.routes]]\npath_prefix = \"/api\"\npool = \"api\"\n")
)]
pub(crate) struct RawRoute {
    /// Only for requests to these hosts: names or addresses, without a port, which does not count. Case does not matter.
    /// An empty list is for all.
    #[schemars(extend("default" = []))]
    pub(crate) hosts: Option<Located<Vec<Located<Text<RouteHost>>>>>,
    /// Only for requests to this path and below it: `/api` is `/api`, `/api/` and `/api/v1`, but not `/apiary`. The path
    /// is compared as the client sent it: case matters, and `%41` is not `A`.
    #[schemars(extend("default" = PathPrefix::root().to_string()))]
    pub(crate) path_prefix: Option<Located<Text<PathPrefix>>>,
    /// Who serves them: the NAME of a `[pools.NAME]`.
    #[schemars(required)]
    pub(crate) pool: Option<Located<Text<PoolName>>>,
    /// What is changed of the headers of requests, after Sluice has set its own (such as `X-Forwarded-For`): those in
    /// `remove` are taken out, then those in `set` and `add` are put in. Headers that say how a message ends or are about
    /// one connection (`Content-Length`, `Connection`, …) and `Host` cannot be changed. Names are sent as written here and
    /// compared without regard to case.
    pub(crate) request_headers: Option<Located<RawHeaderEdits>>,
    /// What is changed of the headers of the backends' responses: keys as in `request_headers`.
    #[schemars(extend("x-explained" = "listeners.NAME.routes.request_headers"))]
    pub(crate) response_headers: Option<Located<RawHeaderEdits>>,
}

/// Changes of headers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { set = { X-Environment = \"production\" } }")]
#[schemars(
    rename = "header_edits",
    extend("x-example" = "[listeners.api]\nbind = [\"0.0.0.0:8001\"]\nprotocol = \"http\"\n[[listeners.api.routes]]\npool = \"api\"\n[listeners.api.routes.request_headers]\nset = { X-Environment = \"production\" }\nremove = [\"Cookie\"]\n[listeners.api.routes.response_headers]\nadd = { Vary = \"Origin\" }\n")
)]
pub(crate) struct RawHeaderEdits {
    /// Headers that are there once with these values, whatever there was.
    #[schemars(extend("default" = {}))]
    pub(crate) set: Option<Located<Named<Text<HeaderValue>>>>,
    /// Headers that are added to those that there are.
    #[schemars(extend("default" = {}))]
    pub(crate) add: Option<Located<Named<Text<HeaderValue>>>>,
    /// Headers that are taken out.
    #[schemars(extend("default" = []))]
    pub(crate) remove: Option<Located<Vec<Located<Text<HeaderName>>>>>,
}

impl UnderName for Text<HeaderValue> {
    const EXPECTED: &'static str = "a table of headers, for example { X-Environment = \"production\" }";
}
