//! Active health checks: what is asked of a backend, how often, and how many answers make a verdict.
//!
//! Everything here can be hashed: pools that ask one address the same thing share one probe.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How a pool's backends are checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// From the start of one probe to the start of the next; at least [`Self::MIN_INTERVAL`].
    pub interval: Duration,
    /// The interval between the first result that contradicts the verdict and the next verdict, so that a failure is
    /// confirmed quickly without probing often; at least [`Self::MIN_INTERVAL`].
    pub fast_interval: Duration,
    /// How long a whole probe may take, from connecting to the last byte; never zero. May be longer than the interval:
    /// a probe never starts before the last one of its backend has ended.
    pub timeout: Duration,
    /// Good results in a row that make an unhealthy backend healthy.
    pub rise: NonZeroU32,
    /// Bad results in a row that make a healthy backend unhealthy.
    pub fall: NonZeroU32,
    /// How much every interval varies.
    pub jitter: Jitter,
    /// The port that is probed, if it is not the backend's own.
    pub port: Option<u16>,
}

impl HealthCheck {
    /// HAProxy's default. With the others, a backend that refuses connections is out after 3 s at the latest.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
    /// A quarter of the interval.
    pub const DEFAULT_FAST_INTERVAL: Duration = Duration::from_millis(500);
    /// A lost SYN is sent again after a second, so it fails its probe; `fall` forgives single failures.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
    /// HAProxy's default.
    pub const DEFAULT_RISE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
    /// HAProxy's default.
    pub const DEFAULT_FALL: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
    /// Shorter intervals would be load, not checks.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);

    /// `probe` with the default of everything else.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval: Self::DEFAULT_INTERVAL,
            fast_interval: Self::DEFAULT_FAST_INTERVAL,
            timeout: Self::DEFAULT_TIMEOUT,
            rise: Self::DEFAULT_RISE,
            fall: Self::DEFAULT_FALL,
            jitter: Jitter::DEFAULT,
            port: None,
        }
    }
}

/// What is asked of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Probe {
    /// It accepts a connection.
    Tcp,
    /// It answers an HTTP/1.1 request as expected.
    Http(HttpProbe),
    /// It answers a datagram, or at least does not refuse it.
    Udp(UdpProbe),
    /// It answers a DNS question, without error and with something.
    Dns(DnsProbe),
    /// A command says so.
    Exec(ExecProbe),
}

impl Probe {
    /// The probe's kind, as configured and as shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(HttpProbe { tls: None, .. }) => "http",
            Self::Http(HttpProbe { tls: Some(_), .. }) => "https",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Exec(_) => "exec",
        }
    }
}

/// An HTTP request and what makes its answer good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// Over TLS, and how.
    pub tls: Option<TlsProbe>,
    /// The method.
    pub method: HttpMethod,
    /// Path and query.
    pub path: HttpPath,
    /// The `host` header; `None` is the probed address.
    pub host: Option<HttpHost>,
    /// Which status codes are good.
    pub expect: StatusRanges,
    /// What a good body contains; `None` is anything.
    pub body: Option<BodyMatch>,
}

impl HttpProbe {
    /// How much of a body is waited for at most, in bytes, and looked at.
    pub const MAX_BODY: usize = 64 * 1024;

    /// `GET path` in plain text, any status below 400.
    pub fn get(path: HttpPath) -> Self {
        Self {
            tls: None,
            method: HttpMethod::get(),
            path,
            host: None,
            expect: StatusRanges::default(),
            body: None,
        }
    }
}

/// How a probe does TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsProbe {
    /// The name asked for (SNI) and expected in the certificate. `None`: the name in [`HttpProbe::host`], else the
    /// probed IP address.
    pub server_name: Option<TlsServerName>,
    /// Whom to trust.
    pub verify: TlsVerification,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TlsVerification {
    /// Those whom this host trusts.
    System,
    /// Only those whom the certificates in this PEM file signed.
    CaFile(PathBuf),
    /// Any: names, dates and issuers go unchecked.
    None,
}

/// What a good body contains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyMatch {
    /// The text, never empty; compared byte by byte.
    pub contains: Arc<str>,
    /// In how many bytes from the start it has to be; at most [`HttpProbe::MAX_BODY`].
    pub within: usize,
}

