//! Error messages as an operator sees them.

use super::{MINIMAL, error_lines, errors, parse};

#[test]
fn six_mistakes_are_six_located_errors() {
    let text = r#"version = 1
[global]
drain_timeout = 30
[listeners.web]
bind = ["0.0.0.0:80", "[::]"]
protocol = "tpc"
pool = "wbe"
[pools.web]
balence = "hash"
backends = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 70000 }]
"#;
    let expected = r#"sluice.toml:3:17: global.drain_timeout: expected a duration in quotes with its unit, for example "30s" or "250ms", found the number 30
  |
3 | drain_timeout = 30
  |                 ^^

sluice.toml:5:23: listeners.web.bind[1]: "[::]" has no port; write it as "[::]:PORT"
  |
5 | bind = ["0.0.0.0:80", "[::]"]
  |                       ^^^^^^

sluice.toml:6:12: listeners.web.protocol: "tpc" is not possible here; did you mean "tcp"?
  |
6 | protocol = "tpc"
  |            ^^^^^
  = expected one of tcp, tls, udp, http

sluice.toml:7:8: listeners.web.pool: there is no pool "wbe"; did you mean "web"?
  |
7 | pool = "wbe"
  |        ^^^^^

sluice.toml:9:1: pools.web.balence: unknown key; did you mean "balance"?
  |
9 | balence = "hash"
  | ^^^^^^^
  = expected one of balance, backends, health_check, discovery, slow_start, panic_threshold, zones, connect_timeout, connect_tries, keepalive, send_proxy, queue, passive_health, first_byte_timeout, idle_timeout, total_timeout, max_idle_connections, idle_connection_timeout

sluice.toml:10:64: pools.web.backends[1].weight: expected a whole number from 0 to 65535, found the number 70000
   |
10 | backends = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 70000 }]
   |                                                                ^^^^^"#;
    assert_eq!(errors(text), expected);
}

#[test]
fn syntax_errors_do_not_hide_the_others() {
    let text = r#"version = 1
[listeners.web]
bind = ["0.0.0.0:80"]
protocol = tcp
pool = "web"
max_connections = 0
[pools.web]
backends = ["10.0.0.1:80",
connect_timeout = "5s"
keepalive = "off"
"#;
    let lines = error_lines(text);
    assert_eq!(
        lines,
        [
            "4:12: invalid boolean, expected `true`",
            "6:19: listeners.web.max_connections: expected a whole number from 1 to 4294967295, found the number 0",
            "9:1: the list before this line is not closed, expected `]`",
        ]
    );
}

#[test]
fn what_follows_a_key_without_value_is_read() {
    let text = MINIMAL.replace("protocol = \"tcp\"", "protocol \"tcp\"").replace(":9001", ":0");
    let text = text.replace("pool = \"web\"", "pool = \"web\"\nmax_connections 5\nallow = 1");
    assert_eq!(
        error_lines(&text),
        [
            "4:10: key with no value, expected `=`",
            "6:17: key with no value, expected `=`",
            "7:9: listeners.web.allow: expected a list in brackets, for example [\"…\", \"…\"], found the number 1",
            "9:13: pools.web.backends[0]: \"0\" is not a port; expected a number from 1 to 65535",
        ]
    );
}

#[test]
fn what_is_in_a_broken_part_is_not_reported_as_missing() {
    let text = "version = 1\n[listeners.web]\nbind = [\"*:80\"]\nprotocol = \"tcp\"\npool = \"web\"\n[pools.web\nbackends = [\"10.0.0.1\"]\n";
    assert_eq!(error_lines(text), ["6:11: unclosed table, expected `]`"]);
    let text = MINIMAL.replace("protocol = \"tcp\"", "protocol = 6");
    assert_eq!(
        error_lines(&text),
        ["4:12: listeners.web.protocol: expected a word in quotes, found the number 6"]
    );
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        error_lines("[listeners.web]\n[pools.\"we b\"]\nbackends = [{ weight = 1 }]"),
        [
            "1:1: the key `version` is missing: write version = 1 at the top of the file",
            "1:1: listeners.web: the key `bind` is missing",
            "1:1: listeners.web: the key `protocol` is missing",
            "1:1: listeners.web: the key `pool` is missing",
            "2:8: pools.\"we b\": a name consists of letters, digits and `_ - . : [ ]`, not ' '",
            "3:13: pools.\"we b\".backends[0]: the key `address` is missing",
        ]
    );
    assert_eq!(error_lines("version = 1"), ["1:1: no listener is defined: add a table [listeners.NAME]"]);
    assert_eq!(error_lines("version = 1\nlisteners = 5").len(), 1);
}

