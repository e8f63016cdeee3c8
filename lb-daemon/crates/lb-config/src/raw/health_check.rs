//! `[pools.NAME.health_check]`, and the same for one backend.

use std::borrow::Cow;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

use lb_model::{
    DnsName, HealthCheck, HttpHost, HttpMethod, HttpPath, HttpProbe, Jitter, RecordType, StatusRanges,
    TlsServerName,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::short_or::LongForm;
use super::{Located, ShortOr, Text, Whole, Word};
use crate::duration::Period;
use crate::file_path::FilePath;
use crate::hex::Hex;
use crate::size::Size;
use crate::{default, text};

/// How backends are checked: what they are asked, how often, and how many answers make a verdict. An unhealthy backend gets
/// no new connections. Besides those for every type, each `type` has keys of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { type = \"tcp\" }")]
#[schemars(
    rename = "health_check",
    extend("x-example" = "[pools.shop]\nbackends = [\"10.0.0.1:80\", { address = \"10.0.0.2:80\", health_check = { port = 81 } }]\n[pools.shop.health_check]\ntype = \"http\"\npath = \"/healthz\"\nstatus = \"200,204\"\ninterval = \"5s\"\nfall = 2\n")
)]
pub(crate) struct RawHealthCheck {
    /// What is asked. `tcp`: to accept a connection. `http`, `https`: an HTTP request. `udp`: a datagram. `dns`: a DNS
    /// question. `exec`: a command of yours.
    #[serde(rename = "type")]
    #[schemars(extend("x-unset" = "required; for a backend: the pool's"))]
    pub(crate) kind: Option<Located<Word<RawProbeType>>>,
    /// From the start of one probe to the start of the next; at least 10ms.
    #[schemars(extend("default" = text::duration(HealthCheck::DEFAULT_INTERVAL)))]
    pub(crate) interval: Option<Located<Text<Period>>>,
    /// The interval from the first answer that contradicts the verdict until the next verdict, to confirm a failure
    /// quickly without probing often; at least 10ms.
    #[schemars(extend("x-unset" = format!("`{:?}`, or `interval` if that is shorter", text::duration(HealthCheck::DEFAULT_FAST_INTERVAL))))]
    pub(crate) fast_interval: Option<Located<Text<Period>>>,
    /// How long a whole probe may take. May be longer than the interval: a probe never starts before the last one has
    /// ended.
    #[schemars(extend("default" = text::duration(HealthCheck::DEFAULT_TIMEOUT)))]
    pub(crate) timeout: Option<Located<Text<Period>>>,
    /// Good answers in a row that make an unhealthy backend healthy.
    #[schemars(extend("default" = HealthCheck::DEFAULT_RISE))]
    pub(crate) rise: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// Bad answers in a row that make a healthy backend unhealthy.
    #[schemars(extend("default" = HealthCheck::DEFAULT_FALL))]
    pub(crate) fall: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// By how much of itself each interval varies at random, to either side, so that probes do not fall into step; up to
    /// 50%.
    #[schemars(extend("default" = Jitter::DEFAULT.to_string()))]
    pub(crate) jitter: Option<Located<Text<Jitter>>>,
    /// The port that is probed.
    #[schemars(extend("x-unset" = "the backend's; required (but for `exec`) if that has none"))]
    pub(crate) port: Option<Located<Whole<NonZeroU16, { u16::MAX as u64 }>>>,

    /// `http`, `https`: the method.
    #[schemars(extend("default" = HttpMethod::get().as_str()))]
    pub(crate) method: Option<Located<Text<HttpMethod>>>,
    /// `http`, `https`: path and query.
    #[schemars(extend("default" = "/"))]
    pub(crate) path: Option<Located<Text<HttpPath>>>,
    /// `http`, `https`: the `host` header.
    #[schemars(extend("x-unset" = "the probed address"))]
    pub(crate) host: Option<Located<Text<HttpHost>>>,
    /// `http`, `https`: the good status codes, as codes and ranges from 200 to 599.
    #[schemars(extend("default" = StatusRanges::default().to_string()))]
    pub(crate) status: Option<Located<Text<StatusRanges>>>,
    /// `http`, `https`: what a good answer contains. The text alone stands for `contains`.
    #[schemars(extend("x-unset" = "anything"))]
    pub(crate) body: Option<Located<ShortOr<RawBody>>>,

    /// `https`: the name asked for (SNI) and expected in the certificate.
    #[schemars(extend("x-unset" = "the name in `host`, else the probed address"))]
    pub(crate) server_name: Option<Located<Text<TlsServerName>>>,
    /// `https`: whether the certificate is verified. With `false` any will do.
    #[schemars(extend("default" = true))]
    pub(crate) verify: Option<Located<bool>>,
    /// `https`: a file (PEM) with the CAs to trust instead of this host's. A relative path is relative to this file.
    #[schemars(extend("x-unset" = "those that this host trusts"))]
    pub(crate) ca_file: Option<Located<Text<FilePath>>>,

