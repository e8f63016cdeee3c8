//! A request's line in the access log.

use std::fmt::Arguments;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lb_http::{KnownField, RequestHead, Version};
use lb_model::{AccessLogFormat, HeaderName, ListenerName};
use lb_net::clock;
use lb_telemetry::access_log::{Json, UtcTime};
use lb_telemetry::metrics::RequestEnd;

use crate::forwarded::Named;
use crate::record::Record;

/// What a line is made from.
pub(crate) struct Request<'a> {
    pub(crate) listener: &'a ListenerName,
    pub(crate) peer: SocketAddr,
    pub(crate) head: &'a RequestHead,
    pub(crate) record: &'a Record,
    pub(crate) took: Duration,
    /// The field that says what it is called.
    pub(crate) id_field: Option<&'a HeaderName>,
}

impl Request<'_> {
    /// Writes the line, without its end.
    pub(crate) fn write(&self, format: AccessLogFormat, out: &mut Vec<u8>) {
        match format {
            AccessLogFormat::Json => self.json(out),
            AccessLogFormat::Combined => self.combined(out),
        }
    }

    fn json(&self, out: &mut Vec<u8>) {
        let Record { trail, .. } = self.record;
        let mut json = Json::begin(out);
        json.display("time", format_args!("{}", UtcTime(clock::unix())));
        json.text("listener", self.listener.as_str().as_bytes());
        match self.id_field.filter(|_| self.record.named == Named::ByProxy) {
            Some(name) => json.text("request_id", self.head.fields().get(name.as_str()).unwrap_or_default()),
            None => json.display("request_id", format_args!("{}", self.record.id)),
        }
        json.display("client", format_args!("{}", self.record.client));
        json.display("peer", format_args!("{}", self.peer));
        if self.is_parsed() {
            json.text("method", self.head.method_name());
            json.text("host", self.field(KnownField::Host));
            json.text("target", self.head.target());
            json.text("protocol", self.protocol().as_bytes());
            for (key, field) in [("user_agent", KnownField::UserAgent), ("referer", KnownField::Referer)] {
                if let Some(value) = self.head.fields().get(field) {
                    json.text(key, value);
                }
            }
        }
        json.number("status", self.record.status.into());
        if let Some(backend) = &trail.backend {
            json.text("pool", backend.pool.as_str().as_bytes());
            json.text("backend", backend.name.as_str().as_bytes());
        }
        json.number("bytes_in", self.record.bytes_in);
        json.number("bytes_out", self.record.bytes_out);
        json.number("duration_us", micros(self.took));
        json.number("queue_us", micros(trail.queued));
        json.number("connect_us", micros(trail.connecting));
        if let Some(first_byte) = self.record.first_byte {
            json.number("first_byte_us", micros(first_byte));
        }
        json.number("tries", trail.tries.into());
        json.number("repeats", self.record.repeats.into());
        json.text("reason", self.record.end.unwrap_or(RequestEnd::Internal).label().as_bytes());
        if let Some(fault) = self.record.fault {
            json.text("fault", fault.label().as_bytes());
        }
        json.end();
    }

    /// As Apache's and nginx's `combined`.
    fn combined(&self, out: &mut Vec<u8>) {
        put(out, format_args!("{} - - [{}] \"", self.record.client, UtcTime(clock::unix()).common_log()));
        if self.is_parsed() {
            escape(self.head.method_name(), out);
            out.push(b' ');
            escape(self.head.target(), out);
            put(out, format_args!(" {}", self.protocol()));
        } else {
            out.push(b'-');
        }
        put(out, format_args!("\" {} {} \"", self.record.status, self.record.bytes_out));
        escape(self.field(KnownField::Referer), out);
        out.extend_from_slice(b"\" \"");
        escape(self.field(KnownField::UserAgent), out);
        out.push(b'"');
    }

    /// Whether the head is one. Of one that is refused nothing is told.
    fn is_parsed(&self) -> bool {
        !self.head.target().is_empty()
    }

    fn field(&self, name: KnownField) -> &[u8] {
        self.head.fields().get(name).unwrap_or(b"-")
    }

    fn protocol(&self) -> &'static str {
        match self.head.version() {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

/// Nothing that somebody else has chosen ends a field or a line.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => put(out, format_args!("\\x{byte:02x}")),
            _ => out.push(byte),
        }
    }
}

fn put(out: &mut Vec<u8>, text: Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
