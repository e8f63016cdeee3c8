//! Listeners that speak HTTP, and their pools.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lb_model::{
    AccessLog, AccessLogDestination, AccessLogFormat, Algorithm, Config, HeaderEdit, Http, HttpUpstream,
    Listener, Pool, Protocol,
};

use super::{error_lines, parse, warning_lines};

/// A listener `web` for HTTP with the pools `web` and `api`, and `lines` in the listener, from the fifth on.
fn listener(lines: &str) -> String {
    format!(
        "version = 1\n[listeners.web]\nbind = [\"127.0.0.1:8080\"]\nprotocol = \"http\"\n{lines}\n\
         [listeners.other]\nbind = [\"127.0.0.1:8081\"]\nprotocol = \"http\"\npool = \"api\"\n\
         [pools.api]\nbackends = [\"127.0.0.1:9002\"]\n[pools.web]\nbackends = [\"127.0.0.1:9001\"]\n"
    )
}

fn config(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}")).config
}

fn web(lines: &str) -> Listener {
    config(&listener(lines)).listeners.remove(1)
}

fn http(lines: &str) -> Http {
    web(&format!("pool = \"web\"\n{lines}")).http.unwrap()
}

/// The name of the pool that serves a request.
fn served(config: &Config, host: &str, path: &str) -> String {
    let listener = &config.listeners[1];
    let routes = &listener.http.as_ref().unwrap().routes;
    let routed = routes.find(host.as_bytes(), path.as_bytes()).map(|id| routes.route(id).unwrap().pool);
    let pool = routed.or(listener.pool).and_then(|pool| config.pool(pool));
    pool.map_or_else(|| "none".to_owned(), |pool| pool.name.to_string())
}

/// Errors of the listener with a pool and `lines`, from line 6 on.
fn errors_of(lines: &str) -> Vec<String> {
    error_lines(&listener(&format!("pool = \"web\"\n{lines}")))
}

#[test]
fn a_pool_is_all_it_takes() {
    let listener = web("pool = \"web\"");
    assert_eq!(listener.protocol, Protocol::Http);
    assert_eq!(listener.header_timeout, Duration::from_secs(10));
    assert_eq!(listener.idle_timeout, Some(Duration::from_secs(600)));
    assert_eq!(listener.keepalive, Some(Duration::from_secs(60)));
    let http = listener.http.unwrap();
    let json = AccessLog { format: AccessLogFormat::Json, destination: AccessLogDestination::Stdout };
    assert_eq!(http, Http { access_log: Some(json), ..Http::new(lb_model::RouteTable::default()) });
    assert_eq!(http.max_header_bytes, 32 * 1024);
    assert_eq!(http.max_header_count.get(), 100);
    assert_eq!(http.max_uri_bytes, 8 * 1024);
    assert_eq!(http.max_body_bytes, None);
    assert_eq!(http.body_timeout, Some(Duration::from_secs(30)));
    assert_eq!(http.min_body_rate.unwrap().0.get(), 240);
    assert_eq!(http.min_response_rate.unwrap().0.get(), 240);
    assert_eq!(http.min_rate_grace, Duration::from_secs(5));
    assert_eq!(http.keepalive_timeout, Duration::from_secs(60));
    assert_eq!(http.max_requests_per_connection, None);
}

