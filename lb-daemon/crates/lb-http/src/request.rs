//! The head of a request (RFC 9112 §3).

use std::mem;

use crate::arena::Span;
use crate::authority::Authority;
use crate::connection::{ConnectionOptions, Persistence};
use crate::cursor::Cursor;
use crate::fault::{Fault, ParseError};
use crate::fields::{Fields, Stored};
use crate::framing::{Declared, FRAMING_FIELDS, Framing};
use crate::grammar::{split, target_prefix, token_prefix};
use crate::known::KnownField;
use crate::method::Method;
use crate::progress::{HeadLimits, Parsed, Progress, Stop};
use crate::target::{Scheme, Target};
use crate::version::Version;

/// The head of a request: what it asks for, its fields, and where its body ends. Used again and again, it allocates
/// nothing once its buffers have grown.
#[derive(Debug, Clone)]
pub struct RequestHead {
    fields: Fields,
    method: Method,
    method_text: Span,
    path: Span,
    query: Span,
    scheme: Option<Scheme>,
    /// The authority of a target that is a URI, as the field that has to be there.
    authority: Option<Stored>,
    host: Option<(Span, Option<u16>)>,
    version: Version,
    connection: ConnectionOptions,
    framing: Framing,
    progress: Progress,
}

/// What a client expects before it sends the body (RFC 9110 §10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expectation {
    /// Nothing.
    None,
    /// A response with status 100, or a final one.
    Continue,
    /// Something that nobody knows: 417 is for that.
    Unknown,
}

/// No method that anybody uses is longer.
const LONGEST_METHOD: usize = 32;

impl RequestHead {
    /// A head that is still to be [parsed](Self::parse).
    pub fn new() -> Self {
        Self {
            fields: Fields::default(),
            method: Method::Get,
            method_text: Span::default(),
            path: Span::default(),
            query: Span::default(),
            scheme: None,
            authority: None,
            host: None,
            version: Version::Http11,
            connection: ConnectionOptions::default(),
            framing: Framing::None,
            progress: Progress::default(),
        }
    }

