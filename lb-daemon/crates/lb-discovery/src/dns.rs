//! Resolves names: `/etc/hosts`, then name servers. Whatever comes of it is a result; when to ask, and what a
//! failure means, is not decided here.

mod server;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use lb_model::{DiscoveryQuery, DnsName, IpFamilies};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::server::Server;
pub(crate) use self::server::Settings;
use crate::error::{LookupError, NoAnswer};
use crate::hosts;
use crate::known::{Addresses, Family, Found, Resolution, Target};
use crate::message::{self, Reply, Ttl};
use crate::schedule::Wanted;

/// Most questions under way at once.
const MAX_QUESTIONS: usize = 16;
/// Most times that a reply which is nothing but an alias leads to another question.
const MAX_ALIASES: u8 = 8;

/// The name servers that are asked, and how.
#[derive(Debug)]
pub(crate) struct Dns {
    settings: Settings,
    servers: Vec<Server>,
    /// The place of the server that is asked first: the one that answered last.
    preferred: AtomicUsize,
    questions: Semaphore,
    hosts_file: PathBuf,
}

/// What a question brought.
struct Answer {
    records: Vec<Record>,
    ttl: Ttl,
    message: Message,
}

/// What resolving one name needs.
#[derive(Clone)]
struct Lookup {
    dns: Arc<Dns>,
    families: IpFamilies,
    /// The text of the hosts file.
    hosts: Arc<str>,
}

