//! An unknown key is an error, whatever table it is in.

use toml::{Table, Value};

use super::{MINIMAL, parse};

/// A configuration with every table that there is.
fn everything() -> Table {
    let text = MINIMAL.replace("\"127.0.0.1:9001\"", "\"127.0.0.1:9001\", { address = \"127.0.0.1:9002\" }");
    let effective = crate::effective(&parse(&text).unwrap().config);
    effective.parse().unwrap()
}

/// Every copy of `value` with a bogus key in one of its tables.
fn spoiled(value: &Value) -> Vec<Value> {
    match value {
        Value::Table(table) => {
            let mut copies: Vec<Value> = Vec::new();
            let mut here = table.clone();
            here.insert("bogus".into(), Value::Boolean(true));
            copies.push(here.into());
            for (key, inner) in table {
                for spoiled in spoiled(inner) {
                    let mut copy = table.clone();
                    copy.insert(key.clone(), spoiled);
                    copies.push(copy.into());
                }
            }
            copies
        }
        Value::Array(array) => {
            let mut copies = Vec::new();
            for (index, inner) in array.iter().enumerate() {
                for spoiled in spoiled(inner) {
                    let mut copy = array.clone();
                    copy[index] = spoiled;
                    copies.push(copy.into());
                }
            }
            copies
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            Vec::new()
        }
    }
}

#[test]
fn a_bogus_key_in_any_table_is_an_error() {
    let copies = spoiled(&everything().into());
    // Root, global, log, listeners and its one, pools and its one, two backends, queue, passive_health.
    assert_eq!(copies.len(), 11);
    for copy in copies {
        let text = toml::to_string(&copy).unwrap();
        let errors = parse(&text).expect_err(&text);
        let [error] = errors.diagnostics() else { panic!("{errors}") };
        assert!(error.key().ends_with("bogus"), "{error}");
    }
}
