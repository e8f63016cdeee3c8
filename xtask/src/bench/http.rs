//! Requests of the bench as HTTP/1.1: a path that says what a [`Header`] says, and the fields that browsers and servers
//! send.

use anyhow::{Context, Result, bail, ensure};

use crate::bench::wire::{Header, Position};

/// The host that clients ask for.
pub(crate) const HOST: &str = "www.example.com";

const END: &[u8] = b"\r\n\r\n";

/// The head of a request, without the payload.
pub(crate) fn request_head(header: Header, position: Position) -> Vec<u8> {
    let Header { seed, payload, reply } = header;
    let (method, length) = match payload {
        0 => ("GET", String::new()),
        _ => ("POST", format!("Content-Length: {payload}\r\n")),
    };
    let connection = match position {
        Position::Inner => "",
        Position::Last => "Connection: close\r\n",
    };
    format!(
        "{method} /bench/{seed}/{reply} HTTP/1.1\r\n\
         Host: {HOST}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br\r\n\
         Cookie: session=3f2c8a90d1b14d6c\r\n\
         {length}{connection}\r\n"
    )
    .into_bytes()
}

/// The head of the response to a request.
pub(crate) fn response_head(header: Header) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n\
         Server: bench\r\n\
         Content-Type: application/octet-stream\r\n\
         Cache-Control: no-store\r\n\
         Content-Length: {}\r\n\r\n",
        header.reply
    )
    .into_bytes()
}

/// What the head of a request says, and how long it is; `None` if it is not whole yet.
pub(crate) fn read_request_head(bytes: &[u8]) -> Result<Option<(Header, usize)>> {
    let Some((head, length)) = head(bytes)? else { return Ok(None) };
    let target = head.split(' ').nth(1).context("a request without a target")?;
    let mut numbers = target.strip_prefix("/bench/").context("another target")?.split('/').map(str::parse);
    let mut number = || numbers.next().context("a target without its numbers")?.context("no number");
    let (seed, reply) = (number()?, number()?);
    let payload = content_length(head)?.unwrap_or(0);
    Ok(Some((Header { seed, payload, reply }, length)))
}

/// The length of a response's body, and that of its head; `None` if that is not whole yet.
pub(crate) fn read_response_head(bytes: &[u8]) -> Result<Option<(u64, usize)>> {
    let Some((head, length)) = head(bytes)? else { return Ok(None) };
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the proxy answered:\n{head}");
    }
    Ok(Some((content_length(head)?.context("a response without a length")?, length)))
}

/// A head without its last line, and its length with it.
fn head(bytes: &[u8]) -> Result<Option<(&str, usize)>> {
    const LONGEST: usize = 8192;
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
        ensure!(bytes.len() < LONGEST, "a head without an end");
        return Ok(None);
    };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).context("a head that is no text")?;
    Ok(Some((head, end + END.len())))
}

fn content_length(head: &str) -> Result<Option<u64>> {
    let value = head.lines().filter_map(|line| line.split_once(':'));
    let mut value = value.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    value.next().map(|(_, value)| value.trim().parse().context("no length")).transpose()
}
