//! Which pools there are, and who refers to them.

use std::collections::{BTreeMap, BTreeSet};

use lb_model::{PoolId, PoolName};

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawListener, RawProtocol, Text};
use crate::suggest::did_you_mean;

/// The pools of all files by name, those included that have mistakes in them.
pub(super) struct PoolNames {
    ids: BTreeMap<String, PoolId>,
    /// Those that HTTP listeners name.
    of_http: BTreeSet<String>,
}

/// Whether HTTP listeners use a pool.
#[derive(Debug, Clone, Copy)]
pub(super) enum ServesHttp {
    Yes,
    No,
}

impl PoolNames {
    pub(super) fn of(documents: &[Document<'_>]) -> Self {
        let names: BTreeSet<&str> =
            documents.iter().flat_map(|document| document.keys_of("pools")).map(|(name, _)| name).collect();
        // The model has its pools sorted by name, as this set is.
        let ids = names.into_iter().map(str::to_owned).zip((0..).map(PoolId)).collect();
        let listeners = documents.iter().flat_map(|document| document.raw.listeners());
        // One whose protocol cannot be read may be one.
        let is_http = |listener: &RawListener| {
            listener.protocol.as_ref().is_none_or(|protocol| protocol.value.0 == RawProtocol::Http)
        };
        let of_http = listeners
            .map(|(_, listener)| &listener.value)
            .filter(|listener| is_http(listener))
            .flat_map(references)
            .map(|pool| pool.value.0.to_string())
            .collect();
        Self { ids, of_http }
    }

    /// Whether HTTP listeners use the pool of this name.
    pub(super) fn serves_http(&self, name: &str) -> ServesHttp {
        if self.of_http.contains(name) { ServesHttp::Yes } else { ServesHttp::No }
    }

    /// The pool that a listener names.
    pub(super) fn resolve(
        &self,
        reference: &Located<Text<PoolName>>,
        document: &Document<'_>,
        problems: &mut Problems,
    ) -> Option<PoolId> {
        let Located { span, value: Text(name) } = reference;
        let id = self.ids.get(name.as_str()).copied();
        if id.is_none() {
            let suggestion = did_you_mean(name.as_str(), self.ids.keys().map(String::as_str));
            let message = format!("there is no pool \"{name}\"{suggestion}");
            problems.absence(document.diagnostic(span.clone(), &message));
        }
        id
    }

    /// Warns of pools that no listener names.
    pub(super) fn warn_of_unused(&self, documents: &[Document<'_>], problems: &mut Problems) {
        let listeners = documents.iter().flat_map(|document| document.raw.listeners());
        let used: BTreeSet<&str> = listeners
            .flat_map(|(_, listener)| references(&listener.value))
            .map(|pool| pool.value.0.as_str())
            .collect();
        for document in documents {
            for (name, span) in document.keys_of("pools").filter(|(name, _)| !used.contains(name)) {
                let message = format!("no listener uses the pool \"{name}\"");
                problems.warning(document.diagnostic(span, &message));
            }
        }
    }
}

/// The pools that a listener names: its own, and those of its routes.
pub(super) fn references(listener: &RawListener) -> impl Iterator<Item = &Located<Text<PoolName>>> {
    let by_name =
        listener.sni.iter().flat_map(|sni| &sni.value).filter_map(|route| route.value.pool.as_ref());
    let routes = listener.routes.iter().flat_map(|routes| &routes.value);
    let by_request = routes.filter_map(|route| route.value.pool.as_ref());
    listener.pool.iter().chain(by_name).chain(by_request)
}
