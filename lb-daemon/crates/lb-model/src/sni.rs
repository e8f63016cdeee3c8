//! Which pool serves a TLS client, by what it asks for.

use crate::{AlpnProtocol, PoolId, ServerName, ServerNameMap, ServerNamePattern};

/// Who serves some names of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniRoute {
    /// The names; never empty.
    pub names: Vec<ServerNamePattern>,
    /// Only for clients that offer one of these protocols (ALPN); empty is for all.
    pub alpn: Vec<AlpnProtocol>,
    /// Who serves them.
    pub pool: PoolId,
}

/// The routes of a TLS listener, found by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SniRoutes {
    routes: Vec<SniRoute>,
    /// For each name the places in `routes`, in order.
    by_name: ServerNameMap<Vec<usize>>,
}

/// Why no route is for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoute {
    /// None is for the name that it asks for, or it asks for none.
    Name,
    /// Some are for the name, but for none of the protocols that it offers.
    Protocol,
}

impl SniRoutes {
    /// Routes, in the order in which they are tried for a name.
    pub fn new(routes: Vec<SniRoute>) -> Self {
        let mut by_name: ServerNameMap<Vec<usize>> = ServerNameMap::default();
        for (place, route) in routes.iter().enumerate() {
            for name in &route.names {
                by_name.entry(name).push(place);
            }
        }
        Self { routes, by_name }
    }

    /// All routes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &SniRoute> {
        self.routes.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The pool for a client that asks for `name` and `offers` some protocols: of the first route that has the name itself
    /// and is for one of the protocols, else of the first such with a wildcard.
    pub fn find(
        &self,
        name: Option<&ServerName>,
        offers: impl Fn(&AlpnProtocol) -> bool,
    ) -> Result<PoolId, NoRoute> {
        let fits = |route: &&SniRoute| route.alpn.is_empty() || route.alpn.iter().any(&offers);
        let mut why = NoRoute::Name;
        for places in name.into_iter().flat_map(|name| self.by_name.matches(name)) {
            why = NoRoute::Protocol;
            if let Some(route) = places.iter().filter_map(|&place| self.routes.get(place)).find(fits) {
                return Ok(route.pool);
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(routes: &[(&[&str], &[&str])]) -> SniRoutes {
        let route = |(place, (names, alpn)): (usize, &(&[&str], &[&str]))| SniRoute {
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            alpn: alpn.iter().map(|protocol| protocol.parse().unwrap()).collect(),
            pool: PoolId(u32::try_from(place).unwrap()),
        };
        SniRoutes::new(routes.iter().enumerate().map(route).collect())
    }

    fn find(routes: &SniRoutes, name: &str, protocols: &[&str]) -> Result<u32, NoRoute> {
        let offers = |protocol: &AlpnProtocol| protocols.contains(&protocol.as_str());
        routes.find(Some(&name.parse().unwrap()), offers).map(|PoolId(place)| place)
    }

    #[test]
    fn the_name_itself_goes_before_a_wildcard_whatever_the_order() {
        let routes = routes(&[(&["*.example.com"], &[]), (&["api.example.com", "example.org"], &[])]);
        assert_eq!(find(&routes, "www.example.com", &[]), Ok(0));
        assert_eq!(find(&routes, "api.example.com", &["h2"]), Ok(1));
        assert_eq!(find(&routes, "example.org", &[]), Ok(1));
        assert_eq!(find(&routes, "example.com", &[]), Err(NoRoute::Name));
        assert_eq!(routes.find(None, |_| true), Err(NoRoute::Name));
    }

    #[test]
    fn the_first_route_that_fits_the_protocols_is_taken() {
        let routes = routes(&[
            (&["a.example"], &["h2", "h3"]),
            (&["a.example"], &["http/1.1"]),
            (&["*.example"], &["acme-tls/1"]),
        ]);
        assert_eq!(find(&routes, "a.example", &["http/1.1", "h2"]), Ok(0));
        assert_eq!(find(&routes, "a.example", &["http/1.1"]), Ok(1));
        assert_eq!(find(&routes, "a.example", &["acme-tls/1"]), Ok(2));
        for nothing in [&["smtp"][..], &[]] {
            assert_eq!(find(&routes, "a.example", nothing), Err(NoRoute::Protocol));
            assert_eq!(find(&routes, "b.example", nothing), Err(NoRoute::Protocol));
        }
    }
}
