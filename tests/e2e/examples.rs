//! The files in `config/` do what they say, started as they are.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::path::{Path, PathBuf};

use lb_model::{BackendAddress, Bind, BindHost};
use lb_tests::{
    Backend, Behaviour, BodyEnd, Hello, HttpBackend, HttpMessage, Lab, Launch, Namespace, cli, client,
    response,
};
use toml::{Table, Value};

/// One way in, and everywhere that it may lead.
struct Way {
    listener: String,
    address: SocketAddr,
    /// Where the client has to come from, if the listener has an allow list.
    source: Option<IpAddr>,
    speaks: Speaks,
    /// What the client has to say first: of HTTP, all that it says.
    hello: Vec<u8>,
    backends: Vec<SocketAddr>,
}

/// What is spoken on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Bytes,
    Http,
}

#[test]
fn every_example_serves_on_all_its_listeners() {
    let mut files = vec![];
    find_examples(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../config"), &mut files);
    assert!(!files.is_empty(), "there are examples");
    for file in files {
        // A network of its own for each, so that the examples' addresses and ports exist and are free.
        let Some(lab) = Lab::require(0) else { return };
        serves_on_all_its_listeners(&lab.balancer, &file);
    }
}

/// Every file that is a configuration by itself: what is in a `conf.d` is included by another.
fn find_examples(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        } else if path.is_dir() && !path.ends_with("conf.d") {
            find_examples(&path, files);
        }
    }
}

const GOODBYE: &[u8] = b"that is all";

#[track_caller]
fn serves_on_all_its_listeners(network: &Namespace, file: &Path) {
    let config = effective(file);
    assert!(!table(&config, "listeners").is_empty(), "{} has no listeners", file.display());
    let ways = ways(&config);
    let needed: BTreeSet<IpAddr> = ways
        .iter()
        .flat_map(|way| way.backends.iter().map(SocketAddr::ip).chain([way.address.ip()]).chain(way.source))
        .filter(|ip| !ip.is_loopback())
        .collect();
    for ip in needed {
        let (prefix, flag) = if ip.is_ipv4() { (32, "") } else { (128, "nodad") };
        network.ip(&format!("address add {ip}/{prefix} dev lo {flag}")).unwrap();
    }
    let addresses = |speaks| -> BTreeSet<SocketAddr> {
        let ways = ways.iter().filter(|way| way.speaks == speaks);
        ways.flat_map(|way| way.backends.iter().copied()).collect()
    };
    let backends: Vec<_> = addresses(Speaks::Bytes)
        .into_iter()
        .map(|address| Backend::start_in(network, &address.to_string(), address, Behaviour::Tag))
        .collect();
    let name = |address: SocketAddr| move |_: &HttpMessage| response(200, address.to_string().as_bytes());
    let _servers: Vec<_> = addresses(Speaks::Http)
        .into_iter()
        .map(|address| network.enter(|| HttpBackend::answering("", address, name(address))))
        .collect();

    let _daemon = Launch::with_file(file).inside(network).start();
    for way in &ways {
        let stream = network
            .enter(|| match way.source {
                Some(source) => client::connect_from(SocketAddr::new(source, 0), way.address),
                None => client::connect(way.address),
            })
            .unwrap_or_else(|error| panic!("{}: {}: {error}", file.display(), way.address));
        (&stream).write_all(&way.hello).unwrap();
        if way.speaks == Speaks::Http {
            let got = HttpMessage::read(&stream, BodyEnd::AsFieldsSay).unwrap().unwrap();
            let is_served = way.backends.iter().any(|backend| backend.to_string() == got.text());
            assert!(got.status() == 200 && is_served, "{}: {got:?}", way.listener);
            continue;
        }
        let name = client::read_line(&stream).unwrap_or_else(|error| {
            panic!("{}: {} at {}: {error}", file.display(), way.listener, way.address)
        });
        assert!(
            way.backends.iter().any(|backend| backend.to_string() == name),
            "{name} serves {}",
            way.listener
        );
        (&stream).write_all(GOODBYE).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // A header of the PROXY protocol may be before it.
        let (bytes, _) = client::read_to_end(&stream);
        assert!(bytes.ends_with(&[&way.hello, GOODBYE].concat()), "{}: {bytes:?}", way.listener);
    }
    assert!(backends.is_empty() || backends.iter().any(|backend| backend.accepted() > 0));
}

