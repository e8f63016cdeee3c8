//! An unknown key is an error, whatever table it is in.

use toml::{Table, Value};

use super::parse;

/// A configuration with every table that there is.
const EVERYTHING: &str = r#"
version = 1
[global]
[log]
[admin.tcp]
bind = "127.0.0.1:9901"
tls = { cert_file = "cert.pem", key_file = "key.pem", client_ca_file = "ca.pem" }
[listeners.web]
bind = ["127.0.0.1:8080"]
protocol = "tcp"
pool = "web"
[listeners.secure]
bind = ["127.0.0.1:8443"]
protocol = "tls"
[[listeners.secure.sni]]
names = ["example.com"]
pool = "web"
[listeners.site]
bind = ["127.0.0.1:8081"]
protocol = "http"
access_log = {}
[[listeners.site.routes]]
pool = "site"
request_headers = { set = {}, add = {} }
response_headers = {}
[pools.site]
backends = ["127.0.0.1:9002"]
[pools.web]
backends = [
    { address = "127.0.0.1:9001", health_check = { type = "udp", expect = { contains = "x" } } },
    { srv = "_http._tcp.example.com" },
]
health_check = { type = "http", body = { contains = "ok" } }
discovery = {}
send_proxy = { version = "v2" }
queue = {}
passive_health = {}
"#;

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
    parse(EVERYTHING).unwrap_or_else(|errors| panic!("{errors}"));
    let copies = spoiled(&EVERYTHING.parse::<Table>().unwrap().into());
    // Root, global, log; admin, tcp, tls; listeners and its three, of one a route, of another the access log and a route with
    // changes of headers; pools and its two; two backends, of one the check with what it expects; the pool's check and its
    // body; discovery, send_proxy, queue, passive_health.
    assert_eq!(copies.len(), 30);
    for copy in copies {
        let text = toml::to_string(&copy).unwrap();
        let errors = parse(&text).expect_err(&text);
        let [error] = errors.diagnostics() else { panic!("{errors}") };
        assert!(error.key().ends_with("bogus"), "{error}");
    }
}
