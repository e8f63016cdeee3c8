//! What one worker counts of one listener, one backend, and itself.

use lb_model::{DropReason, Termination};

use crate::metrics::{Counter, Gauge, Histogram, RequestEnd};

/// Bounds of buckets in microseconds: how long connections live, 1 ms to 6 h.
pub(crate) static LIFETIME: [u64; 12] = [
    1_000,
    10_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    21_600_000_000,
];

/// How long connections wait in a queue, 1 ms to 60 s.
pub(crate) static WAIT: [u64; 12] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    60_000_000,
];

/// How soon a backend answers, 100 µs to 10 s. Few, because every backend has them twice.
pub(crate) static LATENCY: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// How late a worker's loop is, 1 ms (as fine as its timers are) to 5 s.
pub(crate) static LAG: [u64; 10] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// How long requests take, 500 µs to 60 s.
pub(crate) static REQUEST: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 60_000_000,
];

/// What a worker counts of the requests of an HTTP listener.
#[derive(Debug)]
pub struct HttpSheet {
    /// Requests whose heads were whole, or were refused.
    pub requests: Counter,
    /// Times that a request was sent to a backend again.
    pub repeats: Counter,
    /// How long requests took, from the head being whole to the end.
    pub duration: Histogram<{ REQUEST.len() }>,
    responses: Responses,
    ended: [Counter; RequestEnd::ALL.len()],
}

impl HttpSheet {
    /// Requests that ended so.
    pub fn ended(&self, end: RequestEnd) -> &Counter {
        self.ended.get(end as usize).expect("there is a counter for each of RequestEnd::ALL")
    }

    /// Responses with a status of this one's class.
    pub fn responses(&self, status: u16) -> &Counter {
        self.responses.of(status)
    }
}

impl Default for HttpSheet {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            repeats: Counter::default(),
            duration: Histogram::new(&REQUEST),
            responses: Responses::default(),
            ended: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// Responses by the class of their status.
#[derive(Debug, Default)]
struct Responses([Counter; STATUS_CLASSES.len() + 1]);

/// The classes of status codes: the first digit, and what they are called.
pub(crate) static STATUS_CLASSES: [(u16, &str); 5] =
    [(100, "1xx"), (200, "2xx"), (300, "3xx"), (400, "4xx"), (500, "5xx")];

impl Responses {
    /// The last one is for requests that got none, and for what is no status.
    fn of(&self, status: u16) -> &Counter {
        let class = usize::from(status / 100).wrapping_sub(1).min(STATUS_CLASSES.len());
        self.0.get(class).expect("there is a counter for each class, and one for the rest")
    }
}

/// What a worker counts of a listener.
#[derive(Debug)]
pub struct ListenerSheet {
    /// Client connections accepted, or flows of datagrams begun.
    pub connections: Counter,
    /// Bytes from clients to backends.
    pub bytes_in: Counter,
    /// Bytes from backends to clients.
    pub bytes_out: Counter,
    /// Datagrams from clients that were sent to a backend.
    pub datagrams_in: Counter,
    /// Datagrams from backends that were sent to a client.
    pub datagrams_out: Counter,
    /// How long connections lived, from accept to the end.
    pub duration: Histogram<{ LIFETIME.len() }>,
    /// What is counted of its requests, if it is one for HTTP.
    pub http: HttpSheet,
    /// How long those connections waited for a backend that had to.
    pub queued: Histogram<{ WAIT.len() }>,
    ended: [Counter; Termination::ALL.len()],
    dropped: [Counter; DropReason::ALL.len()],
}

impl ListenerSheet {
    /// Connections that ended for `reason`.
    pub fn ended(&self, reason: Termination) -> &Counter {
        self.ended.get(reason as usize).expect("there is a counter for each of Termination::ALL")
    }

    /// Datagrams that were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> &Counter {
        self.dropped.get(reason as usize).expect("there is a counter for each of DropReason::ALL")
    }

    /// Connections that were accepted and have not ended.
    pub fn active(&self) -> u64 {
        // The ends first: a connection that is over in between must not make this negative.
        let ended = self.ended.iter().map(Counter::get).fold(0, u64::wrapping_add);
        self.connections.get().saturating_sub(ended)
    }
}

impl Default for ListenerSheet {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            datagrams_in: Counter::default(),
            datagrams_out: Counter::default(),
            http: HttpSheet::default(),
            duration: Histogram::new(&LIFETIME),
            queued: Histogram::new(&WAIT),
            ended: std::array::from_fn(|_| Counter::default()),
            dropped: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// What a worker counts of a backend.
#[derive(Debug)]
pub struct BackendSheet {
    /// Connections established.
    pub connections: Counter,
    /// Connects that were refused or reset, or that found no way to the backend.
    pub connect_failures: Counter,
    /// Connects without an answer within the pool's `connect_timeout`.
    pub connect_timeouts: Counter,
    /// Bytes from clients to the backend.
    pub bytes_in: Counter,
    /// Bytes from the backend to clients.
    pub bytes_out: Counter,
    /// How long connects took that succeeded.
    pub connect: Histogram<{ LATENCY.len() }>,
    /// From the connection being established, or the request being sent, to the backend's first byte.
    pub first_byte: Histogram<{ LATENCY.len() }>,
    responses: Responses,
}

impl BackendSheet {
    /// Responses with a status of this one's class.
    pub fn responses(&self, status: u16) -> &Counter {
        self.responses.of(status)
    }
}

impl Default for BackendSheet {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            connect_failures: Counter::default(),
            connect_timeouts: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            connect: Histogram::new(&LATENCY),
            first_byte: Histogram::new(&LATENCY),
            responses: Responses::default(),
        }
    }
}

/// What a worker counts of itself.
#[derive(Debug)]
pub struct WorkerSheet {
    /// Client connections accepted.
    pub connections: Counter,
    /// How late timers fired: what a connection waits for when the worker is busy with others.
    pub loop_lag: Histogram<{ LAG.len() }>,
    /// Pipes in use for splicing.
    pub pipes: Gauge,
    /// Times that a connection was copied because it could not have a pipe.
    pub pipes_refused: Counter,
}

impl Default for WorkerSheet {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            loop_lag: Histogram::new(&LAG),
            pipes: Gauge::default(),
            pipes_refused: Counter::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let sheet = ListenerSheet::default();
        for (n, reason) in (1..).zip(Termination::ALL) {
            sheet.ended(reason).add(n);
        }
        for (n, reason) in (1..).zip(Termination::ALL) {
            assert_eq!(sheet.ended(reason).get(), n, "{reason}");
        }
    }

    #[test]
    fn every_drop_reason_has_a_counter_of_its_own() {
        let sheet = ListenerSheet::default();
        for (n, reason) in (1..).zip(DropReason::ALL) {
            sheet.dropped(reason).add(n);
        }
        for (n, reason) in (1..).zip(DropReason::ALL) {
            assert_eq!(sheet.dropped(reason).get(), n, "{reason}");
        }
    }

    #[test]
    fn active_are_those_that_have_not_ended() {
        let sheet = ListenerSheet::default();
        sheet.connections.add(5);
        sheet.ended(Termination::Finished).add(2);
        sheet.ended(Termination::Internal).add(1);
        assert_eq!(sheet.active(), 2);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [&LIFETIME[..], &WAIT[..], &LATENCY[..], &LAG[..]] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
    }
}
