//! `/etc/hosts`, see hosts(5).

use std::net::IpAddr;

/// The addresses of `name` in the text of a hosts file, each line of which is an address and its names. Lines
/// that are anything else are skipped, as everywhere.
pub(crate) fn addresses(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let of_line = |line: &str| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|alias| alias.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_every_address_of_a_name() {
        let text =
            "\u{feff}# hosts\n127.0.0.1\tlocalhost db\n::1 localhost # db2\n\n10.0.0.2 x DB\nfe80::1%lo db\n";
        let found = |name| addresses(text, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(found("db."), ["127.0.0.1", "10.0.0.2"]);
        assert!(found("db2").is_empty() && found("10.0.0.2").is_empty() && found("").is_empty());
    }

    proptest! {
        #[test]
        fn takes_any_text(text in "[\\PC\\s]{0,200}", name in "\\PC{0,20}") {
            addresses(&text, &name);
        }
    }
}