impl Dns {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            servers: settings.servers.iter().map(|&address| Server::new(address, settings.timeout)).collect(),
            settings,
            preferred: AtomicUsize::new(0),
            questions: Semaphore::new(MAX_QUESTIONS),
            hosts_file: "/etc/hosts".into(),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Resolves a name, with as many questions as it takes.
    pub(crate) async fn resolve(self: Arc<Self>, wanted: Arc<Wanted>) -> Result<Resolution, LookupError> {
        // A file that cannot be read is as good as an empty one, as for getaddrinfo.
        let hosts = tokio::fs::read(&self.hosts_file).await.unwrap_or_default();
        let hosts = String::from_utf8_lossy(&hosts).into();
        let lookup = Lookup { dns: Arc::clone(&self), families: wanted.settings.families, hosts };
        let mut no_such_name = None;
        for name in self.candidates(wanted.query.name()) {
            let result = match &wanted.query {
                DiscoveryQuery::Addresses { name: key, port } => {
                    lookup.addresses(&name, Target::named(key.as_str(), *port)).await
                }
                DiscoveryQuery::Services { .. } => lookup.services(&name).await,
            };
            match result {
                Err(error) if error.reason == NoAnswer::NoSuchName && error.name == message::text(&name) => {
                    no_such_name.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(no_such_name.expect("a name is the first of its candidates"))
    }

    /// The full names that `name` may stand for, in the order in which they are tried.
    fn candidates(&self, name: &DnsName) -> Vec<Name> {
        let relative = Name::from_ascii(name.as_str()).expect("every DnsName is a name");
        let mut full = relative.clone();
        full.set_fqdn(true);
        let search = self.settings.search.iter().filter(|_| !relative.is_fqdn());
        let searched = search.filter_map(|domain| relative.clone().append_domain(domain).ok());
        [full].into_iter().chain(searched).collect()
    }

    /// Asks for the records of a name, or of what it is an alias of.
    async fn ask(&self, name: &Name, record: RecordType) -> Result<Answer, LookupError> {
        let error = |reason| LookupError { record: record.into(), name: message::text(name), reason };
        let (mut owner, mut ttl) = (name.clone(), Ttl::LONGEST);
        for _ in 0..=MAX_ALIASES {
            let message = self.ask_any(&owner, record).await.map_err(error)?;
            match message::read(&message, &owner, record) {
                Reply::Records(records, least) => {
                    return Ok(Answer { records, ttl: ttl.and(least), message });
                }
                Reply::Alias(of, least) => (owner, ttl) = (of, ttl.and(least)),
                Reply::Nothing(reason) => return Err(error(reason)),
            }
        }
        Err(error(NoAnswer::TooManyAliases(MAX_ALIASES)))
    }

    /// Asks one server after the other until one answers, be it that there is nothing.
    async fn ask_any(&self, name: &Name, record: RecordType) -> Result<Message, NoAnswer> {
        let _place = self.questions.acquire().await;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = NoAnswer::Exchange("there is no name server to ask".into());
        for (nth, server) in self.servers.iter().enumerate().cycle().skip(first).take(self.servers.len()) {
            match server.ask(name, record).await {
                Err(reason) if !reason.is_negative() => failure = reason,
                answer => {
                    self.preferred.store(nth, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(failure)
    }
}

impl Lookup {
    /// The addresses of `name`, which are those of the only target.
    async fn addresses(&self, name: &Name, target: Target) -> Result<Resolution, LookupError> {
        let addresses = keyed(&target.host, self.host(name, None).await);
        Resolution::new(vec![target], None, addresses)
    }

    /// The targets of the service `name` and their addresses.
    async fn services(&self, name: &Name) -> Result<Resolution, LookupError> {
        let record = RecordType::SRV;
        let Answer { records, ttl, message } = self.dns.ask(name, record).await?;
        let targets = message::targets(&records);
        let targets = targets.map_err(|reason| LookupError {
            record: record.into(),
            name: message::text(name),
            reason,
        })?;
        let message = Arc::new(message);
        let hosts: BTreeMap<_, _> = targets.iter().map(|(name, target)| (name, &target.host)).collect();
        let mut lookups = JoinSet::new();
        for (name, host) in hosts {
            let (lookup, message) = (self.clone(), Arc::clone(&message));
            let (name, host) = (name.clone(), Arc::clone(host));
            lookups.spawn(async move { keyed(&host, lookup.host(&name, Some(&message)).await) });
        }
        let addresses = lookups.join_all().await.into_iter().flatten().collect();
        let targets = targets.into_iter().map(|(_, target)| target).collect();
        Resolution::new(targets, Some(ttl.duration()), addresses)
    }

    /// The addresses of a host, some of which may have come along with an earlier reply.
    async fn host(&self, name: &Name, earlier: Option<&Message>) -> Vec<HostAddresses> {
        let local = self.local(name);
        if !local.is_empty() {
            return local;
        }
        let family = async |family| {
            if let Some(found) = earlier.and_then(|message| message::additional(message, name, family)) {
                return HostAddresses { family, result: Ok(found) };
            }
            HostAddresses { family, result: self.family(name, family).await }
        };
        match self.families {
            IpFamilies::Both => {
                let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
                vec![v4, v6]
            }
            IpFamilies::Ipv4 => vec![family(Family::V4).await],
            IpFamilies::Ipv6 => vec![family(Family::V6).await],
        }
    }

    /// What this machine itself knows of a host. That may change at any time and costs nothing to ask.
    fn local(&self, name: &Name) -> Vec<HostAddresses> {
        let ips = hosts::addresses(&self.hosts, &message::text(name));
        let of_family = |&family: &Family| {
            let mut what: Vec<_> = ips.iter().copied().filter(|&ip| family.has(ip)).collect();
            // Whether or not a file or server says so (RFC 6761). Where a file says it for the other family only, that is meant,
            // unless nothing but this family is wanted.
            if what.is_empty() && name.is_localhost() && (ips.is_empty() || self.families != IpFamilies::Both)
            {
                let of_localhost = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
                what.extend(of_localhost.into_iter().filter(|&ip| family.has(ip)));
            }
            let found = Found { what, ttl: Duration::ZERO };
            (!found.what.is_empty()).then_some(HostAddresses { family, result: Ok(found) })
        };
        Family::of(self.families).iter().filter_map(of_family).collect()
    }

    async fn family(&self, name: &Name, family: Family) -> Result<Found<Vec<IpAddr>>, LookupError> {
        let record = message::record_type(family);
        let Answer { records, ttl, .. } = self.dns.ask(name, record).await?;
        let what = message::addresses(&records);
        if what.is_empty() {
            let name = message::text(name);
            return Err(LookupError { record: record.into(), name, reason: NoAnswer::NoRecord });
        }
        Ok(Found { what, ttl: ttl.duration() })
    }
}

/// A host's addresses of one family.
struct HostAddresses {
    family: Family,
    result: Result<Found<Vec<IpAddr>>, LookupError>,
}

fn keyed(host: &Arc<str>, found: Vec<HostAddresses>) -> Addresses {
    found.into_iter().map(|HostAddresses { family, result }| ((Arc::clone(host), family), result)).collect()
}

#[cfg(test)]
mod tests;