#[test]
fn the_settings_of_a_listener_arrive() {
    let http = http(
        "max_header_bytes = \"64KiB\"\nmax_header_count = 200\nmax_uri_bytes = \"16KiB\"\nmax_body_bytes = \"5GiB\"\n\
         body_timeout = \"off\"\nmin_body_rate = \"1KiB/s\"\nmin_response_rate = \"off\"\nmin_rate_grace = \"0s\"\n\
         keepalive_timeout = \"5s\"\nmax_requests_per_connection = 1000\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
         request_id_header = \"X-Request-Id\"\naccess_log = \"combined\"",
    );
    assert_eq!(http.max_header_bytes, 64 * 1024);
    assert_eq!(http.max_header_count.get(), 200);
    assert_eq!(http.max_uri_bytes, 16 * 1024);
    assert_eq!(http.max_body_bytes, Some(5 << 30));
    assert_eq!(http.body_timeout, None);
    assert_eq!(http.min_body_rate.unwrap().0.get(), 1024);
    assert_eq!(http.min_response_rate, None);
    assert_eq!(http.min_rate_grace, Duration::ZERO);
    assert_eq!(http.keepalive_timeout, Duration::from_secs(5));
    assert_eq!(http.max_requests_per_connection.unwrap().get(), 1000);
    assert!(http.trusted_proxies.contains("10.9.9.9".parse::<IpAddr>().unwrap()));
    assert!(!http.trusted_proxies.contains("11.0.0.1".parse::<IpAddr>().unwrap()));
    assert_eq!(http.request_id_header.unwrap().as_str(), "X-Request-Id");

    let listener = web(
        "pool = \"web\"\nheader_timeout = \"2s\"\naccept_proxy = [\"10.0.0.0/8\"]\nidle_timeout = \"1h\"\n\
         keepalive = \"off\"\nmax_connections = 5\nmax_connections_per_client = 2\nallow = [\"::/0\"]",
    );
    assert_eq!((listener.header_timeout, listener.keepalive), (Duration::from_secs(2), None));
    assert_eq!(listener.idle_timeout, Some(Duration::from_secs(3600)));
}

#[test]
fn an_access_log_goes_where_it_is_sent() {
    use AccessLogDestination::{File, Stderr, Stdout};
    use AccessLogFormat::{Combined, Json};

    let file = |path: &str| File(Path::new(path).to_owned());
    for (written, expected) in [
        ("\"off\"", None),
        ("\"json\"", Some((Json, Stdout))),
        ("\"combined\"", Some((Combined, Stdout))),
        ("{}", Some((Json, Stdout))),
        ("{ format = \"combined\" }", Some((Combined, Stdout))),
        ("{ path = \"stderr\" }", Some((Json, Stderr))),
        ("{ format = \"json\", path = \"stdout\" }", Some((Json, Stdout))),
        ("{ path = \"/var/log/a.log\" }", Some((Json, file("/var/log/a.log")))),
        ("{ path = \"./stdout\" }", Some((Json, file("./stdout")))),
    ] {
        let expected = expected.map(|(format, destination)| AccessLog { format, destination });
        assert_eq!(http(&format!("access_log = {written}")).access_log, expected, "{written}");
    }
}

#[test]
fn requests_leave_lines_where_connections_leave_records() {
    let without_records = |lines: &str| {
        config(&format!("{}[log]\naccess = false\n", listener(lines))).listeners.remove(1).http.unwrap()
    };
    assert_eq!(without_records("pool = \"web\"").access_log, None);
    // What is set is binding.
    assert!(without_records("pool = \"web\"\naccess_log = \"json\"").access_log.is_some());
}

#[test]
fn hosts_and_paths_choose_pools() {
    let config = config(&listener(
        "pool = \"web\"\nroutes = [\n{ hosts = [\"API.example.com\", \"[2001:db8::1]\", \"192.0.2.1\"], pool = \"api\" },\n\
         { path_prefix = \"/api/\", pool = \"api\" },\n{ hosts = [\"api.example.com\"], path_prefix = \"/web\", pool = \"web\" },\n]",
    ));
    for (host, path, pool) in [
        ("example.com", "/", "web"),
        ("example.com", "/api", "api"),
        ("example.com", "/api/v1?q", "api"),
        ("example.com", "/apiary", "web"),
        ("api.example.com:8080", "/", "api"),
        ("Api.Example.COM", "/web/1", "web"),
        ("[2001:db8::1]", "/", "api"),
        ("192.0.2.1:80", "/", "api"),
        ("", "/", "web"),
    ] {
        assert_eq!(served(&config, host, path), pool, "{host} {path}");
    }
}

#[test]
fn without_a_pool_only_what_a_route_is_for_is_served() {
    let text = listener("[[listeners.web.routes]]\npath_prefix = \"/api\"\npool = \"web\"");
    // A pool that only a route names is used.
    assert_eq!(warning_lines(&text), [""; 0]);
    assert_eq!(served(&config(&text), "", "/api"), "web");
    assert_eq!(served(&config(&text), "", "/"), "none");
    let missing = ["2:1: listeners.web: nothing says who serves clients: set `pool`, or `routes`, or both"];
    assert_eq!(error_lines(&listener("")), missing);
    assert_eq!(error_lines(&listener("routes = []")), missing);
    // What cannot be read may say so.
    assert_eq!(error_lines(&listener("routes = 5")).len(), 1);
    assert_eq!(error_lines(&listener("routes = [5]")).len(), 1);
}

