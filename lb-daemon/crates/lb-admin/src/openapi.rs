//! The API's description, from the route table and the types.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::route::{Method, Operation, ROUTES, Route};
use crate::{
    Changed, ErrorBody, ErrorCode, Listener, NewWeight, Nothing, Overrides, Plan, Pool, Reloaded, Status,
    Target,
};

/// Where the document keeps its schemas.
const SCHEMAS: &str = "/components/schemas";

const DESCRIPTION: &str = "\
What is on the unix socket is for root and the user that Sluice runs as. Over TCP every request needs the bearer token, if \
there is one, but those of `/healthz`; where the API asks for client certificates, every connection needs one.

What changes something is POST, with a JSON body that is declared as such (`content-type: application/json`); doing it \
twice does what doing it once does. What is not a success has an error's code and message as its body.";

/// The OpenAPI 3.1 document: pretty-printed, with a newline at the end.
pub fn openapi_json() -> String {
    format!("{:#}\n", document())
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = schemas.operation(route);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.key().to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Sluice admin API", "version": "1", "description": DESCRIPTION },
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas.finish(),
        },
    })
}

impl Method {
    const fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}

/// Collects the types that the document refers to. What clients send and what they get differ in what may be absent.
struct Schemas {
    sent: SchemaGenerator,
    got: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let generator = |contract: Contract| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { sent: generator(Contract::Deserialize), got: generator(Contract::Serialize) }
    }

    fn operation(&mut self, route: Route) -> Value {
        let mut operation = json!({ "summary": route.summary, "responses": self.responses(route.operation) });
        let Value::Object(fields) = &mut operation else { return operation };
        if let Some(body) = self.body(route.operation) {
            let content = json!({ "application/json": { "schema": body } });
            fields.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
        if route.path.contains("{pool}") {
            let name =
                json!({ "name": "pool", "in": "path", "required": true, "schema": { "type": "string" } });
            fields.insert("parameters".into(), json!([name]));
        }
        if route.operation == Operation::Health {
            fields.insert("security".into(), json!([]));
        }
        operation
    }

    fn body(&mut self, operation: Operation) -> Option<Value> {
        match operation {
            Operation::Drain | Operation::Undrain => Some(self.send::<Target>()),
            Operation::Weight => Some(self.send::<NewWeight>()),
            Operation::Plan | Operation::Reload => Some(self.send::<Nothing>()),
            Operation::Status
            | Operation::Listeners
            | Operation::Pools
            | Operation::Pool
            | Operation::Overrides
            | Operation::Metrics
            | Operation::Health
            | Operation::Readiness
            | Operation::Document => None,
        }
    }

    fn responses(&mut self, operation: Operation) -> Value {
        let plain = || content("text/plain", json!({ "type": "string" }));
        let json = |schema| content("application/json", schema);
        let success = match operation {
            Operation::Status => json(self.get::<Status>()),
            Operation::Listeners => json(self.get::<Vec<Listener>>()),
            Operation::Pools => json(self.get::<Vec<Pool>>()),
            Operation::Pool => json(self.get::<Pool>()),
            Operation::Overrides => json(self.get::<Overrides>()),
            Operation::Drain | Operation::Undrain | Operation::Weight => json(self.get::<Changed>()),
            Operation::Plan => json(self.get::<Plan>()),
            Operation::Reload => json(self.get::<Reloaded>()),
            Operation::Document => json(serde_json::json!({ "type": "object" })),
            Operation::Metrics | Operation::Health | Operation::Readiness => plain(),
        };
        let mut responses = Map::from_iter([("200".to_owned(), described("Done.", success))]);
        if operation == Operation::Readiness {
            let not_ready = described("It is starting or draining.", plain());
            responses.insert("503".into(), not_ready);
        }
        let failure = json(self.get::<ErrorBody>());
        for code in ErrorCode::ALL.into_iter().filter(|code| may_fail_with(operation, *code)) {
            let status = code.status();
            let reason = status.canonical_reason().unwrap_or_default();
            responses.insert(status.as_str().to_owned(), described(reason, failure.clone()));
        }
        Value::Object(responses)
    }

    fn send<T: JsonSchema>(&mut self) -> Value {
        self.sent.subschema_for::<T>().to_value()
    }

    fn get<T: JsonSchema>(&mut self) -> Value {
        self.got.subschema_for::<T>().to_value()
    }

    fn finish(mut self) -> Value {
        let mut schemas = self.sent.take_definitions(true);
        schemas.extend(self.got.take_definitions(true));
        Value::Object(schemas)
    }
}

fn may_fail_with(operation: Operation, code: ErrorCode) -> bool {
    let (is_command, has_name) = match operation {
        Operation::Drain | Operation::Undrain | Operation::Weight => (true, true),
        Operation::Plan | Operation::Reload => (true, false),
        Operation::Pool => (false, true),
        Operation::Status
        | Operation::Listeners
        | Operation::Pools
        | Operation::Overrides
        | Operation::Metrics
        | Operation::Health
        | Operation::Readiness
        | Operation::Document => (false, false),
    };
    match code {
        ErrorCode::Unauthorized => operation != Operation::Health,
        ErrorCode::NotFound => has_name,
        // Never for a path and a method of this document.
        ErrorCode::MethodNotAllowed => false,
        ErrorCode::BadRequest
        | ErrorCode::Timeout
        | ErrorCode::Busy
        | ErrorCode::TooLarge
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::Invalid
        | ErrorCode::Failed => is_command,
    }
}

fn content(media_type: &str, schema: Value) -> Value {
    json!({ media_type: { "schema": schema } })
}

fn described(description: &str, content: Value) -> Value {
    json!({ "description": description, "content": content })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn committed_document() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/openapi.json");
        let text = openapi_json();
        if std::env::var_os("SLUICE_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/reference/openapi.json is not what the code says; write it with \
             `SLUICE_BLESS=1 cargo test -p lb-admin committed_document`"
        );
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn what_it_refers_to_is_there() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_weight_has_to_be_stated_and_may_be_null() {
        let schema = document().pointer("/components/schemas/NewWeight").cloned().unwrap();
        assert_eq!(schema["required"], json!(["pool", "weight"]));
        assert_eq!(schema["properties"]["weight"]["type"], json!(["integer", "null"]));
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}