    /// `udp`: the datagram.
    #[schemars(extend("x-unset" = "an empty one"))]
    pub(crate) send: Option<Located<String>>,
    /// `udp`: the same, in hexadecimal: `"00 ff"`.
    #[schemars(extend("x-unset" = "see `send`"))]
    pub(crate) send_hex: Option<Located<Text<Hex>>>,
    /// `udp`: which answer is good. `any`: any answer. `not_refused`: silence, too, only an ICMP error is bad; for services
    /// that do not answer strangers, such as syslog. A table says what is in the answer.
    #[schemars(extend("default" = "any"))]
    pub(crate) expect: Option<Located<ShortOr<RawUdpAnswerContent>>>,

    /// `dns`: the name that is asked for.
    #[schemars(extend("x-unset" = "required for `dns`"))]
    pub(crate) name: Option<Located<Text<DnsName>>>,
    /// `dns`: the type of the records. Good is an answer without error that has some.
    #[schemars(extend("default" = default::RECORD.as_str()))]
    pub(crate) record: Option<Located<Text<RecordType>>>,

    /// `exec`: the program and its arguments, run without a shell: exit code 0 is good. The program is a path (a relative
    /// one is relative to this file) or, without a `/`, a name to find in `PATH`. Its whole environment is `PATH`,
    /// `SLUICE_BACKEND_ADDRESS`, `SLUICE_BACKEND_PORT` and `SLUICE_BACKEND_NAME`.
    #[schemars(extend("x-unset" = "required for `exec`"))]
    pub(crate) command: Option<Located<Vec<Located<String>>>>,
}

impl LongForm for RawHealthCheck {
    type Short = Off;

    const EXPECTED: &'static str = "a table such as { type = \"tcp\" }, or \"off\"";
}

/// What is asked of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawProbeType {
    Tcp,
    Http,
    Https,
    Udp,
    Dns,
    Exec,
}

impl fmt::Display for RawProbeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Udp => "udp",
            Self::Dns => "dns",
            Self::Exec => "exec",
        })
    }
}

/// What a good answer to an HTTP probe contains.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { contains = \"ok\" }")]
#[schemars(rename = "body", extend("x-example" = "[pools.shop.health_check.body]\ncontains = \"ready\"\nwithin = \"1KiB\"\n"))]
pub(crate) struct RawBody {
    /// A text that the body contains, byte by byte.
    #[schemars(required)]
    pub(crate) contains: Option<Located<String>>,
    /// In how much of the body, from its start, the text has to be; at most `"64KiB"`.
    #[schemars(extend("default" = Size::of(HttpProbe::MAX_BODY).to_string()))]
    pub(crate) within: Option<Located<Text<Size>>>,
}

impl LongForm for RawBody {
    type Short = String;

    const EXPECTED: &'static str =
        "a text in quotes, or a table such as { contains = \"ok\", within = \"4KiB\" }";
}

/// Answers to a datagram that are good whatever is in them.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawUdpAnswer {
    Any,
    NotRefused,
}

/// What is in a good answer to a datagram: one of these keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { contains = \"PONG\" }")]
#[schemars(
    rename = "expect",
    extend("x-example" = "[pools.game]\nbackends = [\"10.0.0.7:27015\"]\n[pools.game.health_check]\ntype = \"udp\"\nsend_hex = \"ff ff ff ff 69\"\nexpect = { starts_with_hex = \"ff ff ff ff\" }\n")
)]
pub(crate) struct RawUdpAnswerContent {
    /// It begins with this text.
    #[schemars(extend("x-unset" = "one of these"))]
    pub(crate) starts_with: Option<Located<String>>,
    /// It begins with these bytes.
    #[schemars(extend("x-unset" = "one of these"))]
    pub(crate) starts_with_hex: Option<Located<Text<Hex>>>,
    /// This text is somewhere in it.
    #[schemars(extend("x-unset" = "one of these"))]
    pub(crate) contains: Option<Located<String>>,
    /// These bytes are somewhere in it.
    #[schemars(extend("x-unset" = "one of these"))]
    pub(crate) contains_hex: Option<Located<Text<Hex>>>,
}

impl LongForm for RawUdpAnswerContent {
    type Short = Word<RawUdpAnswer>;

    const EXPECTED: &'static str = "\"any\", \"not_refused\" or a table such as { contains = \"PONG\" }";
}

/// `"off"`: no health check.
#[derive(Debug)]
pub(crate) struct Off;

impl<'de> Deserialize<'de> for Off {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Cow::<str>::deserialize(deserializer)?.as_ref() {
            "off" => Ok(Self),
            text => {
                let expected = RawHealthCheck::EXPECTED;
                Err(D::Error::custom(format_args!("{text:?} is no health check; expected {expected}")))
            }
        }
    }
}

impl JsonSchema for Off {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "off".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": "off" })
    }
}
