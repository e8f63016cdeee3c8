//! `allow` and `deny` to [`AccessList`].

use ipnet::IpNet;
use lb_model::AccessList;

use crate::network::Network;
use crate::raw::{Located, Text};

pub(super) fn convert(
    allow: Option<&Vec<Located<Text<Network>>>>,
    deny: Option<&Vec<Located<Text<Network>>>>,
) -> AccessList {
    AccessList::new(networks(allow), networks(deny))
}

/// The networks of a list that may be left out.
pub(super) fn networks(raw: Option<&Vec<Located<Text<Network>>>>) -> Vec<IpNet> {
    raw.into_iter().flatten().map(|Located { value: Text(Network(net)), .. }| *net).collect()
}
