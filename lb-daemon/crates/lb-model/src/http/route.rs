//! Which pool serves a request, by its host and path.

use std::collections::BTreeMap;

use super::{HeaderEdit, PathPrefix, RouteHost};
use crate::PoolId;

/// Which requests are meant, who serves them, and what is changed on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Only for requests to these hosts. Empty: to all.
    pub hosts: Vec<RouteHost>,
    /// Only for requests to this path and below it.
    pub path_prefix: PathPrefix,
    /// Who serves them.
    pub pool: PoolId,
    /// Changes of requests, in order.
    pub request_headers: Vec<HeaderEdit>,
    /// Changes of responses, in order.
    pub response_headers: Vec<HeaderEdit>,
}

/// A route's place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(u32);

impl RouteId {
    /// The place as an index, in [`RouteTable::iter`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The routes of an HTTP listener, found by host and path.
///
/// Those that name the request's host go before those for all hosts, and of either the longest path prefix goes first. So
/// the order in which they are written does not matter, but for two with the same host and prefix: the first has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteTable {
    routes: Vec<Route>,
    by_host: Hosts,
    any_host: Paths,
}

impl RouteTable {
    /// A table of `routes`.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut by_host: BTreeMap<&RouteHost, Vec<_>> = BTreeMap::new();
        let mut any_host = Vec::new();
        for (route, id) in routes.iter().zip((0..).map(RouteId)) {
            let path = (route.path_prefix.clone(), id);
            for host in &route.hosts {
                by_host.entry(host).or_default().push(path.clone());
            }
            if route.hosts.is_empty() {
                any_host.push(path);
            }
        }
        let by_host = by_host.into_iter().map(|(host, paths)| (host.clone(), Paths::new(paths)));
        Self { by_host: Hosts::new(by_host.collect()), any_host: Paths::new(any_host), routes }
    }

    /// All routes, as written.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Route> {
        self.routes.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The route at `id`, which must come from this table.
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.get(id.index())
    }

    /// The route for a request to `authority`, the host as the client names it (with a port or without, empty if it names
    /// none), for `path`, with or without its query. Allocates nothing.
    pub fn find(&self, authority: &[u8], path: &[u8]) -> Option<RouteId> {
        let of_host = self.by_host.find(authority).and_then(|paths| paths.find(path));
        of_host.or_else(|| self.any_host.find(path))
    }
}

/// The path prefixes of each host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Hosts {
    /// Sorted; beside [`hosts`](Self::hosts), so that a look-up goes through few cache lines.
    hashes: Vec<u64>,
    hosts: Vec<(RouteHost, Paths)>,
}

impl Hosts {
    fn new(mut hosts: Vec<(RouteHost, Paths)>) -> Self {
        hosts.sort_by_key(|(host, _)| hash_ignoring_case(host.as_str().as_bytes()));
        Self {
            hashes: hosts.iter().map(|(host, _)| hash_ignoring_case(host.as_str().as_bytes())).collect(),
            hosts,
        }
    }

    fn find(&self, authority: &[u8]) -> Option<&Paths> {
        if self.hosts.is_empty() {
            return None;
        }
        let host = RouteHost::in_authority(authority);
        let hash = hash_ignoring_case(host);
        let first = self.hashes.partition_point(|other| *other < hash);
        let same_hash = self.hashes.get(first..)?.iter().take_while(|other| **other == hash).count();
        let candidates = self.hosts.get(first..first + same_hash)?;
        let is_host = |(other, _): &&(RouteHost, Paths)| other.as_str().as_bytes().eq_ignore_ascii_case(host);
        candidates.iter().find(is_host).map(|(_, paths)| paths)
    }
}

