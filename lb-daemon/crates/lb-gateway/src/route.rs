//! Which pool serves a request, and what is changed on the way.

use lb_http::RequestHead;
use lb_model::{Http, Listener, PoolId};

use crate::filter::Filter;

/// A listener's routes with their filters.
#[derive(Debug)]
pub(crate) struct Routes {
    /// In the order of the route table.
    routes: Vec<Route>,
    /// For requests that no route is for.
    rest: Option<Route>,
}

/// Where requests go, and through what.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) pool: PoolId,
    pub(crate) on_request: Box<[Filter]>,
    pub(crate) on_response: Box<[Filter]>,
}

impl Routes {
    pub(crate) fn new(listener: &Listener, http: &Http) -> Self {
        let route = |route: &lb_model::Route| Route {
            pool: route.pool,
            on_request: Filter::edits(&route.request_headers),
            on_response: Filter::edits(&route.response_headers),
        };
        let rest = |pool| Route { pool, on_request: Box::default(), on_response: Box::default() };
        Self { routes: http.routes.iter().map(route).collect(), rest: listener.pool.map(rest) }
    }

    /// The route of a request; `None` if it is for nobody.
    pub(crate) fn find(&self, http: &Http, request: &RequestHead) -> Option<&Route> {
        let host = request.authority().map_or(&b""[..], |authority| authority.host);
        let found = http.routes.find(host, request.path());
        found.and_then(|id| self.routes.get(id.index())).or(self.rest.as_ref())
    }
}
