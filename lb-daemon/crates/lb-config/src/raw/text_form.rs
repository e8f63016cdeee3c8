//! Values that are written as a text in quotes, each with what it expects.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use lb_model::{
    AlpnProtocol, BackendName, Bind, DnsName, HeaderName, HeaderValue, HttpHost, HttpMethod, HttpPath,
    Jitter, PathPrefix, Percent, PoolName, RecordType, RouteHost, ServerNamePattern, StatusRanges,
    TlsServerName, ZoneName,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use crate::duration::Period;
use crate::endpoint::{Endpoint, NameServer};
use crate::file_path::FilePath;
use crate::hex::Hex;
use crate::network::Network;
use crate::rate::Rate;
use crate::size::Size;
use crate::target::Target;

/// A type that is written as a string.
pub(crate) trait TextForm: FromStr<Err: fmt::Display> {
    /// What one is called in the reference.
    const TITLE: &'static str;
    /// What is said to somebody who wrote something else than a string.
    const EXPECTED: &'static str;
}

macro_rules! text_forms {
    ($($type:ty, $title:literal, $expected:literal;)*) => {
        $(impl TextForm for $type {
            const TITLE: &'static str = $title;
            const EXPECTED: &'static str = $expected;
        })*
    };
}

text_forms! {
    AlpnProtocol, "ALPN protocol", "an application protocol in quotes, for example \"h2\" or \"http/1.1\"";
    BackendName, "name", "a name in quotes";
    Bind, "address:port",
        "an address and a port in quotes, for example \"0.0.0.0:80\", \"[::]:80\" or \"*:8000-8100\"";
    DnsName, "DNS name", "a DNS name in quotes, for example \"example.com\"";
    Endpoint, "address:port", "an address and a port in quotes, for example \"127.0.0.1:9901\"";
    FilePath, "path", "a path in quotes";
    HeaderName, "name of a header", "the name of a header in quotes, for example \"X-Request-Id\"";
    HeaderValue, "text", "the value of a header in quotes";
    Hex, "hexadecimal bytes", "bytes in hexadecimal in quotes, for example \"00 ff\"";
    HttpHost, "host[:port]", "a host in quotes, for example \"example.com\"";
    HttpMethod, "HTTP method", "an HTTP method in quotes, for example \"GET\"";
    HttpPath, "HTTP path", "a path in quotes, for example \"/healthz\"";
    Jitter, "percentage", "a share in quotes, for example \"10%\"";
    NameServer, "address[:port]", "the address of a DNS server in quotes, for example \"10.0.0.53\" or \"[::1]:53\"";
    Network, "network", "a network or an address in quotes, for example \"10.0.0.0/8\"";
    PathPrefix, "HTTP path", "a path in quotes, for example \"/api\"";
    Percent, "percentage", "a percentage in quotes, for example \"50%\"";
    Period, "duration", "a duration in quotes with its unit, for example \"30s\" or \"250ms\"";
    PoolName, "name of a pool", "the name of a pool in quotes";
    Rate, "rate", "a rate in quotes, for example \"1KiB/s\"";
    RecordType, "DNS record type", "a DNS record type in quotes, for example \"A\"";
    RouteHost, "host", "a host in quotes, for example \"www.example.com\"";
    ServerNamePattern, "server name",
        "a server name in quotes, for example \"www.example.com\" or \"*.example.com\"";
    Size, "size", "a size in quotes with its unit, for example \"4KiB\"";
    StatusRanges, "HTTP status codes", "HTTP status codes in quotes, for example \"200-399\" or \"200,401\"";
    Target, "address[:port] or DNS name[:port]",
        "an address or a DNS name in quotes, for example \"10.0.0.1:80\", \"[2001:db8::1]:80\" or \"app.example.com:80\"";
    TlsServerName, "DNS name or address", "a server name in quotes, for example \"example.com\"";
    ZoneName, "name of a zone", "the name of a zone in quotes";
}

/// A string that [`TextForm`] reads.
#[derive(Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: TextForm> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: TextForm> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

impl<T: TextForm> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::TITLE.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": T::TITLE })
    }
}
