//! `bind` of listeners and the admin API, and that no two of a configuration overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use lb_model::{Bind, Protocol};

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawListener, Text};

/// The binds of one listener.
pub(super) fn convert(
    raw: &Located<Vec<Located<Text<Bind>>>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Vec<Bind> {
    if raw.value.is_empty() && document.is_empty_list(&raw.span) {
        problems.error(document.diagnostic(raw.span.clone(), "must name at least one address"));
    }
    raw.value.iter().map(|bind| bind.value.0).collect()
}

/// A bind with its place and owner.
struct Bound<'d> {
    bind: Bind,
    transport: Transport,
    owner: Owner<'d>,
    document: &'d Document<'d>,
    span: &'d Range<usize>,
}

/// Each has ports of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Tcp,
    Udp,
}

impl From<Protocol> for Transport {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp | Protocol::Tls | Protocol::Http => Self::Tcp,
            Protocol::Udp => Self::Udp,
        }
    }
}

/// Who binds.
#[derive(PartialEq)]
enum Owner<'d> {
    Listener(&'d str),
    Admin,
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Admin => f.write_str("the admin API"),
        }
    }
}

pub(super) fn check_overlaps(documents: &[Document<'_>], problems: &mut Problems) {
    let bounds: Vec<_> = documents.iter().flat_map(bounds).collect();
    for (earlier, later) in overlaps(&bounds) {
        let (Some(earlier), Some(later)) = (bounds.get(earlier), bounds.get(later)) else { continue };
        // What is defined twice is reported as such.
        let redefined = earlier.owner == later.owner && !std::ptr::eq(earlier.document, later.document);
        if !redefined {
            let message = format!(
                "{} of {} overlaps {} of {} at {}",
                later.bind,
                later.owner,
                earlier.bind,
                earlier.owner,
                earlier.document.place(earlier.span)
            );
            problems.error(later.document.diagnostic(later.span.clone(), &message));
        }
    }
}

/// The binds of one file, in its order. Those of a listener without a protocol could overlap anything or nothing.
fn bounds<'d>(document: &'d Document<'d>) -> Vec<Bound<'d>> {
    let of_listener = |(name, raw): &'d (Located<String>, Located<RawListener>)| {
        let transport = raw.value.protocol.as_ref().map(|raw| Protocol::from(raw.value.0).into());
        let bound = move |Located { span, value: Text(bind) }: &'d Located<Text<Bind>>| {
            let owner = Owner::Listener(&name.value);
            Some(Bound { bind: *bind, transport: transport?, owner, document, span })
        };
        raw.value.bind.iter().flat_map(|bind| &bind.value).filter_map(bound)
    };
    let admin_tcp = document.raw.admin.as_ref().and_then(|admin| admin.tcp.as_ref());
    let admin =
        admin_tcp.and_then(|tcp| tcp.value.bind.as_ref()).map(|Located { span, value: Text(endpoint) }| {
            let (bind, transport) = (endpoint.bind(), Transport::Tcp);
            Bound { bind, transport, owner: Owner::Admin, document, span }
        });
    let mut bounds: Vec<_> = document.raw.listeners().flat_map(of_listener).chain(admin).collect();
    bounds.sort_by_key(|bound| bound.span.start);
    bounds
}

/// Pairs of indexes of binds that overlap, the smaller first: for each bind that overlaps earlier ones, one of those.
fn overlaps(bounds: &[Bound<'_>]) -> BTreeSet<(usize, usize)> {
    let mut by_ip: BTreeMap<(Transport, IpAddr), Vec<(Bind, usize)>> = BTreeMap::new();
    for (index, bound) in bounds.iter().enumerate() {
        for ip in bound.bind.ips() {
            by_ip.entry((bound.transport, ip)).or_default().push((bound.bind, index));
        }
    }
    let mut pairs = BTreeSet::new();
    for binds in by_ip.values_mut() {
        binds.sort_by_key(|&(bind, index)| (bind.ports.first(), index));
        // Sorted by first port, a bind overlaps an earlier one exactly if it overlaps the one that reaches farthest.
        let mut farthest: Option<(Bind, usize)> = None;
        for &(bind, index) in &*binds {
            if let Some((reach, other)) = farthest
                && reach.overlaps(bind)
            {
                pairs.insert((other.min(index), other.max(index)));
            }
            if farthest.is_none_or(|(reach, _)| reach.ports.last() < bind.ports.last()) {
                farthest = Some((bind, index));
            }
        }
    }
    pairs
}
