//! The daemon's log lines and the access records among them.

use std::net::SocketAddr;

use lb_model::Termination;
use serde_json::Value;

/// One line of the daemon's standard error.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// As written.
    pub text: String,
    json: Value,
}

impl LogLine {
    /// Takes a line; one that is not JSON (a panic, say) has a text only.
    pub(crate) fn new(text: String) -> Self {
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { text, json }
    }

    /// The field `name`, if it is a string.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.json.get(name)?.as_str()
    }

    /// Whether this is a line with exactly this message; of a line for people, whether it has this word.
    pub fn says(&self, word: &str) -> bool {
        match self.field("message") {
            Some(message) => message == word,
            None => self.text.split_ascii_whitespace().any(|w| w == word),
        }
    }

    /// The access record, if this is one. Panics if it looks like one and is not complete.
    pub fn access_record(&self) -> Option<AccessRecord> {
        if self.field("target") != Some("access") {
            return None;
        }
        Some(
            AccessRecord::from_json(&self.json).unwrap_or_else(|field| panic!("no {field} in {}", self.text)),
        )
    }
}

/// What the daemon says about a connection that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRecord {
    /// The listener's name.
    pub listener: String,
    /// Where the client came from.
    pub client: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// The pool's name; empty if none was chosen.
    pub pool: String,
    /// Who told by a PROXY header who the client is.
    pub proxied_by: Option<SocketAddr>,
    /// The server name that the client asked for by TLS.
    pub server_name: Option<String>,
    /// What backends were told that the connection is called.
    pub unique_id: Option<String>,
    /// What was wrong with what the client began with.
    pub error: Option<String>,
    /// The name of the last backend that was tried, if any was.
    pub backend: Option<String>,
    /// From the client to the backend.
    pub bytes_in: u64,
    /// From the backend to the client.
    pub bytes_out: u64,
    /// Of a flow of datagrams: those from the client.
    pub datagrams_in: Option<u64>,
    /// Of a flow of datagrams: those from the backend.
    pub datagrams_out: Option<u64>,
    /// Microseconds from accept to the end.
    pub duration_us: u64,
    /// Backends that were tried.
    pub tries: u64,
    /// Why it ended.
    pub reason: Termination,
}

impl AccessRecord {
    fn from_json(json: &Value) -> Result<Self, &'static str> {
        let text = |name| json.get(name).and_then(Value::as_str).ok_or(name);
        let number = |name| json.get(name).and_then(Value::as_u64).ok_or(name);
        let address = |name| text(name)?.parse::<SocketAddr>().map_err(|_not_an_address| name);
        let reason = text("reason")?;
        Ok(Self {
            listener: text("listener")?.into(),
            client: address("client")?,
            local: address("local")?,
            pool: text("pool").unwrap_or_default().into(),
            proxied_by: address("proxied_by").ok(),
            server_name: text("server_name").ok().map(Into::into),
            unique_id: text("unique_id").ok().map(Into::into),
            error: text("error").ok().map(Into::into),
            backend: text("backend").ok().map(Into::into),
            bytes_in: number("bytes_in")?,
            bytes_out: number("bytes_out")?,
            datagrams_in: number("datagrams_in").ok(),
            datagrams_out: number("datagrams_out").ok(),
            duration_us: number("duration_us")?,
            tries: number("tries")?,
            reason: Termination::ALL.into_iter().find(|r| r.label() == reason).ok_or("known reason")?,
        })
    }
}
