//! One entry of a pool's `backends`: an address, or a table.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use lb_model::{BackendAddress, BackendName, Weight};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::value::TextForm;
use super::{Located, Text, Whole};

/// A backend as written.
#[derive(Debug)]
pub(crate) enum RawBackend {
    /// `"10.0.0.1:80"`
    Address(BackendAddress),
    /// `{ address = "10.0.0.1:80", … }`
    Table(RawBackendTable),
}

/// A backend with more than an address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a backend")]
#[schemars(
    rename = "backend",
    extend("x-example" = "[[pools.mail.backends]]\naddress = \"10.0.0.2:25\"\nname = \"mail-2\"\nweight = 3\nmax_connections = 500\n")
)]
pub(crate) struct RawBackendTable {
    /// Where it is: an IP address and a port. Without a port, the port that the client connected to: for listeners with
    /// several ports.
    #[schemars(required)]
    pub(crate) address: Option<Located<Text<BackendAddress>>>,
    /// What logs, metrics and commands call it, unique in its pool. `balance = "hash"` places a backend by its name, so a
    /// server that moves keeps its clients if it keeps its name.
    #[schemars(extend("x-unset" = "the address"))]
    pub(crate) name: Option<Located<Text<BackendName>>>,
    /// Its share of new connections in proportion to the other weights. With 0 it gets none and keeps those that it has.
    #[schemars(extend("default" = Weight::DEFAULT.0))]
    pub(crate) weight: Option<Located<Whole<u16, { u16::MAX as u64 }>>>,
    /// Most connections to it at once, over all workers. Where all backends of a pool are at their limit, connections
    /// wait in the pool's queue.
    #[schemars(extend("x-unset" = "no limit"))]
    pub(crate) max_connections: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
}

impl<'de> Deserialize<'de> for RawBackend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BackendVisitor;

        impl<'de> Visitor<'de> for BackendVisitor {
            type Value = RawBackend;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "{}, or a table such as {{ address = \"10.0.0.1:80\", weight = 3 }}",
                    BackendAddress::EXPECTED
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawBackend, E> {
                text.parse().map(RawBackend::Address).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawBackend, A::Error> {
                RawBackendTable::deserialize(MapAccessDeserializer::new(map)).map(RawBackend::Table)
            }
        }

        deserializer.deserialize_any(BackendVisitor)
    }
}

impl JsonSchema for RawBackend {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "backend or address".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                generator.subschema_for::<Text<BackendAddress>>(),
                generator.subschema_for::<RawBackendTable>(),
            ]
        })
    }
}