fn effective(file: &Path) -> Table {
    let output =
        cli::sluice(["check".as_ref(), "--print-effective".as_ref(), "-c".as_ref(), file.as_os_str()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// Every listener's addresses, and every route there; of a port range the first, one in the middle and the last. Not those
/// of UDP: what a client says there is a datagram.
fn ways(config: &Table) -> Vec<Way> {
    let mut ways = vec![];
    for (name, listener) in table(config, "listeners") {
        let speaks = match text(listener, "protocol") {
            "udp" => continue,
            "http" => Speaks::Http,
            _ => Speaks::Bytes,
        };
        for bind in texts(listener, "bind") {
            let bind: Bind = bind.parse().unwrap();
            let (first, last) = (bind.ports.first(), bind.ports.last());
            for port in BTreeSet::from([first, first.midpoint(last), last]) {
                for ip in reachable(bind.host) {
                    ways.extend(pools(listener).into_iter().map(|(hello, pool)| Way {
                        listener: name.clone(),
                        address: SocketAddr::new(ip, port),
                        source: allowed_source(listener, ip),
                        speaks,
                        hello,
                        backends:
                            backend_addresses(config, pool).map(|b| b.for_listener_port(port)).collect(),
                    }));
                }
            }
        }
    }
    ways
}

/// The pools behind a listener, each with what a client has to say first who wants to get there.
fn pools(listener: &Value) -> Vec<(Vec<u8>, &str)> {
    let pool = listener.get("pool").map(|pool| pool.as_str().unwrap());
    match text(listener, "protocol") {
        "tls" => {}
        "http" => return routes(listener, pool),
        _ => return vec![(vec![], pool.unwrap())],
    }
    let default = pool.map(|pool| (Hello::to("nobody.invalid").bytes(), pool));
    let routes = listener.get("sni").and_then(Value::as_array).into_iter().flatten();
    let routed = routes.flat_map(|route| {
        texts(route, "names").into_iter().map(|name| {
            let hello = Hello::to(&name.replace('*', "any")).offering(&texts(route, "alpn"));
            (hello.bytes(), text(route, "pool"))
        })
    });
    routed.chain(default).collect()
}

/// The same of a listener for HTTP.
fn routes<'a>(listener: &'a Value, pool: Option<&'a str>) -> Vec<(Vec<u8>, &'a str)> {
    let request =
        |host: &str, path: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let default = pool.map(|pool| (request("nobody.invalid", "/"), pool));
    let routes = listener.get("routes").and_then(Value::as_array).into_iter().flatten();
    let routed = routes.map(|route| {
        let host = texts(route, "hosts").first().copied().unwrap_or("nobody.invalid");
        let path = route.get("path_prefix").and_then(Value::as_str).unwrap_or("/");
        (request(host, path), text(route, "pool"))
    });
    routed.chain(default).collect()
}

/// Addresses at which a client finds the bind: a wildcard is on every address of its families.
fn reachable(host: BindHost) -> Vec<IpAddr> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    match host {
        BindHost::Any => vec![v4, v6],
        BindHost::Ip(ip) if ip.is_unspecified() => vec![if ip.is_ipv4() { v4 } else { v6 }],
        BindHost::Ip(ip) => vec![ip],
    }
}

/// The last address of the first network of this family on the allow list: the first may be kept out by the other list.
fn allowed_source(listener: &Value, target: IpAddr) -> Option<IpAddr> {
    let network = texts(listener, "allow").into_iter().find(|text| text.contains(':') == target.is_ipv6())?;
    let (ip, prefix) =
        network.split_once('/').unwrap_or((network, if target.is_ipv4() { "32" } else { "128" }));
    let prefix: u32 = prefix.parse().unwrap();
    Some(match ip.parse().unwrap() {
        IpAddr::V4(ip) => {
            Ipv4Addr::from_bits(ip.to_bits() | (u32::MAX.checked_shr(prefix).unwrap_or(0) >> 1)).into()
        }
        IpAddr::V6(ip) => {
            Ipv6Addr::from_bits(ip.to_bits() | (u128::MAX.checked_shr(prefix).unwrap_or(0) >> 1)).into()
        }
    })
}

/// Those that have an address; what a DNS name stands for is not in the file.
fn backend_addresses<'a>(config: &'a Table, pool: &str) -> impl Iterator<Item = BackendAddress> + use<'a> {
    let entries =
        table(config, "pools").get(pool).unwrap().get("backends").and_then(Value::as_array).unwrap();
    entries.iter().filter_map(|entry| entry.get("address").unwrap_or(entry).as_str()?.parse().ok())
}

fn table<'a>(config: &'a Table, name: &str) -> &'a Table {
    config.get(name).and_then(Value::as_table).unwrap()
}

fn text<'a>(table: &'a Value, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap()
}

fn texts<'a>(table: &'a Value, key: &str) -> Vec<&'a str> {
    let array = table.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    array.iter().map(|text| text.as_str().unwrap()).collect()
}
