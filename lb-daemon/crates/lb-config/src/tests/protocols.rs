//! What belongs to the protocol of a listener: keys, routes by name, PROXY protocol headers.

use std::time::Duration;

use lb_model::{Include, Listener, Pool, Protocol, ProxyTlvs, SendProxy, SniRoute};

use super::{MINIMAL, error_lines, parse, warning_lines, with_pool};

/// The minimal configuration with another protocol and `lines` added to its listener.
fn listener(protocol: &str, lines: &str) -> String {
    MINIMAL
        .replace("\"tcp\"", &format!("\"{protocol}\""))
        .replace("[pools.web]", &format!("{lines}\n[pools.web]"))
}

/// The listener of that configuration, which has no mistakes.
fn parsed(protocol: &str, lines: &str) -> Listener {
    let text = listener(protocol, lines);
    parse(&text).unwrap_or_else(|errors| panic!("{errors}")).config.listeners.remove(0)
}

/// A listener for TLS without a pool of its own, with routes.
fn routes(routes: &str) -> String {
    listener("tls", routes).replacen("pool = \"web\"\n", "", 1)
}

#[test]
fn the_settings_of_a_protocol_arrive() {
    let udp = parsed("udp", "");
    assert_eq!((udp.protocol, udp.replies, udp.max_connections), (Protocol::Udp, None, None));
    assert_eq!((udp.idle_timeout, udp.keepalive), (Some(crate::default::FLOW_IDLE_TIMEOUT), None));
    let dns = parsed("udp", "replies = 1\nidle_timeout = \"2s\"\nmax_connections = 9");
    assert_eq!(dns.replies.unwrap().get(), 1);
    assert_eq!(dns.idle_timeout, Some(Duration::from_secs(2)));
    assert_eq!(dns.max_connections.unwrap().get(), 9);

    let tls = parsed("tls", "header_timeout = \"1s\"\naccept_proxy = [\"10.0.0.0/8\", \"192.0.2.7\"]");
    assert_eq!((tls.protocol, tls.header_timeout), (Protocol::Tls, Duration::from_secs(1)));
    assert_eq!(
        (tls.idle_timeout, tls.keepalive),
        (crate::default::IDLE_TIMEOUT, crate::default::CLIENT_KEEPALIVE)
    );
    assert_eq!(tls.accept_proxy, ["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse().unwrap()]);
    let tcp = parsed("tcp", "header_timeout = \"1s\"\naccept_proxy = [\"::1\"]");
    assert_eq!(tcp.header_timeout, Duration::from_secs(1));
}

#[test]
fn keys_of_other_protocols_are_told_so() {
    let lines = "accept_proxy = []\nheader_timeout = \"1s\"\nkeepalive = \"off\"\nsni = []";
    assert_eq!(
        error_lines(&listener("udp", lines)),
        [
            "6:16: listeners.web.accept_proxy: `accept_proxy` is for listeners of protocol tcp, tls and http, this one is of protocol udp",
            "7:18: listeners.web.header_timeout: `header_timeout` is for listeners of protocol tcp, tls and http, this one is of protocol udp",
            "8:13: listeners.web.keepalive: `keepalive` is for listeners of protocol tcp, tls and http, this one is of protocol udp",
            "9:7: listeners.web.sni: `sni` is for listeners of protocol tls, this one is of protocol udp",
        ]
    );
    let lines = "replies = 1\n[[listeners.web.sni]]\nnames = [\"a.example.com\"]\npool = \"web\"";
    assert_eq!(
        error_lines(&listener("tcp", lines)),
        [
            "6:11: listeners.web.replies: `replies` is for listeners of protocol udp, this one is of protocol tcp",
            "7:1: listeners.web.sni[0]: `sni` is for listeners of protocol tls, this one is of protocol tcp",
        ]
    );
    assert_eq!(
        error_lines(&listener("tls", "replies = 0")),
        ["6:11: listeners.web.replies: expected a whole number from 1 to 65535, found the number 0"]
    );
    // Of a listener whose protocol is not known, nothing of the kind is said.
    assert_eq!(error_lines(&listener("ucp", "replies = 1\nkeepalive = \"1s\"")).len(), 1);
}

#[test]
fn flows_end() {
    for nonsense in ["\"off\"", "\"0s\""] {
        assert_eq!(
            error_lines(&listener("udp", &format!("idle_timeout = {nonsense}"))),
            [
                "6:16: listeners.web.idle_timeout: must be longer than zero and not \"off\": only silence tells that a flow of datagrams has ended"
            ]
        );
    }
}

#[test]
fn a_timeout_for_nothing_is_warned_of() {
    let expected = [
        "6:18: listeners.web.header_timeout: nothing is waited for: no header comes first without `accept_proxy`",
    ];
    assert_eq!(warning_lines(&listener("tcp", "header_timeout = \"1s\"")), expected);
    assert_eq!(warning_lines(&listener("tcp", "header_timeout = \"1s\"\naccept_proxy = []")), expected);
    for (protocol, lines) in [("tls", ""), ("tcp", "accept_proxy = [\"10.0.0.0/8\"]")] {
        let text = listener(protocol, &format!("header_timeout = \"1s\"\n{lines}"));
        assert_eq!(warning_lines(&text), [""; 0]);
    }
    assert_eq!(
        error_lines(&listener("tls", "header_timeout = \"0s\"")),
        ["6:18: listeners.web.header_timeout: must be longer than zero; no header comes in no time"]
    );
}

#[test]
fn who_accepts_headers_names_networks() {
    assert_eq!(
        error_lines(&listener("tcp", "accept_proxy = [\"10.0.0.1/8\", \"proxy.example.com\"]")),
        [
            "6:17: listeners.web.accept_proxy[0]: 10.0.0.1/8 has bits set after the prefix; the network is 10.0.0.0/8, the address alone is 10.0.0.1",
            "6:31: listeners.web.accept_proxy[1]: \"proxy.example.com\" is not a network; expected for example 10.0.0.0/8, 2001:db8::/32 or the address 192.0.2.7",
        ]
    );
}

#[test]
fn names_choose_pools() {
    let text = routes(
        "[[listeners.web.sni]]\nnames = [\"WWW.example.com\", \"*.b.example.com\"]\nalpn = [\"h2\"]\npool = \"web\"\n\
         [[listeners.web.sni]]\nnames = [\"www.example.com\"]\npool = \"other\"\n\
         [pools.other]\nbackends = [\"10.0.0.1\"]",
    );
    let loaded = parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
    // A pool that only a route names is used.
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    let listener = &config.listeners[0];
    assert_eq!(listener.pool, None);
    let names: Vec<_> = listener
        .sni
        .iter()
        .map(|route| route.names.iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect();
    assert_eq!(names, [vec!["www.example.com", "*.b.example.com"], vec!["www.example.com"]]);
    let alpn = |route: &SniRoute| route.alpn.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(listener.sni.iter().map(alpn).collect::<Vec<_>>(), ["h2", ""]);
    let pool = |route: &SniRoute| config.pool(route.pool).unwrap().name.to_string();
    assert_eq!(listener.sni.iter().map(pool).collect::<Vec<_>>(), ["web", "other"]);
}

#[test]
fn somebody_serves_every_listener() {
    let without_pool =
        |protocol: &str, lines: &str| listener(protocol, lines).replacen("pool = \"web\"\n", "", 1);
    let missing = ["2:1: listeners.web: nothing says who serves clients: set `pool`, or `sni`, or both"];
    assert_eq!(error_lines(&without_pool("tls", "")), missing);
    assert_eq!(error_lines(&without_pool("tls", "sni = []")), missing);
    for protocol in ["tcp", "udp"] {
        assert_eq!(
            error_lines(&without_pool(protocol, "")),
            ["2:1: listeners.web: the key `pool` is missing"]
        );
    }
    // What cannot be read may say so.
    assert_eq!(error_lines(&without_pool("tls", "sni = 5")).len(), 1);
    assert_eq!(error_lines(&without_pool("tsl", "sni = [{ names = [\"a\"], pool = \"web\" }]")).len(), 1);
}

#[test]
fn routes_are_checked() {
    let text = routes(
        "[[listeners.web.sni]]\nnames = [\"10.0.0.1\", \"*\"]\nalpn = [\"\"]\npool = \"wbe\"\n\
         [[listeners.web.sni]]\nnames = []\n\
         [[listeners.web.sni]]\nnmaes = [\"a.example.com\"]\npool = \"web\"",
    );
    assert_eq!(
        error_lines(&text),
        [
            "6:10: listeners.web.sni[0].names[0]: 10.0.0.1 is an IP address; expected a host name, because TLS clients ask for names only",
            "6:22: listeners.web.sni[0].names[1]: \"*\" has a `*` in the wrong place; expected it as the whole first label, for example \"*.example.com\"",
            "7:9: listeners.web.sni[0].alpn[0]: \"\" is not an application protocol; expected for example \"h2\" or \"http/1.1\"",
            "8:8: listeners.web.sni[0].pool: there is no pool \"wbe\"; did you mean \"web\"?",
            "9:1: listeners.web.sni[1]: the key `pool` is missing",
            "10:9: listeners.web.sni[1].names: must have at least one name",
            "11:1: listeners.web.sni[2]: the key `names` is missing",
            "12:1: listeners.web.sni[2].nmaes: unknown key; did you mean \"names\"?",
        ]
    );
}

#[test]
fn a_name_is_in_one_route() {
    let text = routes(
        "sni = [\n{ names = [\"a.example.com\", \"A.example.com\"], pool = \"web\" },\n\
         { names = [\"*.example.com\", \"a.example.com\"], pool = \"web\" },\n]",
    );
    assert_eq!(
        error_lines(&text),
        [
            "6:29: listeners.web.sni[0].names[1]: this listener has \"a.example.com\" twice: here, and at sluice.toml:6:12; leave one out",
            "7:29: listeners.web.sni[1].names[1]: this listener has \"a.example.com\" twice: here, and at sluice.toml:6:12; leave one out",
        ]
    );
    // Perhaps the one whose protocols cannot be read is another.
    let unreadable = text.replace("\"A.example.com\"], ", "\"b\"], alpn = [\"a b\"], ");
    assert_eq!(error_lines(&unreadable).len(), 1);
}

#[test]
fn routes_that_get_nobody_are_warned_of() {
    let warnings = |sni: &[(&str, &str)]| {
        let route = |(name, alpn): &(&str, &str)| {
            format!("{{ names = [\"{name}\"], alpn = [{alpn}], pool = \"web\" }},\n")
        };
        warning_lines(&routes(&format!("sni = [\n{}]", sni.iter().map(route).collect::<String>())))
    };
    let at_line = |line: usize, name: &str, first: usize| {
        let key = format!("{line}:12: listeners.web.sni[{}].names[0]", line - 6);
        format!(
            "{key}: no client that asks for \"{name}\" gets to this route: earlier ones take all that its `alpn` is for, the first is at sluice.toml:{first}:12"
        )
    };
    assert_eq!(warnings(&[("a", ""), ("a", "\"h2\"")]), [at_line(7, "a", 6)]);
    assert_eq!(warnings(&[("a", "\"h2\", \"h3\""), ("a", "\"h3\"")]), [at_line(7, "a", 6)]);
    assert_eq!(warnings(&[("a", "\"x\""), ("a", "\"y\""), ("a", "\"y\", \"x\"")]), [at_line(8, "a", 7)]);
    for some_are_left in [
        [("a", "\"h2\""), ("a", "")],
        [("a", "\"h2\""), ("a", "\"h2\", \"h3\"")],
        [("a", ""), ("*.a", "\"h2\"")],
        [("*.a.b", ""), ("a.a.b", "\"h2\"")],
    ] {
        assert_eq!(warnings(&some_are_left), [""; 0], "{some_are_left:?}");
    }
}

#[test]
fn datagrams_and_connections_have_ports_of_their_own() {
    let other = |protocol: &str| {
        format!(
            "{MINIMAL}[listeners.b]\nbind = [\"127.0.0.1:8080\"]\nprotocol = \"{protocol}\"\npool = \"web\"\n"
        )
    };
    assert!(parse(&other("udp")).is_ok());
    let overlap = "9:9: listeners.b.bind[0]: 127.0.0.1:8080 of listener b overlaps 127.0.0.1:8080 of listener web at sluice.toml:3:9";
    assert_eq!(error_lines(&other("tls")), [overlap]);
    assert_eq!(error_lines(&other("udp").replace("\"tcp\"", "\"udp\"")), [overlap]);
    // The admin API is TCP.
    let admin =
        |protocol: &str| listener(protocol, "[admin.tcp]\nbind = \"127.0.0.1:8080\"\ntoken_file = \"t\"");
    assert!(parse(&admin("udp")).is_ok());
    assert_eq!(error_lines(&admin("tls")).len(), 1);
    // What has no protocol may be either.
    assert_eq!(error_lines(&other("upd")).len(), 1);
}

#[test]
fn pools_send_headers() {
    let pool = |lines: &str| -> Pool {
        parse(&with_pool(lines)).unwrap_or_else(|errors| panic!("{errors}")).config.pools.remove(0)
    };
    let nothing = ProxyTlvs::default();
    for (value, expected) in [
        ("\"off\"", None),
        ("\"v1\"", Some(SendProxy::V1)),
        ("\"v2\"", Some(SendProxy::V2(nothing))),
        ("{ version = \"v1\", tlvs = [] }", Some(SendProxy::V1)),
        ("{ version = \"v2\" }", Some(SendProxy::V2(nothing))),
        (
            "{ version = \"v2\", tlvs = [\"unique_id\", \"alpn\"] }",
            Some(SendProxy::V2(ProxyTlvs { alpn: Include::Yes, unique_id: Include::Yes, ..nothing })),
        ),
        (
            "{ version = \"v2\", tlvs = [\"crc32c\", \"authority\"] }",
            Some(SendProxy::V2(ProxyTlvs { authority: Include::Yes, crc32c: Include::Yes, ..nothing })),
        ),
    ] {
        assert_eq!(pool(&format!("send_proxy = {value}")).send_proxy, expected, "{value}");
    }
}

#[test]
fn headers_are_checked() {
    let error = |value: &str| error_lines(&with_pool(&format!("send_proxy = {value}"))).join("\n");
    assert_eq!(
        error("{ version = \"v1\", tlvs = [\"alpn\"] }"),
        "8:39: pools.web.send_proxy.tlvs: a header of version 1 has addresses only: write version = \"v2\", or leave `tlvs` out"
    );
    assert_eq!(
        error("{ version = \"v2\", tlvs = [\"autority\"] }"),
        "8:40: pools.web.send_proxy.tlvs[0]: \"autority\" is not possible here; did you mean \"authority\"?"
    );
    assert_eq!(error("{ tlvs = [] }"), "8:14: pools.web.send_proxy: the key `version` is missing");
    assert_eq!(
        error("\"of\""),
        "8:14: pools.web.send_proxy: \"of\" is not possible here; did you mean \"off\"?"
    );
    assert_eq!(
        error("true"),
        "8:14: pools.web.send_proxy: expected \"off\", \"v1\", \"v2\" or a table such as { version = \"v2\", tlvs = [\"authority\"] }, found true"
    );
}

#[test]
fn datagrams_have_no_headers() {
    let text = listener("udp", "").replace("backends =", "send_proxy = \"v2\"\nbackends =");
    assert_eq!(
        error_lines(&text),
        [
            "5:8: listeners.web.pool: there is no PROXY header for datagrams, but the pool \"web\" has `send_proxy`, at sluice.toml:8:14; give this listener another pool"
        ]
    );
    assert_eq!(error_lines(&text.replace("\"v2\"", "{ version = \"v1\" }")).len(), 1);
    assert!(parse(&text.replace("\"v2\"", "\"off\"")).is_ok());
    assert!(parse(&text.replace("\"udp\"", "\"tls\"")).is_ok());
}