/// A datagram, and what has to come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UdpProbe {
    /// The payload; may be empty.
    pub send: Arc<[u8]>,
    /// What has to come back.
    pub expect: UdpAnswer,
}

/// What makes the answer to a datagram good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UdpAnswer {
    /// An answer or silence until the timeout: only a refusal (ICMP unreachable) is bad. For services that answer
    /// nothing to strangers, such as syslog.
    NotRefused,
    /// Any answer.
    Any,
    /// An answer that starts with these bytes.
    StartsWith(Arc<[u8]>),
    /// An answer with these bytes somewhere.
    Contains(Arc<[u8]>),
}

/// A DNS question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsProbe {
    /// The name.
    pub name: DnsName,
    /// The type.
    pub record: RecordType,
}

/// A command that says whether a backend is healthy: exit code 0 is yes. It is run without a shell, with
/// `SLUICE_BACKEND_ADDRESS`, `SLUICE_BACKEND_PORT`, `SLUICE_BACKEND_NAME` and `PATH` as its whole environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExecProbe {
    /// The program: a path, or a name to find in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Arc<[String]>,
}

/// By how much of itself an interval varies at random, to either side, so that probes (also those of other load
/// balancers) do not fall into step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jitter {
    permille: u16,
}

/// Why a text is no jitter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a jitter; expected a share of the interval from 0% to 50%, for example \"10%\" or \"2.5%\""
)]
pub struct InvalidJitter(String);

impl Jitter {
    /// None: probes come as regularly as a clock.
    pub const NONE: Self = Self { permille: 0 };
    /// 10%.
    pub const DEFAULT: Self = Self { permille: 100 };
    const MAX_PERMILLE: u16 = 500;

    /// `interval`, moved by chance. `chance` is uniform: 0 is the shortest interval, `u32::MAX` the longest.
    pub fn apply(self, interval: Duration, chance: u32) -> Duration {
        let reach = interval.mul_f64(f64::from(self.permille) / 1000.0);
        (interval - reach) + (2 * reach).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

impl FromStr for Jitter {
    type Err = InvalidJitter;

    fn from_str(text: &str) -> Result<Self, InvalidJitter> {
        let parse = || {
            let (whole, tenth) = match text.strip_suffix('%')?.split_once('.') {
                Some((whole, tenth)) if tenth.len() == 1 => (whole, tenth),
                Some(_) => return None,
                None => (text.strip_suffix('%')?, "0"),
            };
            let permille = digits(whole)?.checked_mul(10)?.checked_add(digits(tenth)?)?;
            (permille <= Self::MAX_PERMILLE).then_some(Self { permille })
        };
        parse().ok_or_else(|| InvalidJitter(text.into()))
    }
}

impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.permille / 10, self.permille % 10) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, tenth) => write!(f, "{whole}.{tenth}%"),
        }
    }
}

/// A set of HTTP status codes, never empty. Written as `200-399` or `200,204,300-399`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatusRanges {
    /// Inclusive, sorted, not touching: two texts for the same codes are equal.
    ranges: Vec<(u16, u16)>,
}

/// Why a text is no set of status codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStatusRanges {
    /// Some part is neither a code nor a range.
    #[error(
        "{0:?} is not an HTTP status; expected codes from 200 to 599 and ranges of them, for example \"200,300-399\""
    )]
    NotAStatus(String),
    /// A range ends before it begins.
    #[error("the status range {0}-{1} ends before it begins")]
    Backwards(u16, u16),
}

impl StatusRanges {
    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

impl Default for StatusRanges {
    /// 200 to 399: redirects are answers too.
    fn default() -> Self {
        Self { ranges: vec![(200, 399)] }
    }
}

impl FromStr for StatusRanges {
    type Err = InvalidStatusRanges;

