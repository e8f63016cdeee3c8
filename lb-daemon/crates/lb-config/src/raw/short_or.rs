//! Tables that have a short form, too.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

/// A table that may be written as a text instead.
pub(crate) trait LongForm {
    /// The text.
    type Short;
    /// What is said to somebody who wrote neither.
    const EXPECTED: &'static str;
}

/// A table, or its short form.
#[derive(Debug)]
pub(crate) enum ShortOr<L: LongForm> {
    Short(L::Short),
    Long(L),
}

impl<L: LongForm> ShortOr<L> {
    /// The table, if it is one.
    pub(crate) fn long(&self) -> Option<&L> {
        match self {
            Self::Short(_) => None,
            Self::Long(table) => Some(table),
        }
    }
}

impl<'de, L: LongForm<Short: DeserializeOwned> + Deserialize<'de>> Deserialize<'de> for ShortOr<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShortOrVisitor<L>(PhantomData<L>);

        impl<'de, L: LongForm<Short: DeserializeOwned> + Deserialize<'de>> Visitor<'de> for ShortOrVisitor<L> {
            type Value = ShortOr<L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(L::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                L::Short::deserialize(text.into_deserializer()).map(ShortOr::Short)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                L::deserialize(MapAccessDeserializer::new(map)).map(ShortOr::Long)
            }
        }

        deserializer.deserialize_any(ShortOrVisitor(PhantomData))
    }
}

impl<L: LongForm<Short: JsonSchema> + JsonSchema> JsonSchema for ShortOr<L> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} or {}", L::Short::schema_name(), L::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<L::Short>(), generator.subschema_for::<L>()] })
    }
}
