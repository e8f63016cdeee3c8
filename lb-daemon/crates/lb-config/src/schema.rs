//! The JSON Schema of the file format, from the raw types.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::raw::RawFile;

/// The JSON Schema of a configuration file, for editors: pretty-printed, with a newline at the end.
pub fn json_schema() -> String {
    let schema = generator(SchemaSettings::draft2020_12()).into_root_schema_for::<RawFile>();
    format!("{:#}\n", schema.as_value())
}

/// The schema with everything in place and no references.
pub(crate) fn inline_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    generator(settings).into_root_schema_for::<RawFile>().to_value()
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    settings.with_transform(Absence).into_generator()
}

/// Takes `null` out: a raw key is an `Option` because it may be absent, and TOML has no null.
#[derive(Debug, Clone)]
struct Absence;

impl Transform for Absence {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                schema.remove("anyOf");
                for (key, value) in only {
                    // What the field says goes before what its type says.
                    if schema.get(&key).is_none() {
                        schema.insert(key, value);
                    }
                }
            }
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
    }
}