#[test]
fn headers_are_edited_in_a_fixed_order() {
    let config = config(&listener(
        "[[listeners.web.routes]]\npool = \"web\"\n[listeners.web.routes.request_headers]\n\
         add = { X-B = \"2\", \"X-A\" = \"1\" }\nset = { X-Env = \"${EMPTY:-prod} $$1\" }\nremove = [\"Cookie\", \"X-A\"]\n\
         [listeners.web.routes.response_headers]\nremove = [\"Server\"]",
    ));
    let routes = &config.listeners[1].http.as_ref().unwrap().routes;
    let route = routes.iter().next().unwrap();
    let shown = |edits: &[HeaderEdit]| -> Vec<String> {
        let edit = |edit: &HeaderEdit| match edit {
            HeaderEdit::Remove(name) => format!("-{name}"),
            HeaderEdit::Set(name, value) => format!("{name}={value}"),
            HeaderEdit::Add(name, value) => format!("+{name}={value}"),
        };
        edits.iter().map(edit).collect()
    };
    let in_order = ["-Cookie", "-X-A", "X-Env=prod $1", "+X-A=1", "+X-B=2"];
    assert_eq!(shown(&route.request_headers), in_order);
    assert_eq!(shown(&route.response_headers), ["-Server"]);
}

#[test]
fn routes_are_checked() {
    let text = listener(
        "[[listeners.web.routes]]\nhosts = [\"*.example.com\", \"a.example:80\", \"b c\"]\npath_prefix = \"api\"\npool = \"wbe\"\n\
         [[listeners.web.routes]]\nhost = [\"a\"]\npath_prefix = \"/a?b\"",
    );
    assert_eq!(
        error_lines(&text),
        [
            "6:10: listeners.web.routes[0].hosts[0]: \"*.example.com\" has a `*`; list each host, or leave `hosts` out for all",
            "6:27: listeners.web.routes[0].hosts[1]: \"a.example:80\" has a port; write \"a.example\" alone, it is meant with every port",
            "6:43: listeners.web.routes[0].hosts[2]: \"b c\" is no part of a host name; expected 1 to 63 letters, digits, `-` and `_`, without `-` at either end",
            "7:15: listeners.web.routes[0].path_prefix: \"api\" is not a path: expected a `/` first, for example \"/api\"",
            "8:8: listeners.web.routes[0].pool: there is no pool \"wbe\"; did you mean \"web\"?",
            "9:1: listeners.web.routes[1]: the key `pool` is missing",
            "10:1: listeners.web.routes[1].host: unknown key; did you mean \"hosts\"?",
            "11:15: listeners.web.routes[1].path_prefix: \"/a?b\" has a query or a fragment; expected the path alone",
        ]
    );
}

#[test]
fn no_request_is_for_two_routes() {
    let text = listener(
        "routes = [\n{ hosts = [\"a.example\", \"b.example\"], path_prefix = \"/x\", pool = \"web\" },\n\
         { hosts = [\"c.example\", \"B.example.\"], path_prefix = \"/x/\", pool = \"api\" },\n\
         { path_prefix = \"/x\", pool = \"web\" },\n{ hosts = [], path_prefix = \"/x/\", pool = \"api\" },\n\
         { pool = \"web\" },\n{ pool = \"api\", path_prefix = \"/\" },\n\
         { hosts = [\"a.example\", \"A.example\"], pool = \"api\" },\n]",
    );
    assert_eq!(
        error_lines(&text),
        [
            "7:25: listeners.web.routes[1].hosts[1]: this listener has \"/x\" of b.example twice: here, and at sluice.toml:6:25; leave one out",
            "9:29: listeners.web.routes[3].path_prefix: this listener has \"/x\" of all hosts twice: here, and at sluice.toml:8:17; leave one out",
            "11:31: listeners.web.routes[5].path_prefix: this listener has \"/\" of all hosts twice: here, and at sluice.toml:10:1; leave one out",
            "12:25: listeners.web.routes[6].hosts[1]: this listener has \"/\" of a.example twice: here, and at sluice.toml:12:12; leave one out",
        ]
    );
    // Perhaps the one that cannot be read is another.
    for unreadable in ["hosts = [\"a b\"], ", "path_prefix = \"x\", ", "hosts = 5, "] {
        let text = listener(&format!("routes = [{{ pool = \"web\" }}, {{ {unreadable}pool = \"api\" }}]"));
        assert_eq!(error_lines(&text).len(), 1, "{unreadable}");
    }
}