    /// Parses the head at the start of `input`: all bytes of it that have come so far, whatever follows. After
    /// [`Parsed::Partial`] it goes on where it stopped, so that `input` has to begin with the same bytes, and have more
    /// behind them; after anything else it begins anew. One empty line before the head is skipped (RFC 9112 §2.2).
    ///
    /// What the head says is good only once it is complete. What is wrong is found when its line ends, if not before.
    /// There is no way to go on with the connection then.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Parsed, ParseError> {
        let mut progress = mem::take(&mut self.progress);
        let parsed = progress.go_on(input, limits.bytes, |cursor| self.read(cursor, limits));
        self.progress = progress;
        parsed
    }

    /// Forgets everything but the buffers. Needed only where a head that is not complete is given up.
    pub fn clear(&mut self) {
        let Self { mut fields, .. } = mem::take(self);
        fields.clear();
        *self = Self { fields, ..Self::new() };
    }

    /// Bytes of memory that it keeps, also when it is [cleared](Self::clear).
    pub fn memory(&self) -> usize {
        self.fields.memory()
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method's name.
    pub fn method_name(&self) -> &[u8] {
        self.fields.arena().text(self.method_text)
    }

    /// The path as it came, with whatever encoding and dot segments: it begins with `/`, or is `*`. A target that is a
    /// URI without path has `/` here, as RFC 9110 §4.2.3 says.
    pub fn path(&self) -> &[u8] {
        self.fields.arena().text(self.path)
    }

    /// The query without its `?`. `None` if there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.fields.arena().text(self.query).strip_prefix(b"?")
    }

    /// Path and query.
    pub fn target(&self) -> &[u8] {
        self.fields.arena().text(self.path.to(self.query))
    }

    /// The scheme, where the target is a whole URI.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Whom the request is for: from the target, if that is a URI, else from `Host`. `None` is possible with HTTP/1.0
    /// only. Edits of `Host` do not change it.
    pub fn authority(&self) -> Option<Authority<'_>> {
        self.host.map(|(host, port)| Authority { host: self.fields.arena().text(host), port })
    }

    /// The version that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, for edits. They have no influence on what the other methods say of the request that came.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Where the body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client can send another request after this one.
    pub fn persistence(&self) -> Persistence {
        self.connection.persistence(self.version)
    }

    /// The protocols to which the client would like to switch, the preferred one first (RFC 9110 §7.8). Nothing after
    /// [`Fields::remove_hop_by_hop`].
    pub fn upgrades(&self) -> impl Iterator<Item = &[u8]> {
        let asks = self.connection.upgrades(self.version);
        self.fields.elements(KnownField::Upgrade).filter(move |_| asks)
    }

    /// What the client expects before it sends the body. With HTTP/1.0 that is nothing, whatever it says.
    pub fn expectation(&self) -> Expectation {
        let mut expected = self.fields.get_all(KnownField::Expect).peekable();
        if self.version < Version::Http11 || expected.peek().is_none() {
            Expectation::None
        } else if expected.all(|value| value.eq_ignore_ascii_case(b"100-continue")) {
            Expectation::Continue
        } else {
            Expectation::Unknown
        }
    }

    /// Writes the head to `out`, as one of HTTP/1.1. `framing` is that of the body that will follow, and whatever
    /// the fields say of it is left out.
    pub fn write(&self, framing: Framing, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method_name());
        out.push(b' ');
        out.extend_from_slice(self.target());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.fields.write(FRAMING_FIELDS, out);
        framing.write(out);
        out.extend_from_slice(b"\r\n");
    }

    fn read(&mut self, cursor: &mut Cursor<'_>, limits: &HeadLimits) -> Result<(), Stop> {
        if cursor.at() == 0 {
            self.fields.clear();
            self.request_line(cursor, limits)?;
        }
        self.fields.read(cursor, limits.fields)?;
        Ok(self.judge().map_err(|fault| ParseError { fault, at: cursor.at() })?)
    }

    fn request_line(&mut self, cursor: &mut Cursor<'_>, limits: &HeadLimits) -> Result<(), Stop> {
        let line = cursor.behind_empty_line()?;
        let (name, behind) = split(line, token_prefix(line));
        if name.len() > LONGEST_METHOD {
            return Err(cursor.fault(Fault::MethodTooLong, line));
        }
        let text = match behind {
            [b' ', text @ ..] if !name.is_empty() => text,
            [] => return Err(Stop::Partial),
            _ => return Err(cursor.fault(Fault::Method, behind)),
        };
        let (text, behind) = split(text, target_prefix(text));
        if text.len() > limits.target {
            return Err(cursor.fault(Fault::TargetTooLong, line));
        }
        let version = match behind {
            [b' ', version @ ..] if !text.is_empty() => version,
            [] => return Err(Stop::Partial),
            // A simple request of HTTP/0.9 has no version.
            [b'\r' | b'\n', ..] => return Err(cursor.fault(Fault::Version, behind)),
            _ => return Err(cursor.fault(Fault::Target, behind)),
        };
        let (version, end) = cursor.version(version)?;
        let rest = cursor.end_of_line(end, Fault::Version)?;
        self.understand(name, text, version).map_err(|fault| cursor.fault(fault, line))?;
        cursor.advance_to(rest);
        Ok(())
    }

    /// Takes in what the request line says.
    fn understand(&mut self, name: &[u8], text: &[u8], version: Version) -> Result<(), Fault> {
        let method = Method::find(name);
        if method == Method::Connect {
            return Err(Fault::Connect);
        }
        let target = Target::parse(text, method)?;
        self.version = version;
        self.method = method;
        (self.scheme, self.authority) = (None, None);
        self.method_text = self.fields.arena_mut().store(&[name])?;
        self.path = self.fields.arena_mut().store(&[target.path])?;
        self.query = self.fields.arena_mut().store(&[target.query])?;
        if let Some((scheme, authority)) = target.absolute {
            self.scheme = Some(scheme);
            self.authority = Some(self.fields.store(KnownField::Host.into(), authority)?);
        }
        Ok(())
    }

    /// Judges the whole head.
    fn judge(&mut self) -> Result<(), Fault> {
        self.connection = ConnectionOptions::of(&self.fields)?;
        self.framing = Framing::of_request(Declared::by(&self.fields, self.version)?);
        self.judge_host()
    }

    /// `Host` is there, once, and good (RFC 9112 §3.2); with a target that is a URI it becomes that one's authority
    /// (§3.2.2).
    fn judge_host(&mut self) -> Result<(), Fault> {
        let mut hosts = self.fields.get_all(KnownField::Host);
        match (hosts.next(), hosts.next()) {
            (None, _) if self.version >= Version::Http11 => return Err(Fault::HostMissing),
            (_, Some(_)) => return Err(Fault::HostRepeated),
            _ => {}
        }
        drop(hosts);
        self.host = self.host_of(self.fields.find(KnownField::Host))?;
        if let Some(authority) = self.authority.take() {
            self.fields.place(authority);
            self.host = self.host_of(Some(authority.value()))?;
        }
        Ok(())
    }

    fn host_of(&self, authority: Option<Span>) -> Result<Option<(Span, Option<u16>)>, Fault> {
        let Some(span) = authority else { return Ok(None) };
        let authority = Authority::parse(self.fields.arena().text(span)).ok_or(Fault::Host)?;
        Ok(Some((span.first(authority.host.len()), authority.port)))
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
