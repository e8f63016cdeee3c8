//! Texts that are no configuration: errors, never a panic, never an overflow of the stack.

use proptest::prelude::*;

use super::{MINIMAL, parse};

/// Reads `text` on the small stack of a thread, and renders what comes of it.
fn survive(text: String) {
    let reader = std::thread::spawn(move || {
        let errors = parse(&text).expect_err("no configuration");
        assert!(!errors.diagnostics().is_empty());
        assert!(errors.to_string().len() < 1 << 20);
    });
    reader.join().expect("no panic");
}

#[test]
fn deep_nesting() {
    for open in ["[", "{a=", "[[", "[{a="] {
        survive(format!("x = {}", open.repeat(10_000)));
        survive(open.repeat(10_000));
    }
    survive(format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000)));
    let dotted = vec!["a"; 10_000].join(".");
    survive(format!("{dotted} = 1"));
    survive(format!("[{dotted}]\nb = 1"));
}

#[test]
fn deep_nesting_within_the_limits_of_the_parser() {
    // Each dotted key and each inline table stays below the parser's limit, all of them together do not.
    let dotted = vec!["a"; 79].join(".");
    let levels = 70;
    survive(format!(
        "{}1{}",
        format!("{dotted} = {{").repeat(levels).trim_end_matches('{'),
        "}".repeat(levels - 1)
    ));
    survive(format!(
        "[{dotted}]\n{}1{}",
        format!("{dotted} = {{").repeat(levels).trim_end_matches('{'),
        "}".repeat(levels - 1)
    ));
}

#[test]
fn bytes_that_are_no_text() {
    survive("\0".repeat(1000));
    survive(format!("{MINIMAL}\0"));
    survive(format!("{MINIMAL}\u{1b}[31m = 1\n"));
    survive("\u{feff}\u{feff}".into());
    survive("\r\r\r".into());
    survive("\"\\uD800\" = 1".into());
}

#[test]
fn garbage_by_the_megabyte() {
    survive("x".repeat(10 << 20));
    // The time is linear in the size; these are smaller because a debug build is slow.
    for unit in ["=", "]\n", "a=1\n", "\"", "é = 'é'\n", "[a]\n", "x = [1,"] {
        survive(unit.repeat((1 << 17) / unit.len()));
    }
}

#[test]
fn line_ends_and_byte_order_mark_do_not_matter() {
    let windows = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
    assert_eq!(parse(&windows).unwrap().config, parse(MINIMAL).unwrap().config);
}

/// Texts that look like a configuration, from its own pieces.
fn almost_toml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("version = 1\n"),
        Just("[listeners.web]\n"),
        Just("[pools.web]\n"),
        Just("[[pools.web.backends]]\n"),
        Just("[global]\n"),
        Just("bind = [\"*:80\", \"[::1]:1-5\"]\n"),
        Just("protocol = \"tcp\"\n"),
        Just("protocol = \"tls\"\n"),
        Just("protocol = \"udp\"\n"),
        Just("pool = \"web\"\n"),
        Just("[[listeners.web.sni]]\n"),
        Just("names = [\"a.example\", \"*.example\"]\nalpn = [\"h2\", \"$$\"]\n"),
        Just("protocol = \"http\"\n"),
        Just("[[listeners.web.routes]]\n"),
        Just("hosts = [\"a.example\", \"[::1]\"]\npath_prefix = \"/a/\"\n"),
        Just("request_headers = { set = { a = \"$$\", A = \"b\" }, remove = [\"A\", \"te\"] }\n"),
        Just("max_header_bytes = \"4KiB\"\nmax_uri_bytes = \"1MiB\"\n"),
        Just("min_body_rate = \"1KiB/s\"\n"),
        Just("access_log = { path = \"a\" }\n"),
        Just("first_byte_timeout = \"1s\"\n"),
        Just("accept_proxy = [\"10.0.0.0/8\"]\n"),
        Just("header_timeout = \"1s\"\n"),
        Just("replies = 1\n"),
        Just("send_proxy = { version = \"v2\", tlvs = [\"crc32c\"] }\n"),
        Just("backends = [\"10.0.0.1\", { address = \"10.0.0.1\" }]\n"),
        Just("address = \"10.0.0.1\"\n"),
        Just("queue = { limit = 1 }\n"),
        Just("backends = [\"a.example:80\", { srv = \"_x._tcp.a\", zone = \"a\", tier = 9 }]\n"),
        Just("[pools.web.health_check]\n"),
        Just("health_check = \"off\"\n"),
        Just("type = \"http\"\n"),
        Just("type = \"udp\"\n"),
        Just("expect = { contains_hex = \"00 ff\" }\n"),
        Just("body = { contains = \"$$\\u0000\", within = \"1KiB\" }\n"),
        Just("command = [\"a\", \"b\"]\n"),
        Just("interval = \"1s\"\n"),
        Just("zones = \"prefer_local\"\n"),
        Just("discovery = { keep = \"0s\" }\n"),
        Just("[admin]\n"),
        Just("socket = \"$$\"\n"),
        Just("tcp = { bind = \"[::1]:1\", token_file = \"t\" }\n"),
        Just("workers = 0\n"),
        Just("include = [\"x\"]\n"),
        Just("a.b.c = 1979-05-27T07:32:00Z\n"),
        Just("\"${BACKEND}\""),
        Just("= "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(","),
        Just("\n"),
        Just("\""),
        Just("\"\"\""),
        Just("é"),
        Just("\0"),
        Just("# "),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Asserts that `text` is a configuration or has errors, each with a place.
fn parses_or_is_told_where_not(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(loaded) => {
            prop_assert_eq!(parse(&crate::effective(&loaded.config)).unwrap().config, loaded.config)
        }
        Err(errors) => {
            prop_assert!(!errors.diagnostics().is_empty());
            for error in errors.diagnostics() {
                prop_assert!(error.line().is_some() && error.column().is_some(), "{}", error);
                prop_assert!(error.to_string().starts_with("sluice.toml:"));
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text(text in "(\\PC|\n|\t|\r){0,200}") {
        parses_or_is_told_where_not(&text)?;
    }

    #[test]
    fn any_almost_configuration(text in almost_toml()) {
        parses_or_is_told_where_not(&text)?;
    }

    #[test]
    fn any_cut_out_of_a_configuration(cut in 0..MINIMAL.len(), length in 0usize..20, put in "[\"=\\[\\]{}a1\n]{0,3}") {
        let mut text = MINIMAL.to_owned();
        text.replace_range(cut..(cut + length).min(MINIMAL.len()), &put);
        parses_or_is_told_where_not(&text)?;
    }
}