/// A hash that is the same for upper and lower case. Clients do not choose what is in the table, so it need not be secret.
fn hash_ignoring_case(bytes: &[u8]) -> u64 {
    /// What tells the cases of letters apart. Other characters that it makes the same are told apart by comparison.
    const LOWER_CASE: u64 = 0x2020_2020_2020_2020;
    /// Odd, its bits evenly spread: the golden ratio.
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(MULTIPLIER);
        mixed ^ (mixed >> 32)
    };
    let (words, rest) = bytes.as_chunks();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word) | LOWER_CASE));
    let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(byte | 0x20));
    mix(hash, rest)
}

/// Path prefixes and what they lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Paths {
    /// Sorted by their bytes, each once.
    prefixes: Vec<Prefix>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefix {
    path: PathPrefix,
    route: RouteId,
    /// The place of the longest other one whose bytes this one begins with.
    shorter: Option<usize>,
}

impl Paths {
    /// Of equal prefixes the first is taken.
    fn new(mut paths: Vec<(PathPrefix, RouteId)>) -> Self {
        paths.sort_by(|(a, _), (b, _)| a.cmp(b));
        paths.dedup_by(|(later, _), (earlier, _)| later == earlier);
        let mut sorted = Self { prefixes: Vec::with_capacity(paths.len()) };
        for (path, route) in paths {
            let last = sorted.prefixes.len().checked_sub(1);
            let shorter = sorted.longest(last, |other| path.as_bytes().starts_with(other.as_bytes()));
            sorted.prefixes.push(Prefix { path, route, shorter });
        }
        sorted
    }

    /// What the longest prefix that covers `path` leads to. It is the one next before `path` in the order, or one whose bytes
    /// that begins with: whatever is between a text and its beginning has the same beginning.
    fn find(&self, path: &[u8]) -> Option<RouteId> {
        let after = self.prefixes.partition_point(|prefix| prefix.path.as_bytes() <= path);
        let place = self.longest(after.checked_sub(1), |prefix| prefix.covers(path))?;
        self.prefixes.get(place).map(|prefix| prefix.route)
    }

