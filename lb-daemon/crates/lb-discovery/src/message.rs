//! What a name server's reply says of the name that was asked for. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::error::NoAnswer;
use crate::known::{Family, Found, Target};

/// What a reply says.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// The name, or what it is an alias of, has these records.
    Records(Vec<Record>, Ttl),
    /// The name is an alias of one that the reply says nothing of.
    Alias(Name, Ttl),
    /// There is nothing.
    Nothing(NoAnswer),
}

/// The lowest of some TTLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl(u32);

impl Ttl {
    pub(crate) const LONGEST: Self = Self(u32::MAX);

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

/// Reads `message` as the reply to the question for `record` of `name`. Records of other names count for nothing.
pub(crate) fn read(message: &Message, name: &Name, record: RecordType) -> Reply {
    let mut owner = name;
    let mut ttl = Ttl::LONGEST;
    // No chain of aliases is longer than the answer, unless it is a circle.
    for _ in 0..=message.answers.len() {
        let found: Vec<_> = records(&message.answers, owner, record).cloned().collect();
        if !found.is_empty() {
            let ttl = found.iter().fold(ttl, |ttl, record| ttl.and(Ttl(record.ttl)));
            return Reply::Records(found, ttl);
        }
        let Some((alias_of, alias_ttl)) = alias(&message.answers, owner) else { break };
        owner = alias_of;
        ttl = ttl.and(Ttl(alias_ttl));
    }
    // With the zone's SOA record a server says that this is all (RFC 2308).
    let is_all = message.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    if message.metadata.response_code == ResponseCode::NXDomain {
        Reply::Nothing(NoAnswer::NoSuchName)
    } else if is_all || owner == name {
        Reply::Nothing(NoAnswer::NoRecord)
    } else {
        Reply::Alias(owner.clone(), ttl)
    }
}

fn records<'a>(records: &'a [Record], owner: &Name, kind: RecordType) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.record_type() == kind && record.name == *owner)
}

fn alias<'a>(answers: &'a [Record], owner: &Name) -> Option<(&'a Name, u32)> {
    records(answers, owner, RecordType::CNAME).find_map(|record| {
        let RData::CNAME(alias_of) = &record.data else { return None };
        Some((&alias_of.0, record.ttl))
    })
}

/// The type of records that hold addresses of a family.
pub(crate) fn record_type(family: Family) -> RecordType {
    match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    }
}

/// The addresses in `records` that one can connect to.
pub(crate) fn addresses<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<IpAddr> {
    let ips = records.into_iter().filter_map(|record| record.data.ip_addr());
    // An IPv4-mapped address is the IPv4 address under another name. "0.0.0.0" is what name servers that block
    // names say.
    let ips = ips.map(|ip| ip.to_canonical());
    ips.filter(|ip| !ip.is_unspecified() && !ip.is_multicast()).collect()
}

/// The addresses of `host` that came along with an answer, if some did.
pub(crate) fn additional(message: &Message, host: &Name, family: Family) -> Option<Found<Vec<IpAddr>>> {
    let found: Vec<_> = records(&message.additionals, host, record_type(family)).collect();
    let ttl = found.iter().fold(Ttl::LONGEST, |ttl, record| ttl.and(Ttl(record.ttl)));
    let what = addresses(found);
    (!what.is_empty()).then(|| Found { what, ttl: ttl.duration() })
}

/// The targets that SRV `records` name (RFC 2782), each with its host.
pub(crate) fn targets(records: &[Record]) -> Result<Vec<(Name, Target)>, NoAnswer> {
    let services = records.iter().filter_map(|record| {
        let RData::SRV(service) = &record.data else { return None };
        Some(service)
    });
    let (available, unavailable): (Vec<_>, Vec<_>) = services.partition(|service| !service.target.is_root());
    let usable: Vec<_> = available.into_iter().filter(|service| service.port != 0).collect();
    if usable.is_empty() {
        return Err(if unavailable.is_empty() { NoAnswer::NoRecord } else { NoAnswer::NotAvailable });
    }
    let priorities: BTreeSet<_> = usable.iter().map(|service| service.priority).collect();
    let rank = |priority| u8::try_from(priorities.range(..priority).count()).unwrap_or(u8::MAX);
    let target = |service: &SRV| {
        let host = service.target.to_lowercase();
        let target = Target {
            host: text(&host),
            port: Some(service.port),
            weight: service.weight.max(1),
            rank: rank(service.priority),
        };
        (host, target)
    };
    Ok(usable.into_iter().map(target).collect())
}

/// A name for people, who leave out the last dot.
pub(crate) fn text(name: &Name) -> Arc<str> {
    let text = name.to_ascii();
    text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text).into()
}

#[cfg(test)]
mod tests;