#[test]
fn wrong_types_are_told_in_toml_words() {
    assert_eq!(
        error_lines(
            "version = 1\n[[pools]]\n[listeners]\na = \"x\"\n[global]\nworkers = \"many\"\nmax_connections = -1\n\
             drain_timeout = 1979-05-27\n[log]\naccess = \"yes\"\nlevel = { info = 1 }\nformat = 1.5\n"
        ),
        [
            "2:1: pools: expected a table for each name, found a list",
            "4:5: listeners.a: expected a table with the keys of a listener, found the text \"x\"",
            "6:11: global.workers: expected a whole number from 1 to 1024, or \"auto\", found the text \"many\"",
            "7:19: global.max_connections: expected a whole number from 1 to 4294967295, or \"auto\", found the number -1",
            "8:17: global.drain_timeout: expected a duration in quotes with its unit, for example \"30s\" or \"250ms\", found a date",
            "10:10: log.access: expected true or false, found the text \"yes\"",
            "11:9: log.level: expected a word in quotes, found a table",
            "12:10: log.format: expected a word in quotes, found the number 1.5",
        ]
    );
    let text = MINIMAL.replace("[\"127.0.0.1:9001\"]", "[5, 1979-05-27, [], \"a b\"]");
    let expected = "expected an address or a DNS name in quotes, for example \"10.0.0.1:80\", \
                    \"[2001:db8::1]:80\" or \"app.example.com:80\", \
                    or a table such as { address = \"10.0.0.1:80\", weight = 3 }";
    assert_eq!(
        error_lines(&text),
        [
            format!("7:13: pools.web.backends[0]: {expected}, found the number 5"),
            "7:16: pools.web.backends[1]: no key of this file takes a date; put it in quotes if it is meant as text"
                .to_owned(),
            format!("7:28: pools.web.backends[2]: {expected}, found a list"),
            "7:32: pools.web.backends[3]: \"a b\" is neither an IP address nor a DNS name; expected for example 192.0.2.1, [2001:db8::1] or app.example.com"
                .to_owned(),
        ]
    );
}

#[test]
fn environment_variables_are_completed_in_values() {
    let loaded = parse(&MINIMAL.replace("127.0.0.1:9001", "${BACKEND}")).unwrap();
    assert_eq!(loaded.config.pools[0].backends[0].address.to_string(), "10.0.0.9:90");

    let text = MINIMAL.replace("127.0.0.1:9001", "${NOPE}").replace("\"tcp\"", "\"${\"");
    assert_eq!(
        error_lines(&text),
        [
            "4:12: listeners.web.protocol: there is no } after ${; write $$ for a plain $",
            "7:13: pools.web.backends[0]: the environment variable NOPE is not set; set it, or give a default as ${NOPE:-default}",
        ]
    );
}

#[test]
fn many_mistakes_end_somewhere() {
    let keys: String = (0..5000).map(|n| format!("k{n} = 1\n")).collect();
    let count = error_lines(&format!("{MINIMAL}{keys}")).len();
    assert!((100..=101).contains(&count), "{count}");
    let lines = "= 1\n".repeat(5000);
    assert!(error_lines(&lines).len() <= 21);
}
