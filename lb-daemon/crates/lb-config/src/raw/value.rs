//! The kinds of values that the tables are made of. Each knows where it stands, what it expects, and its JSON Schema.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, MapAccess, Unexpected, Visitor};

use super::text_form::TextForm;

/// Wrappers that a file's author does not see have the schema of what they wrap.
macro_rules! transparent_schema {
    ($wrapper:ident) => {
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}

/// A value and the bytes of the file that it comes from.
#[derive(Debug)]
pub(crate) struct Located<T> {
    pub(crate) span: Range<usize>,
    pub(crate) value: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

transparent_schema!(Located);

/// A text, or `"off"`.
#[derive(Debug)]
pub(crate) enum OffOr<T> {
    Off,
    Value(T),
}

impl<'de, T: TextForm> Deserialize<'de> for OffOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrVisitor<T>(PhantomData<T>);

        impl<T: TextForm> Visitor<'_> for OffOrVisitor<T> {
            type Value = OffOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}, or \"off\"", T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "off" => Ok(OffOr::Off),
                    text => text
                        .parse()
                        .map(OffOr::Value)
                        .map_err(|error| E::custom(format_args!("{error}; or write \"off\""))),
                }
            }
        }

        deserializer.deserialize_str(OffOrVisitor(PhantomData))
    }
}

impl<T: TextForm> JsonSchema for OffOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} or off", T::TITLE).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": format!("{} or \"off\"", T::TITLE) })
    }
}

/// A type that holds whole numbers from [`Count::MIN`] on.
pub(crate) trait Count: Sized {
    const MIN: u64;

    fn new(number: u64) -> Option<Self>;
}

macro_rules! count {
    ($($type:ty, $min:literal, $new:expr;)*) => {
        $(impl Count for $type {
            const MIN: u64 = $min;

            fn new(number: u64) -> Option<Self> {
                number.try_into().ok().and_then($new)
            }
        })*
    };
}

count! {
    u8, 0, Some;
    u16, 0, Some;
    u32, 0, Some;
    NonZeroU8, 1, NonZeroU8::new;
    NonZeroU16, 1, NonZeroU16::new;
    NonZeroU32, 1, NonZeroU32::new;
}

/// A whole number up to `MAX`.
#[derive(Debug)]
pub(crate) struct Whole<T, const MAX: u64>(pub(crate) T);

impl<T: Count, const MAX: u64> Whole<T, MAX> {
    fn new<E: Error>(number: u64) -> Result<Self, E> {
        let number_in_range = if number <= MAX { T::new(number) } else { None };
        number_in_range
            .map(Self)
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &Self::expected().as_str()))
    }

    fn expected() -> String {
        format!("a whole number from {} to {MAX}", T::MIN)
    }
}

impl<'de, T: Count, const MAX: u64> Deserialize<'de> for Whole<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor<T, const MAX: u64>(PhantomData<T>);

        impl<T: Count, const MAX: u64> Visitor<'_> for WholeVisitor<T, MAX> {
            type Value = Whole<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Self::Value::expected())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Whole::new(number)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                match number.try_into() {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }
        }

        deserializer.deserialize_u64(WholeVisitor(PhantomData))
    }
}

impl<T: Count, const MAX: u64> JsonSchema for Whole<T, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Self::expected().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": T::MIN, "maximum": MAX })
    }
}

/// A number, or `"auto"`.
#[derive(Debug)]
pub(crate) enum AutoOr<T> {
    Auto,
    Value(T),
}

impl<'de, T: Count, const MAX: u64> Deserialize<'de> for AutoOr<Whole<T, MAX>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrVisitor<T, const MAX: u64>(PhantomData<T>);

        impl<T: Count, const MAX: u64> Visitor<'_> for AutoOrVisitor<T, MAX> {
            type Value = AutoOr<Whole<T, MAX>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}, or \"auto\"", Whole::<T, MAX>::expected())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Whole::new(number).map(AutoOr::Value)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                match number.try_into() {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "auto" => Ok(AutoOr::Auto),
                    text => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(AutoOrVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for AutoOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}, or auto", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<T>(), { "const": "auto" }] })
    }
}

/// One of a few words: an enum of unit variants, which serde alone would also take from a table.
#[derive(Debug)]
pub(crate) struct Word<T>(pub(crate) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor<T>(PhantomData<T>);

        impl<T: DeserializeOwned> Visitor<'_> for WordVisitor<T> {
            type Value = Word<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word in quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(Word)
            }
        }

        deserializer.deserialize_str(WordVisitor(PhantomData))
    }
}

transparent_schema!(Word);

/// What can be in a table under names that its author chooses.
pub(crate) trait UnderName {
    /// What is said to somebody who wrote something else than a table of such.
    const EXPECTED: &'static str;
}

/// Values by name, such as all of `[pools.*]`, with the places of the names.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(Located<String>, Located<T>)>);

impl<'de, T: UnderName + Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor<T>(PhantomData<T>);

        impl<'de, T: UnderName + Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }

        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} by name", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