    fn from_str(text: &str) -> Result<Self, InvalidStatusRanges> {
        let status = |code: &str| {
            let parsed = digits(code).filter(|code| (200..=599).contains(code));
            parsed.ok_or_else(|| InvalidStatusRanges::NotAStatus(code.into()))
        };
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (status(first)?, status(last)?);
            if last < first {
                return Err(InvalidStatusRanges::Backwards(first, last));
            }
            all.push((first, last));
        }
        all.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match ranges.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        Ok(Self { ranges })
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            if last != first {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

/// The record types that a probe can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are their names")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

/// Why a text is no record type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a record type; expected one of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT")]
pub struct InvalidRecordType(String);

impl RecordType {
    const ALL: [Self; 9] =
        [Self::A, Self::Aaaa, Self::Cname, Self::Mx, Self::Ns, Self::Ptr, Self::Soa, Self::Srv, Self::Txt];

    /// The type as zone files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }
}

impl FromStr for RecordType {
    type Err = InvalidRecordType;

    fn from_str(text: &str) -> Result<Self, InvalidRecordType> {
        let found = Self::ALL.into_iter().find(|record| record.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| InvalidRecordType(text.into()))
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that cannot be put into a probe where it was meant to go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidProbeText {
    text: String,
    expected: &'static str,
}

macro_rules! probe_text {
    ($(#[$doc:meta])* $type:ident, $valid:path, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// As written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidProbeText;

            fn from_str(text: &str) -> Result<Self, InvalidProbeText> {
                if $valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidProbeText { text: text.into(), expected: $expected })
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

probe_text! {
    /// The method of a probe's request.
    HttpMethod, is_method, "an HTTP method; expected for example \"GET\" or \"HEAD\", in capitals"
}
probe_text! {
    /// Path and query of a probe's request.
    HttpPath, is_path, "a path; expected for example \"/healthz\" or \"/status?short=1\", with %20 for a space"
}
probe_text! {
    /// The `host` header of a probe's request: a name or address, perhaps with a port.
    HttpHost, is_host, "a host; expected for example \"example.com\" or \"example.com:8080\""
}
probe_text! {
    /// The name that a probe expects in a certificate.
    TlsServerName, is_server_name, "a server name; expected for example \"example.com\" or an IP address"
}
probe_text! {
    /// The name that a probe asks DNS for.
    DnsName, is_dns_name, "a DNS name; expected for example \"example.com\" or \".\""
}

impl HttpMethod {
    /// `GET`.
    pub fn get() -> Self {
        Self("GET".into())
    }
}

impl HttpHost {
    /// The host without its port, an IPv6 address without its brackets.
    pub fn name(&self) -> &str {
        host_and_port(&self.0).map_or(&self.0, |(name, _)| name)
    }
}

/// CONNECT has no path, and what follows its answer is no HTTP.
fn is_method(text: &str) -> bool {
    (1..=20).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
        && text != "CONNECT"
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 4096
        // What RFC 3986 allows in a path or query; a fragment is never sent.
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&b))
}

fn is_host(text: &str) -> bool {
    host_and_port(text).is_some_and(|(name, port)| {
        is_server_name(name) && port.is_none_or(|port| digits(port).is_some_and(|port| port != 0))
    })
}

/// Splits `name`, `name:port`, `[v6]` or `[v6]:port`.
fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (v6, tail) = rest.split_once(']').filter(|(v6, _)| v6.contains(':'))?;
        return if tail.is_empty() { Some((v6, None)) } else { Some((v6, Some(tail.strip_prefix(':')?))) };
    }
    match text.split_once(':') {
        // A bare IPv6 address cannot be told from its port.
        Some((_, port)) if port.contains(':') => None,
        Some((name, port)) => Some((name, Some(port))),
        None => Some((text, None)),
    }
}

fn is_server_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || (is_dns_name(text) && !text.ends_with('.'))
}

fn is_dns_name(text: &str) -> bool {
    /// Longest name, in its text form without the last dot.
    const MAX_NAME: usize = 253;
    const MAX_LABEL: usize = 63;

    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    text == "." || (name.len() <= MAX_NAME && name.split('.').all(label))
}

/// A number of digits alone; `parse` would take "+8" too.
fn digits(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message<T: FromStr<Err: fmt::Display> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    #[test]
    fn status_ranges_have_one_form() {
        for (text, canonical) in [
            ("200-399", "200-399"),
            ("200, 204 ,300-399", "200,204,300-399"),
            ("300-399,200-299", "200-399"),
            ("500,500,200-599", "200-599"),
        ] {
            assert_eq!(text.parse::<StatusRanges>().unwrap().to_string(), canonical);
        }
        assert_eq!(StatusRanges::default(), "200-399".parse().unwrap());
    }

    #[test]
    fn errors_say_what_to_write() {
        let status = message::<StatusRanges>;
        assert!(status("").starts_with("\"\" is not an HTTP status; expected codes from 200 to 599"));
        assert!(status("200,+204").starts_with("\"+204\""));
        assert!(status("200-").starts_with("\"\""));
        assert!(status("100").starts_with("\"100\""));
        assert_eq!(status("399-200"), "the status range 399-200 ends before it begins");
        assert!(message::<Jitter>("51%").contains("from 0% to 50%"));
        assert!(message::<Jitter>("10").contains("\"10%\""));
        assert!(message::<RecordType>("ANY").contains("expected one of A, AAAA"));
        assert!(message::<HttpPath>("healthz").contains("\"/healthz\""));
        assert!(message::<HttpMethod>("get").contains("in capitals"));
    }

    #[test]
    fn jitter_round_trips() {
        for text in ["0%", "10%", "2.5%", "50%"] {
            assert_eq!(text.parse::<Jitter>().unwrap().to_string(), text);
        }
        assert_eq!("10%".parse(), Ok(Jitter::DEFAULT));
        assert!(
            ["", "%", ".5%", "1.25%", "1.%", "50.1%", "-1%"].iter().all(|t| t.parse::<Jitter>().is_err())
        );
    }

    #[test]
    fn request_texts_cannot_break_out_of_a_request() {
        assert!("/healthz?full=1&x=%20".parse::<HttpPath>().is_ok());
        for bad in ["/a b", "/a\r\nx: y", "/a#b", "http://a/", "*", "/\u{e9}"] {
            assert!(bad.parse::<HttpPath>().is_err(), "{bad:?}");
        }
        for bad in ["", "G T", "CONNECT", "GET\r\n"] {
            assert!(bad.parse::<HttpMethod>().is_err(), "{bad:?}");
        }
        for bad in ["", "a b", "a\r\n", "a:b", "a:0", "::1", "[::1", "[::1]x", "[1.2.3.4]", "user@a"] {
            assert!(bad.parse::<HttpHost>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_host_knows_its_name() {
        let named = [
            ("a.example", "a.example"),
            ("a.example:80", "a.example"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
        ];
        for (host, name) in named {
            assert_eq!(host.parse::<HttpHost>().unwrap().name(), name);
        }
    }

    #[test]
    fn dns_names_fit_the_wire() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63).as_str(); 4].join(".");
        for bad in ["", "..", "a..b", "-a.example", "a-.example", "a b", long_label.as_str(), &long_name] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad:?}");
        }
        for good in [".", "example", "_dns.example.com", "example.com."] {
            assert!(good.parse::<DnsName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn record_types_round_trip() {
        for record in RecordType::ALL {
            assert_eq!(record.to_string().to_lowercase().parse(), Ok(record));
        }
    }

    proptest! {
        #[test]
        fn status_ranges_contain_what_was_written(
            written in prop::collection::vec((200u16..600, 200u16..600), 1..6),
            status in 200u16..600,
        ) {
            let written: Vec<_> = written.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            let text: Vec<_> = written.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            let ranges: StatusRanges = text.join(",").parse().unwrap();
            let expected = written.iter().any(|(first, last)| (first..=last).contains(&&status));
            prop_assert_eq!(ranges.contains(status), expected);
            prop_assert_eq!(ranges.to_string().parse(), Ok(ranges));
        }

        #[test]
        fn jitter_stays_within_its_share(permille in 0u16..=500, millis in 1u64..100_000, chance: u32) {
            let interval = Duration::from_millis(millis);
            let moved = Jitter { permille }.apply(interval, chance);
            let reach = interval.mul_f64(f64::from(permille) / 1000.0) + Duration::from_nanos(10);
            prop_assert!(moved + reach >= interval && moved <= interval + reach);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<StatusRanges>();
            let _ = text.parse::<Jitter>();
            let _ = text.parse::<HttpHost>();
            let _ = text.parse::<DnsName>();
        }
    }
}
