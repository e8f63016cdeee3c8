//! Health checks.

use lb_model::{
    BodyMatch, DnsProbe, ExecProbe, HealthCheck, HttpProbe, Probe, TlsProbe, TlsVerification, UdpAnswer,
    UdpProbe,
};

use super::inline::Inline;
use crate::hex::Hex;
use crate::size::Size;
use crate::text;

/// `check` as a table, or `"off"`.
pub(super) fn or_off(check: Option<&HealthCheck>) -> String {
    check.map_or_else(|| "\"off\"".to_owned(), |check| table(check).to_string())
}

fn table(check: &HealthCheck) -> Inline {
    let HealthCheck { probe, interval, fast_interval, timeout, rise, fall, jitter, port } = check;
    let mut table = Inline::default();
    table.set("type", format_args!("\"{}\"", probe.kind()));
    table.set("interval", format_args!("\"{}\"", text::duration(*interval)));
    table.set("fast_interval", format_args!("\"{}\"", text::duration(*fast_interval)));
    table.set("timeout", format_args!("\"{}\"", text::duration(*timeout)));
    table.set("rise", rise);
    table.set("fall", fall);
    table.set("jitter", format_args!("\"{jitter}\""));
    if let Some(port) = port {
        table.set("port", port);
    }
    match probe {
        Probe::Tcp => {}
        Probe::Http(probe) => http(&mut table, probe),
        Probe::Udp(probe) => udp(&mut table, probe),
        Probe::Dns(DnsProbe { name, record }) => {
            table.set("name", format_args!("\"{name}\""));
            table.set("record", format_args!("\"{record}\""));
        }
        Probe::Exec(probe) => table.set("command", command(probe)),
    }
    table
}

fn http(table: &mut Inline, probe: &HttpProbe) {
    let HttpProbe { tls, method, path, host, expect, body } = probe;
    table.set("method", format_args!("\"{method}\""));
    table.set("path", text::quoted(path.as_str()));
    if let Some(host) = host {
        table.set("host", format_args!("\"{host}\""));
    }
    table.set("status", format_args!("\"{expect}\""));
    if let Some(BodyMatch { contains, within }) = body {
        let mut body = Inline::default();
        body.set("contains", text::quoted(contains));
        body.set("within", format_args!("\"{}\"", Size::of(*within)));
        table.set("body", body);
    }
    if let Some(TlsProbe { server_name, verify }) = tls {
        if let Some(name) = server_name {
            table.set("server_name", format_args!("\"{name}\""));
        }
        match verify {
            TlsVerification::System => table.set("verify", true),
            TlsVerification::CaFile(path) => table.set("ca_file", text::path(path)),
            TlsVerification::None => table.set("verify", false),
        }
    }
}

fn udp(table: &mut Inline, probe: &UdpProbe) {
    let UdpProbe { send, expect } = probe;
    set_bytes(table, "send", send);
    match expect {
        UdpAnswer::NotRefused => table.set("expect", "\"not_refused\""),
        UdpAnswer::Any => table.set("expect", "\"any\""),
        UdpAnswer::StartsWith(bytes) => table.set("expect", one_key("starts_with", bytes)),
        UdpAnswer::Contains(bytes) => table.set("expect", one_key("contains", bytes)),
    }
}

fn one_key(key: &str, bytes: &[u8]) -> Inline {
    let mut table = Inline::default();
    set_bytes(&mut table, key, bytes);
    table
}

/// Sets `key` where the bytes are a text, else `key_hex`.
fn set_bytes(table: &mut Inline, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => table.set(key, text::quoted(text)),
        Err(_) => table.set(&format!("{key}_hex"), format_args!("\"{}\"", Hex(bytes.to_vec()))),
    }
}

fn command(probe: &ExecProbe) -> String {
    let ExecProbe { program, args } = probe;
    let args = args.iter().map(|arg| text::quoted(arg));
    let words: Vec<_> = std::iter::once(text::path(program)).chain(args).collect();
    format!("[{}]", words.join(", "))
}