#[test]
fn a_pool_that_gets_nothing_is_warned_of() {
    let text =
        listener("pool = \"web\"\nroutes = [{ path_prefix = \"/a\", pool = \"web\" }, { pool = \"api\" }]");
    assert_eq!(
        warning_lines(&text),
        [
            "5:8: listeners.web.pool: no request gets to this pool: the route at sluice.toml:6:49 is for all that others leave"
        ]
    );
    let text = listener("pool = \"web\"\nroutes = [{ hosts = [\"a\"], pool = \"api\" }]");
    assert_eq!(warning_lines(&text), [""; 0]);
}

#[test]
fn headers_of_sluice_and_broken_ones_are_refused() {
    let text = listener(
        "[[listeners.web.routes]]\npool = \"web\"\n[listeners.web.routes.request_headers]\n\
         set = { Content-Length = \"0\", \"a b\" = \"1\", X-A = \"a\\nX-Admin: 1\", X-B = \"\", X-C = 5 }\n\
         add = { host = \"a\", X-D = \" a\" }\nremove = [\"Transfer-Encoding\", \"\", 1]\n\
         [listeners.web.routes.response_headers]\nset = [\"a\"]\nadd = \"b\"",
    );
    assert_eq!(
        error_lines(&text),
        [
            "8:9: listeners.web.routes[0].request_headers.set.Content-Length: the header `content-length` is about the connection or the end of the message: Sluice writes it itself",
            "8:31: listeners.web.routes[0].request_headers.set.\"a b\": \"a b\" is not the name of a header; expected letters, digits and `-`, for example \"X-Environment\"",
            "8:50: listeners.web.routes[0].request_headers.set.X-A: \"a\\nX-Admin: 1\" is not the value of a header: it has the control character '\\n'",
            "8:73: listeners.web.routes[0].request_headers.set.X-B: the value is empty; to have no such header, put its name into `remove`",
            "8:83: listeners.web.routes[0].request_headers.set.X-C: expected the value of a header in quotes, found the number 5",
            "9:9: listeners.web.routes[0].request_headers.add.host: the header `host` is what routes go by, and backends get it as the client sent it",
            "9:27: listeners.web.routes[0].request_headers.add.X-D: \" a\" begins or ends with white space, which is not part of a header's value",
            "10:11: listeners.web.routes[0].request_headers.remove[0]: the header `transfer-encoding` is about the connection or the end of the message: Sluice writes it itself",
            "10:32: listeners.web.routes[0].request_headers.remove[1]: \"\" is not the name of a header; expected letters, digits and `-`, for example \"X-Environment\"",
            "10:36: listeners.web.routes[0].request_headers.remove[2]: expected the name of a header in quotes, for example \"X-Request-Id\", found the number 1",
            "12:7: listeners.web.routes[0].response_headers.set: expected a table of headers, for example { X-Environment = \"production\" }, found a list",
            "13:7: listeners.web.routes[0].response_headers.add: expected a table of headers, for example { X-Environment = \"production\" }, found the text \"b\"",
        ]
    );
}

#[test]
fn a_header_has_one_fate() {
    let edits =
        |edits: &str| listener(&format!("routes = [{{ pool = \"web\", request_headers = {{ {edits} }} }}]"));
    let twice = |at: usize, key: &str, name: &str, first: usize| {
        format!(
            "5:{at}: listeners.web.routes[0].request_headers.{key}: the header `{name}` is set or removed twice: here, and at sluice.toml:5:{first}; leave one out"
        )
    };
    assert_eq!(error_lines(&edits("set = { X-A = \"1\", x-a = \"2\" }")), [twice(66, "set.x-a", "x-a", 55)]);
    assert_eq!(error_lines(&edits("remove = [\"x-a\", \"X-A\"]")), [twice(64, "remove[1]", "X-A", 57)]);
    assert_eq!(
        error_lines(&edits("remove = [\"x-a\"], set = { X-A = \"1\" }")),
        [twice(73, "set.X-A", "X-A", 57)]
    );
    for several_values in
        ["remove = [\"x-a\"], add = { X-A = \"1\" }", "set = { a = \"1\" }, add = { a = \"2\", A = \"3\" }"]
    {
        parse(&edits(several_values)).unwrap_or_else(|errors| panic!("{errors}"));
    }
}