    /// The place of the first that fits among the one at `place` and those that it begins with, the longest first.
    fn longest(&self, mut place: Option<usize>, fits: impl Fn(&PathPrefix) -> bool) -> Option<usize> {
        loop {
            let prefix = self.prefixes.get(place?)?;
            if fits(&prefix.path) {
                return place;
            }
            place = prefix.shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Routes by their hosts and prefix; the pool is the place.
    fn table(routes: &[(&[&str], &str)]) -> RouteTable {
        let route = |(place, (hosts, prefix)): (usize, &(&[&str], &str))| Route {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            path_prefix: prefix.parse().unwrap(),
            pool: PoolId(u32::try_from(place).unwrap()),
            request_headers: vec![],
            response_headers: vec![],
        };
        RouteTable::new(routes.iter().enumerate().map(route).collect())
    }

    fn find(table: &RouteTable, authority: &str, path: &str) -> Option<u32> {
        let id = table.find(authority.as_bytes(), path.as_bytes())?;
        Some(table.route(id).unwrap().pool.0)
    }

    #[test]
    fn the_longest_prefix_goes_first_whatever_the_order() {
        let table = table(&[(&[], "/"), (&[], "/api/v1"), (&[], "/api")]);
        for (path, found) in [
            ("/", 0),
            ("/apiary", 0),
            ("*", 0),
            ("/api", 2),
            ("/api/v2?x=/api/v1", 2),
            ("/api/v10", 2),
            ("/api/v1", 1),
            ("/api/v1/x", 1),
        ] {
            assert_eq!(find(&table, "", path), Some(found), "{path}");
        }
    }

    #[test]
    fn a_sibling_between_a_prefix_and_a_path_does_not_hide_it() {
        // In the order of bytes `/api-x` is between `/api` and `/api/y`.
        let table = table(&[(&[], "/api"), (&[], "/api-x"), (&[], "/api-x/z")]);
        assert_eq!(find(&table, "", "/api/y"), Some(0));
        assert_eq!(find(&table, "", "/api-x/y"), Some(1));
        assert_eq!(find(&table, "", "/api-y"), None);
    }

    #[test]
    fn the_host_goes_before_the_path_and_all_hosts_are_left_for_the_rest() {
        let table = table(&[
            (&[], "/static/images"),
            (&["a.example", "[2001:db8::1]"], "/static"),
            (&["192.0.2.1"], "/"),
        ]);
        for (authority, path, found) in [
            ("A.Example:8080", "/static/images/1", Some(1)),
            ("a.example.", "/static", Some(1)),
            ("[2001:DB8::1]:80", "/static", Some(1)),
            ("b.example", "/static/images/1", Some(0)),
            ("", "/static/images/1", Some(0)),
            ("b.example", "/static", None),
            ("a.example", "/", None),
            ("192.0.2.1", "/static/images", Some(2)),
            ("192.0.2.10", "/", None),
        ] {
            assert_eq!(find(&table, authority, path), found, "{authority} {path}");
        }
    }

    #[test]
    fn of_the_same_route_twice_the_first_counts() {
        let table = table(&[(&[], "/a"), (&[], "/a/"), (&["h"], "/a"), (&["H"], "/a")]);
        assert_eq!(find(&table, "", "/a"), Some(0));
        assert_eq!(find(&table, "h", "/a"), Some(2));
    }

    #[test]
    fn a_host_longer_than_any_name_is_nobodys() {
        let table = table(&[(&["a.example"], "/")]);
        for length in [253, 254, 100_000] {
            assert_eq!(find(&table, &"x".repeat(length), "/"), None);
        }
    }

    #[test]
    fn a_host_of_the_same_hash_is_another() {
        let (host, other) = ("a.example", "a\u{e}example");
        assert_eq!(hash_ignoring_case(host.as_bytes()), hash_ignoring_case(other.as_bytes()));
        let table = table(&[(&[host], "/")]);
        assert_eq!(find(&table, host, "/"), Some(0));
        assert_eq!(find(&table, other, "/"), None);
    }

    /// What the documentation says, read off the list of routes.
    fn naive(table: &RouteTable, host: &str, path: &str) -> Option<u32> {
        let covers = |prefix: &str| {
            let prefix = prefix.trim_end_matches('/');
            path == prefix || path.starts_with(&format!("{prefix}/"))
        };
        let best = |fits: &dyn Fn(&Route) -> bool| {
            let fitting = table.iter().filter(|route| fits(route) && covers(&route.path_prefix.to_string()));
            // Of several, max_by_key would take the last.
            fitting.rev().max_by_key(|route| route.path_prefix.to_string().len()).map(|route| route.pool.0)
        };
        let names_host = |route: &Route| route.hosts.iter().any(|h| h.as_str().eq_ignore_ascii_case(host));
        best(&names_host).or_else(|| best(&|route| route.hosts.is_empty()))
    }

    proptest! {
        // Few letters, so that hosts and prefixes are often the same, or begin with one another.
        #[test]
        fn agrees_with_reading_the_list(
            routes in vec((vec("[ab]", 0..3), "(/(a|b|a-|a0|a/b)?){1,3}"), 0..12),
            requests in vec(("[aAbc]", "(/[ab0-]{0,2}){1,5}"), 1..8),
        ) {
            let routes: Vec<Route> = (0..)
                .zip(routes)
                .filter_map(|(place, (hosts, prefix))| Some(Route {
                    hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
                    path_prefix: prefix.parse().ok()?,
                    pool: PoolId(place),
                    request_headers: vec![],
                    response_headers: vec![],
                }))
                .collect();
            let table = RouteTable::new(routes);
            for (host, path) in &requests {
                prop_assert_eq!(find(&table, host, path), naive(&table, host, path), "{} {}", host, path);
            }
        }

        #[test]
        fn whatever_is_asked_for_is_answered(authority in vec(any::<u8>(), 0..300), path in vec(any::<u8>(), 0..40)) {
            let table = table(&[(&["a", "[::1]"], "/a"), (&[], "/")]);
            prop_assert!(table.find(&authority, &path).is_some());
        }
    }
}
