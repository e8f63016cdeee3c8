//! `[admin]`.

use std::path::Path;

use lb_model::{AdminSocket, AdminTcp, AdminTls};

use super::{MINIMAL, error_lines, parse};

fn with_admin(lines: &str) -> String {
    format!("{MINIMAL}[admin]\n{lines}\n")
}

#[test]
fn the_socket_is_at_a_path_or_off() {
    let socket = |lines: &str| parse(&with_admin(lines)).unwrap().config.admin.socket;
    assert_eq!(socket(""), AdminSocket::Default);
    assert_eq!(socket("socket = \"off\""), AdminSocket::Off);
    assert_eq!(socket("socket = \"/run/x.sock\""), AdminSocket::Path("/run/x.sock".into()));
    assert_eq!(
        error_lines(&with_admin("socket = \"\"\nsokcet = 1")),
        [
            "9:10: admin.socket: the path is empty; leave the key out where there is no file; or write \"off\"",
            "10:1: admin.sokcet: unknown key; did you mean \"socket\"?",
        ]
    );
}

#[test]
fn tcp_with_tls_may_be_anywhere() {
    let text = with_admin(
        "[admin.tcp]\nbind = \"0.0.0.0:9901\"\ntls = { cert_file = \"c\", key_file = \"k\", client_ca_file = \"ca\" }",
    );
    assert_eq!(
        parse(&text).unwrap().config.admin.tcp,
        Some(AdminTcp {
            bind: "0.0.0.0:9901".parse().unwrap(),
            token_file: None,
            tls: Some(AdminTls {
                cert_file: "c".into(),
                key_file: "k".into(),
                client_ca_file: Some("ca".into())
            }),
        })
    );
}

#[test]
fn a_token_does_not_travel_in_the_open() {
    let tcp = |bind: &str| with_admin(&format!("tcp = {{ bind = \"{bind}\", token_file = \"t\" }}"));
    for bind in ["127.0.0.1:9901", "[::1]:9901"] {
        let admin = parse(&tcp(bind)).unwrap().config.admin;
        assert_eq!(admin.tcp.unwrap().token_file.as_deref(), Some(Path::new("t")));
    }
    assert_eq!(
        error_lines(&tcp("0.0.0.0:9901")),
        [
            "9:16: admin.tcp.bind: without `tls` this must be a loopback address, such as 127.0.0.1: a token could be read on its way"
        ]
    );
    assert_eq!(
        error_lines(&tcp("127.0.0.1:0")),
        ["9:16: admin.tcp.bind: \"0\" is not a port; expected a number from 1 to 65535"]
    );
}

#[test]
fn who_may_connect_is_known() {
    let message = "nothing says who may connect: set `token_file`, or `client_ca_file` in `tls`";
    assert_eq!(
        error_lines(&with_admin("[admin.tcp]\nbind = \"127.0.0.1:9901\"")),
        [format!("9:1: admin.tcp: {message}")]
    );
    assert_eq!(
        error_lines(&with_admin(
            "tcp = { bind = \"10.0.0.1:1\", tls = { cert_file = \"c\", key_file = \"k\" } }"
        )),
        [format!("9:7: admin.tcp: {message}")]
    );
    // What is there but cannot be read is not missing.
    for lines in
        ["token_file = 5", "tls = 5", "tls = { cert_file = \"c\", key_file = \"k\", client_ca_file = 5 }"]
    {
        let text = with_admin(&format!("[admin.tcp]\nbind = \"127.0.0.1:9901\"\n{lines}"));
        assert_eq!(error_lines(&text).len(), 1, "{lines}");
    }
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        error_lines(&with_admin("tcp = { token_file = \"t\", tls = { } }")),
        [
            "9:7: admin.tcp: the key `bind` is missing",
            "9:33: admin.tcp.tls: the key `cert_file` is missing",
            "9:33: admin.tcp.tls: the key `key_file` is missing",
        ]
    );
}

#[test]
fn it_does_not_take_a_listeners_port() {
    let text = with_admin("tcp = { bind = \"127.0.0.1:8080\", token_file = \"t\" }");
    assert_eq!(
        error_lines(&text),
        [
            "9:16: admin.tcp.bind: 127.0.0.1:8080 of the admin API overlaps 127.0.0.1:8080 of listener web at sluice.toml:3:9"
        ]
    );
}
