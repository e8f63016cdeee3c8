//! `[pools.NAME.send_proxy]`

use schemars::JsonSchema;
use serde::Deserialize;

use super::short_or::LongForm;
use super::{Located, Word};

/// The PROXY protocol header that backends get first on each connection.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { version = \"v2\" }")]
#[schemars(
    rename = "send_proxy",
    extend("x-example" = "[pools.mail.send_proxy]\nversion = \"v2\"\ntlvs = [\"unique_id\", \"crc32c\"]\n")
)]
pub(crate) struct RawSendProxy {
    /// `v1`: a line of text with the addresses. `v2`: binary, with the `tlvs`.
    #[schemars(required)]
    pub(crate) version: Option<Located<Word<RawProxyVersion>>>,
    /// `v2`: what else it tells, where it is known. `alpn`: the protocol that the client offered first, and `authority`: the
    /// name that it asked for (SNI), both for listeners with `protocol = "tls"`. `unique_id`: an id of the connection, which
    /// its access record has, too. `crc32c`: a checksum of the header.
    #[schemars(extend("default" = []))]
    pub(crate) tlvs: Option<Located<Vec<Located<Word<RawProxyTlv>>>>>,
}

impl LongForm for RawSendProxy {
    type Short = Word<RawProxyHeader>;

    const EXPECTED: &'static str = "\"off\", \"v1\", \"v2\" or a table such as \
        { version = \"v2\", tlvs = [\"authority\"] }";
}

/// Which header, where nothing more is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawProxyHeader {
    Off,
    V1,
    V2,
}

/// Versions of the header.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawProxyVersion {
    V1,
    V2,
}

/// What a header of version 2 may tell beside the addresses.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawProxyTlv {
    Alpn,
    Authority,
    UniqueId,
    Crc32c,
}