#[test]
fn values_have_bounds() {
    assert_eq!(
        errors_of(
            "max_header_bytes = \"512B\"\nmax_header_count = 0\nmax_uri_bytes = \"0B\"\nmax_body_bytes = \"1TB\"\n\
             body_timeout = \"0s\"\nmin_body_rate = \"240\"\nmin_response_rate = \"0B/s\"\nmin_rate_grace = 5\n\
             keepalive_timeout = \"off\"\nmax_requests_per_connection = 0\ntrusted_proxies = [\"proxy\"]\n\
             request_id_header = \"Connection\"\naccess_log = { format = \"jsno\", path = \"\" }\nheader_timeout = \"0s\""
        ),
        [
            "6:20: listeners.web.max_header_bytes: must be from 1KiB to 1MiB",
            "7:20: listeners.web.max_header_count: expected a whole number from 1 to 10000, found the number 0",
            "8:17: listeners.web.max_uri_bytes: must be from 1B to 32KiB",
            "9:18: listeners.web.max_body_bytes: \"TB\" is not a unit of size; the units are B, KiB, MiB and GiB",
            "10:16: listeners.web.body_timeout: must be longer than zero; write \"off\" for never",
            "11:17: listeners.web.min_body_rate: \"240\" is not a rate; expected a size per second, for example \"1KiB/s\"; or write \"off\"",
            "12:21: listeners.web.min_response_rate: a rate is more than nothing; or write \"off\"",
            "13:18: listeners.web.min_rate_grace: expected a duration in quotes with its unit, for example \"30s\" or \"250ms\", found the number 5",
            "14:21: listeners.web.keepalive_timeout: expected a whole number and a unit at \"off\", as in \"1m 30s\" or \"250ms\"",
            "15:31: listeners.web.max_requests_per_connection: expected a whole number from 1 to 4294967295, found the number 0",
            "16:20: listeners.web.trusted_proxies[0]: \"proxy\" is not a network; expected for example 10.0.0.0/8, 2001:db8::/32 or the address 192.0.2.7",
            "17:21: listeners.web.request_id_header: the header `connection` is about the connection or the end of the message: Sluice writes it itself",
            "18:25: listeners.web.access_log.format: \"jsno\" is not possible here; did you mean \"json\"?",
            "18:40: listeners.web.access_log.path: the path is empty; leave the key out where there is no file",
            "19:18: listeners.web.header_timeout: must be longer than zero; no header comes in no time",
        ]
    );
    assert_eq!(
        errors_of("access_log = true"),
        [
            "6:14: listeners.web.access_log: expected \"off\", \"json\", \"combined\" or a table such as { format = \"combined\", path = \"/var/log/sluice/access.log\" }, found true"
        ]
    );
    assert_eq!(
        errors_of("keepalive_timeout = \"0s\""),
        [
            "6:21: listeners.web.keepalive_timeout: must be longer than zero; write max_requests_per_connection = 1 for connections without a second request"
        ]
    );
}

#[test]
fn a_uri_fits_into_its_head() {
    assert_eq!(http("max_header_bytes = \"4KiB\"").max_uri_bytes, 4 * 1024);
    assert_eq!(http("max_header_bytes = \"1MiB\"\nmax_uri_bytes = \"1MiB\"").max_uri_bytes, 1 << 20);
    assert_eq!(
        errors_of("max_header_bytes = \"4KiB\"\nmax_uri_bytes = \"5KiB\""),
        ["7:17: listeners.web.max_uri_bytes: must be from 1B to 4KiB"]
    );
    // Of a head whose size cannot be read, the default holds.
    assert_eq!(errors_of("max_header_bytes = 1\nmax_uri_bytes = \"9KiB\"").len(), 1);
}

