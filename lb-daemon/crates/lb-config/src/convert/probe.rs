//! The keys of a `health_check` that belong to its type, to [`Probe`].

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use lb_model::{
    BodyMatch, DnsProbe, ExecProbe, HttpProbe, Probe, TlsProbe, TlsVerification, UdpAnswer, UdpProbe,
};

use super::{required, span};
use crate::default;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::hex::Hex;
use crate::raw::{
    Located, RawBody, RawHealthCheck, RawProbeType, RawUdpAnswer, RawUdpAnswerContent, ShortOr, Text, Word,
};
use crate::size::Size;

/// The most that one datagram carries over IPv4.
const MAX_DATAGRAM: usize = 65_507;

/// The probe of type `kind` that `raw` describes, on top of `below`, which is of the same type.
pub(super) fn convert(
    kind: RawProbeType,
    raw: &RawHealthCheck,
    table: &Range<usize>,
    below: Option<&Probe>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Probe> {
    check_keys(kind, raw, document, problems);
    match kind {
        RawProbeType::Tcp => Some(Probe::Tcp),
        RawProbeType::Http => Some(Probe::Http(http(raw, below, document, problems))),
        RawProbeType::Https => {
            let probe = http(raw, below, document, problems);
            let tls = tls(raw, probe.tls.as_ref(), document, problems);
            Some(Probe::Http(HttpProbe { tls: Some(tls), ..probe }))
        }
        RawProbeType::Udp => Some(Probe::Udp(udp(raw, below, document, problems))),
        RawProbeType::Dns => dns(raw, table, below, document, problems).map(Probe::Dns),
        RawProbeType::Exec => exec(raw, table, below, document, problems).map(Probe::Exec),
    }
}

/// The type of a probe.
pub(super) fn kind(probe: &Probe) -> RawProbeType {
    match probe {
        Probe::Tcp => RawProbeType::Tcp,
        Probe::Http(HttpProbe { tls: None, .. }) => RawProbeType::Http,
        Probe::Http(HttpProbe { tls: Some(_), .. }) => RawProbeType::Https,
        Probe::Udp(_) => RawProbeType::Udp,
        Probe::Dns(_) => RawProbeType::Dns,
        Probe::Exec(_) => RawProbeType::Exec,
    }
}

/// Reports keys that belong to other types.
fn check_keys(kind: RawProbeType, raw: &RawHealthCheck, document: &Document<'_>, problems: &mut Problems) {
    use RawProbeType::{Dns, Exec, Http, Https, Udp};

    let mut only_for = |kinds: &[RawProbeType], key: &str, span: Option<&Range<usize>>| {
        if let Some(span) = span
            && !kinds.contains(&kind)
        {
            let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
            let message =
                format!("`{key}` is for checks of type {}, this one is of type {kind}", kinds.join(" and "));
            problems.error(document.diagnostic(span.clone(), &message));
        }
    };
    only_for(&[Http, Https], "method", span(raw.method.as_ref()));
    only_for(&[Http, Https], "path", span(raw.path.as_ref()));
    only_for(&[Http, Https], "host", span(raw.host.as_ref()));
    only_for(&[Http, Https], "status", span(raw.status.as_ref()));
    only_for(&[Http, Https], "body", span(raw.body.as_ref()));
    only_for(&[Https], "server_name", span(raw.server_name.as_ref()));
    only_for(&[Https], "verify", span(raw.verify.as_ref()));
    only_for(&[Https], "ca_file", span(raw.ca_file.as_ref()));
    only_for(&[Udp], "send", span(raw.send.as_ref()));
    only_for(&[Udp], "send_hex", span(raw.send_hex.as_ref()));
    only_for(&[Udp], "expect", span(raw.expect.as_ref()));
    only_for(&[Dns], "name", span(raw.name.as_ref()));
    only_for(&[Dns], "record", span(raw.record.as_ref()));
    only_for(&[Exec], "command", span(raw.command.as_ref()));
}

fn text<T: Clone>(raw: Option<&Located<Text<T>>>) -> Option<T> {
    raw.map(|Located { value: Text(value), .. }| value.clone())
}

fn http(
    raw: &RawHealthCheck,
    below: Option<&Probe>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> HttpProbe {
    let below = match below {
        Some(Probe::Http(probe)) => probe.clone(),
        Some(Probe::Tcp | Probe::Udp(_) | Probe::Dns(_) | Probe::Exec(_)) | None => {
            HttpProbe::get("/".parse().expect("a slash is a path"))
        }
    };
    let body = raw.body.as_ref().and_then(|body| self::body(body, document, problems));
    HttpProbe {
        tls: below.tls,
        method: text(raw.method.as_ref()).unwrap_or(below.method),
        path: text(raw.path.as_ref()).unwrap_or(below.path),
        host: text(raw.host.as_ref()).or(below.host),
        expect: text(raw.status.as_ref()).unwrap_or(below.expect),
        body: body.or(below.body),
    }
}

fn body(
    raw: &Located<ShortOr<RawBody>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<BodyMatch> {
    let (contains, span, within) = match &raw.value {
        ShortOr::Short(contains) => (contains, &raw.span, None),
        ShortOr::Long(RawBody { contains, within }) => {
            let contains = required("contains", contains.as_ref(), &raw.span, document, problems)?;
            (&contains.value, &contains.span, within.as_ref())
        }
    };
    if contains.is_empty() {
        let message = "must not be empty; leave `body` out where anything will do";
        problems.error(document.diagnostic(span.clone(), message));
    }
    let max = Size::of(HttpProbe::MAX_BODY);
    let within_size = within.map_or(max, |Located { value: Text(size), .. }| *size);
    let within_span = within.map_or(span, |within| &within.span);
    if within_size.0 > max.0 {
        let message = format!("no more than {max} of a body are looked at");
        problems.error(document.diagnostic(within_span.clone(), &message));
    } else if within_size.0 < Size::of(contains.len()).0 {
        let length = Size::of(contains.len());
        let message = format!("a text of {length} is never within {within_size}");
        problems.error(document.diagnostic(within_span.clone(), &message));
    }
    let within = usize::try_from(within_size.0).unwrap_or(HttpProbe::MAX_BODY);
    Some(BodyMatch { contains: contains.as_str().into(), within })
}

fn tls(
    raw: &RawHealthCheck,
    below: Option<&TlsProbe>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> TlsProbe {
    let below = below.cloned().unwrap_or(TlsProbe { server_name: None, verify: TlsVerification::System });
    let verify = match (raw.verify.as_ref().map(|verify| verify.value), &raw.ca_file) {
        (Some(false), Some(ca_file)) => {
            let message = "with `verify = false` any certificate will do: leave one of the two out";
            problems.error(document.diagnostic(ca_file.span.clone(), message));
            TlsVerification::None
        }
        (Some(false), None) => TlsVerification::None,
        (Some(true) | None, Some(ca_file)) => TlsVerification::CaFile(document.resolve(&ca_file.value.0.0)),
        (Some(true), None) if below.verify == TlsVerification::None => TlsVerification::System,
        (Some(true) | None, None) => below.verify,
    };
    TlsProbe { server_name: text(raw.server_name.as_ref()).or(below.server_name), verify }
}

fn udp(
    raw: &RawHealthCheck,
    below: Option<&Probe>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> UdpProbe {
    let below = match below {
        Some(Probe::Udp(probe)) => probe.clone(),
        Some(Probe::Tcp | Probe::Http(_) | Probe::Dns(_) | Probe::Exec(_)) | None => {
            UdpProbe { send: Arc::default(), expect: UdpAnswer::Any }
        }
    };
    let send = bytes(raw.send.as_ref()).or_else(|| hex_bytes(raw.send_hex.as_ref()));
    if let (Some(_), Some(hex)) = (&raw.send, &raw.send_hex) {
        let message = "one datagram is sent: leave `send` or `send_hex` out";
        problems.error(document.diagnostic(hex.span.clone(), message));
    }
    if let Some(Bytes { span, bytes }) = &send
        && bytes.len() > MAX_DATAGRAM
    {
        let message = format!("a datagram has at most {MAX_DATAGRAM} bytes, this one has {}", bytes.len());
        problems.error(document.diagnostic((*span).clone(), &message));
    }
    let expect = raw.expect.as_ref().and_then(|expect| udp_answer(expect, document, problems));
    UdpProbe { send: send.map_or(below.send, |send| send.bytes), expect: expect.unwrap_or(below.expect) }
}

/// What is sent or compared, and its place.
struct Bytes<'r> {
    span: &'r Range<usize>,
    bytes: Arc<[u8]>,
}

fn bytes(raw: Option<&Located<String>>) -> Option<Bytes<'_>> {
    raw.map(|Located { span, value }| Bytes { span, bytes: value.as_bytes().into() })
}

fn hex_bytes(raw: Option<&Located<Text<Hex>>>) -> Option<Bytes<'_>> {
    raw.map(|Located { span, value: Text(Hex(bytes)) }| Bytes { span, bytes: bytes.as_slice().into() })
}

fn udp_answer(
    raw: &Located<ShortOr<RawUdpAnswerContent>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<UdpAnswer> {
    match &raw.value {
        ShortOr::Short(Word(RawUdpAnswer::Any)) => Some(UdpAnswer::Any),
        ShortOr::Short(Word(RawUdpAnswer::NotRefused)) => Some(UdpAnswer::NotRefused),
        ShortOr::Long(content) => udp_answer_content(content, &raw.span, document, problems),
    }
}

fn udp_answer_content(
    raw: &RawUdpAnswerContent,
    table: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<UdpAnswer> {
    const KEYS: &str = "starts_with, starts_with_hex, contains, contains_hex";

    let RawUdpAnswerContent { starts_with, starts_with_hex, contains, contains_hex } = raw;
    let start = [bytes(starts_with.as_ref()), hex_bytes(starts_with_hex.as_ref())].into_iter().flatten();
    let content = [bytes(contains.as_ref()), hex_bytes(contains_hex.as_ref())].into_iter().flatten();
    let start = start.map(|Bytes { span, bytes }| (span, UdpAnswer::StartsWith(bytes)));
    let content = content.map(|Bytes { span, bytes }| (span, UdpAnswer::Contains(bytes)));
    let mut answers = start.chain(content);

    let Some((span, answer)) = answers.next() else {
        if document.is_empty_table(table) {
            let message = format!("expected one of the keys {KEYS}");
            problems.absence(document.diagnostic(table.clone(), &message));
        }
        return None;
    };
    if let Some((other, _)) = answers.next() {
        let message = format!("only one of the keys {KEYS} is possible");
        problems.error(document.diagnostic(other.clone(), &message));
    }
    if let UdpAnswer::StartsWith(bytes) | UdpAnswer::Contains(bytes) = &answer
        && bytes.is_empty()
    {
        let message = "must not be empty; write expect = \"any\" where any answer will do";
        problems.error(document.diagnostic(span.clone(), message));
    }
    Some(answer)
}

fn dns(
    raw: &RawHealthCheck,
    table: &Range<usize>,
    below: Option<&Probe>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<DnsProbe> {
    let below = match below {
        Some(Probe::Dns(probe)) => Some(probe),
        Some(Probe::Tcp | Probe::Http(_) | Probe::Udp(_) | Probe::Exec(_)) | None => None,
    };
    let name = match (&raw.name, below) {
        (None, Some(below)) => below.name.clone(),
        (name, _) => required("name", name.as_ref(), table, document, problems)?.value.0.clone(),
    };
    let record = text(raw.record.as_ref()).or(below.map(|probe| probe.record));
    Some(DnsProbe { name, record: record.unwrap_or(default::RECORD) })
}

fn exec(
    raw: &RawHealthCheck,
    table: &Range<usize>,
    below: Option<&Probe>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<ExecProbe> {
    if raw.command.is_none()
        && let Some(Probe::Exec(below)) = below
    {
        return Some(below.clone());
    }
    let command = required("command", raw.command.as_ref(), table, document, problems)?;
    let named = command.value.split_first().filter(|(program, _)| !program.value.is_empty());
    let Some((program, args)) = named else {
        if !command.value.is_empty() || document.is_empty_list(&command.span) {
            problems.error(document.diagnostic(command.span.clone(), "must name a program"));
        }
        return None;
    };
    if let Some(word) = command.value.iter().find(|word| word.value.contains('\0')) {
        problems.error(document.diagnostic(word.span.clone(), "a command has no NUL character"));
    }
    Some(ExecProbe {
        // A name without a slash is looked for in PATH.
        program: if program.value.contains('/') {
            document.resolve(Path::new(&program.value))
        } else {
            program.value.as_str().into()
        },
        args: args.iter().map(|arg| arg.value.clone()).collect(),
    })
}
