//! What a key means that is not set. The reference page, the JSON Schema and the conversion all read it here.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use lb_model::{
    AccessLog, AccessLogDestination, AccessLogFormat, Algorithm, Global, Log, LogFormat, LogLevel,
    MaxConnections, PassiveHealth, Percent, Queue, RecordType, Watch, Workers, Zones,
};

pub(crate) const GLOBAL: Global = Global {
    workers: Workers::Auto,
    max_connections: MaxConnections::Auto,
    drain_timeout: Duration::from_secs(30),
    hash_seed: 0,
    zone: None,
    state_dir: None,
    watch: Watch::Off,
    nameservers: Vec::new(),
};

pub(crate) const LOG: Log = Log { level: LogLevel::Info, format: LogFormat::Human, access: true };

/// Long enough for what chats rarely, short enough that what died without a word does not pile up for a day.
pub(crate) const IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(600));
/// Flows are many and do not say that they end; one that is forgotten too soon begins anew with its next datagram.
pub(crate) const FLOW_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Enough for a lost packet or two, little for somebody who opens connections to hold them.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// Of HTTP heads: most are in one packet, and large ones come over slow lines, too.
pub(crate) const REQUEST_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Of HTTP listeners, where the process has access records at all: beside its own log, and for machines.
pub(crate) const ACCESS_LOG: AccessLog =
    AccessLog { format: AccessLogFormat::Json, destination: AccessLogDestination::Stdout };
/// On the client's side probes cost a packet a minute and find clients that are gone.
pub(crate) const CLIENT_KEEPALIVE: Option<Duration> = Some(Duration::from_secs(60));

pub(crate) const ALGORITHM: Algorithm = Algorithm::Hash;
/// Requests differ in what they cost, and a client has many on one connection.
pub(crate) const HTTP_ALGORITHM: Algorithm = Algorithm::LeastConnections;
/// Backends with warm caches are the common case, and a wait that nobody asked for looks like a fault.
pub(crate) const SLOW_START: Option<Duration> = None;
pub(crate) const PANIC_THRESHOLD: Percent = Percent::ZERO;
pub(crate) const ZONES: Zones = Zones::Ignore;
/// What a `dns` check asks for.
pub(crate) const RECORD: RecordType = RecordType::A;

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const CONNECT_TRIES: NonZeroU8 = NonZeroU8::new(3).unwrap();
/// A backend that goes away in silence is found by the idle timeout.
pub(crate) const BACKEND_KEEPALIVE: Option<Duration> = None;
pub(crate) const QUEUE: Queue = Queue { limit: 1024, timeout: Duration::from_secs(10) };
pub(crate) const PASSIVE_HEALTH: PassiveHealth = PassiveHealth {
    failures: NonZeroU32::MIN,
    backoff: Duration::from_secs(1),
    max_backoff: Duration::from_secs(30),
    max_ejected: Percent::ALL,
};