#[test]
fn keys_of_other_protocols_are_told_so() {
    assert_eq!(
        errors_of("replies = 1\nsni = []"),
        [
            "6:11: listeners.web.replies: `replies` is for listeners of protocol udp, this one is of protocol http",
            "7:7: listeners.web.sni: `sni` is for listeners of protocol tls, this one is of protocol http",
        ]
    );
    let keys = [
        ("routes", "[{ pool = \"web\" }]"),
        ("max_header_bytes", "\"8KiB\""),
        ("max_header_count", "50"),
        ("max_uri_bytes", "\"1KiB\""),
        ("max_body_bytes", "\"1MiB\""),
        ("body_timeout", "\"1s\""),
        ("min_body_rate", "\"1KiB/s\""),
        ("min_response_rate", "\"off\""),
        ("min_rate_grace", "\"1s\""),
        ("keepalive_timeout", "\"1s\""),
        ("max_requests_per_connection", "1"),
        ("trusted_proxies", "[]"),
        ("request_id_header", "\"X-Id\""),
        ("access_log", "\"off\""),
    ];
    for protocol in ["tcp", "tls", "udp"] {
        for (key, value) in keys {
            let text = listener(&format!("pool = \"web\"\n{key} = {value}"));
            let text = text.replacen("\"http\"", &format!("\"{protocol}\""), 1);
            let at = format!("6:{}: listeners.web.{key}", key.len() + 4);
            let told = format!(
                "{at}: `{key}` is for listeners of protocol http, this one is of protocol {protocol}"
            );
            assert_eq!(error_lines(&text), [told]);
        }
    }
    // Of a listener whose protocol is not known, nothing of the kind is said.
    let text = listener("pool = \"web\"\nmax_uri_bytes = \"1KiB\"").replacen("\"http\"", "\"htpt\"", 1);
    assert_eq!(
        error_lines(&text),
        ["4:12: listeners.web.protocol: \"htpt\" is not possible here; did you mean \"http\"?"]
    );
}

/// The pool `web`, with `lines` in it.
fn pool(lines: &str) -> Pool {
    config(&format!("{}{lines}\n", listener("pool = \"web\""))).pools.remove(1)
}

#[test]
fn the_settings_of_a_pool_arrive() {
    assert_eq!(pool("").http, HttpUpstream::DEFAULT);
    let second = Duration::from_secs(1);
    assert_eq!(
        pool(
            "first_byte_timeout = \"1s\"\nidle_timeout = \"off\"\ntotal_timeout = \"1m\"\nmax_idle_connections = 0\n\
             idle_connection_timeout = \"4s\""
        )
        .http,
        HttpUpstream {
            first_byte_timeout: Some(second),
            idle_timeout: None,
            total_timeout: Some(60 * second),
            max_idle_connections: 0,
            idle_connection_timeout: 4 * second,
        }
    );
    let text = format!(
        "{}first_byte_timeout = \"0s\"\nidle_timeout = \"0s\"\ntotal_timeout = \"0s\"\nmax_idle_connections = -1\n\
         idle_connection_timeout = \"0s\"\n",
        listener("pool = \"web\"")
    );
    assert_eq!(
        error_lines(&text),
        [
            "14:22: pools.web.first_byte_timeout: must be longer than zero; write \"off\" for never",
            "15:16: pools.web.idle_timeout: must be longer than zero; write \"off\" for never",
            "16:17: pools.web.total_timeout: must be longer than zero; write \"off\" for never",
            "17:24: pools.web.max_idle_connections: expected a whole number from 0 to 4294967295, found the number -1",
            "18:27: pools.web.idle_connection_timeout: must be longer than zero; write max_idle_connections = 0 to keep no connection",
        ]
    );
}

#[test]
fn what_a_pool_has_for_http_is_of_no_effect_elsewhere() {
    let text = format!(
        "{}first_byte_timeout = \"1s\"\nidle_timeout = \"1s\"\ntotal_timeout = \"1s\"\nmax_idle_connections = 1\n\
         idle_connection_timeout = \"1s\"\n",
        listener("pool = \"web\"").replacen("\"http\"", "\"tcp\"", 1)
    );
    let warning = |(line, column, key)| {
        format!(
            "{line}:{column}: pools.web.{key}: of no effect: no listener with protocol = \"http\" uses this pool"
        )
    };
    let keys = [
        (14, 22, "first_byte_timeout"),
        (15, 16, "idle_timeout"),
        (16, 17, "total_timeout"),
        (17, 24, "max_idle_connections"),
        (18, 27, "idle_connection_timeout"),
    ];
    assert_eq!(warning_lines(&text), keys.map(warning));
    assert_eq!(config(&text).pools[1].http, HttpUpstream::DEFAULT);
}

#[test]
fn requests_go_where_the_fewest_are() {
    let balance = |text: &str| config(text).pools[1].balance;
    let by_pool = listener("pool = \"web\"");
    assert_eq!(balance(&by_pool), Algorithm::LeastConnections);
    assert_eq!(balance(&listener("routes = [{ pool = \"web\" }]")), Algorithm::LeastConnections);
    assert_eq!(balance(&by_pool.replacen("\"http\"", "\"tcp\"", 1)), Algorithm::Hash);
    // A pool of both kinds.
    let tcp = "[listeners.tcp]\nbind = [\"127.0.0.1:8082\"]\nprotocol = \"tcp\"\npool = \"web\"\n";
    assert_eq!(balance(&format!("{by_pool}{tcp}")), Algorithm::LeastConnections);
    // What is set is binding.
    assert_eq!(balance(&format!("{by_pool}balance = \"hash\"\n")), Algorithm::Hash);
}

#[test]
fn connections_of_many_clients_begin_with_no_header_of_one() {
    let send = "send_proxy = \"v2\"\n";
    assert_eq!(
        error_lines(&format!(
            "{}{send}",
            listener("pool = \"api\"\nroutes = [{ path_prefix = \"/a\", pool = \"web\" }]")
        )),
        [
            "6:40: listeners.web.routes[0].pool: connections to HTTP backends are shared by clients, whom `X-Forwarded-For` names and no PROXY header could, but the pool \"web\" has `send_proxy`, at sluice.toml:15:14; give this listener another pool"
        ]
    );
    assert_eq!(error_lines(&format!("{}{send}", listener("pool = \"web\""))).len(), 1);
    parse(&format!("{}send_proxy = \"off\"\n", listener("pool = \"web\""))).unwrap();
}

#[test]
fn it_has_the_ports_of_tcp() {
    let text = listener("pool = \"web\"").replace(":8081", ":8080");
    assert_eq!(
        error_lines(&text),
        [
            "7:9: listeners.other.bind[0]: 127.0.0.1:8080 of listener other overlaps 127.0.0.1:8080 of listener web at sluice.toml:3:9"
        ]
    );
}

#[test]
fn the_effective_listener() {
    let text = listener(
        "pool = \"web\"\nroutes = [{ hosts = [\"A.example\"], path_prefix = \"/a/\", pool = \"api\", \
         request_headers = { set = { X-A = \"$$1\" }, remove = [\"Cookie\"] } }]\ntrusted_proxies = [\"10.0.0.1\"]\n\
         access_log = { path = \"/a.log\" }",
    );
    let expected = r#"
[listeners.web]
bind = ["127.0.0.1:8080"]
protocol = "http"
pool = "web"
routes = [
    { hosts = ["a.example"], path_prefix = "/a", pool = "api", request_headers = { set = { X-A = "$$1" }, add = {}, remove = ["Cookie"] }, response_headers = {} },
]
max_header_bytes = "32KiB"
max_header_count = 100
max_uri_bytes = "8KiB"
# max_body_bytes: no limit
body_timeout = "30s"
min_body_rate = "240B/s"
min_response_rate = "240B/s"
min_rate_grace = "5s"
keepalive_timeout = "1m"
# max_requests_per_connection: no limit
trusted_proxies = ["10.0.0.1/32"]
# request_id_header: none
access_log = { format = "json", path = "/a.log" }
accept_proxy = []
header_timeout = "10s"
# max_connections: no limit
# max_connections_per_client: no limit
idle_timeout = "10m"
keepalive = "1m"
allow = []
deny = []
"#;
    let effective = crate::effective(&config(&text));
    assert!(effective.contains(expected), "{effective}");
    let upstream = "first_byte_timeout = \"1m\"\nidle_timeout = \"1m\"\ntotal_timeout = \"off\"\nmax_idle_connections = 256\n\
                    idle_connection_timeout = \"30s\"\n";
    assert_eq!(effective.matches(upstream).count(), 2, "{effective}");
}
