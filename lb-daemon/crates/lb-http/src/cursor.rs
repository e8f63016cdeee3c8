//! Reads a head line by line, strictly from left to right: what is wrong first is what is reported, however the bytes
//! were cut into pieces.

use crate::fault::{Fault, ParseError};
use crate::fields::Name;
use crate::grammar::{name_prefix, split, text_prefix, token_prefix, trim_end, trim_start};
use crate::progress::Stop;
use crate::version::Version;

/// A place in the bytes so far: the start of a line. It moves on by whole lines only.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'i> {
    input: &'i [u8],
    at: usize,
}

/// A field line (RFC 9112 §5).
#[derive(Debug)]
pub(crate) struct FieldLine<'i> {
    pub(crate) name: Name<'i>,
    /// Without white space around it.
    pub(crate) value: &'i [u8],
    /// The whole line if it is as Sluice would write it: one space behind the colon, none at the end.
    pub(crate) canonical: Option<&'i [u8]>,
}

impl<'i> Cursor<'i> {
    pub(crate) fn new(input: &'i [u8], at: usize) -> Self {
        Self { input, at }
    }

    /// Offset of the line in the input.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What begins with the line.
    pub(crate) fn rest(&self) -> &'i [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Goes to the line that begins with `rest`, an end of [`Self::rest`].
    pub(crate) fn advance_to(&mut self, rest: &[u8]) {
        self.at = self.input.len() - rest.len();
    }

    /// As [`Self::rest`], but without an empty line at its start.
    pub(crate) fn behind_empty_line(&self) -> Result<&'i [u8], Stop> {
        match self.rest() {
            line @ [b'\r', ..] => self.end_of_line(line, Fault::BareCr),
            line => Ok(line),
        }
    }

    /// Goes behind the line, if it is a good field line.
    #[inline]
    pub(crate) fn field(&mut self) -> Option<FieldLine<'i>> {
        let line = self.rest();
        let (name, behind) = split(line, name_prefix(line));
        let name = Some(Name::from(name)).filter(Name::is_good)?;
        let untrimmed = behind.strip_prefix(b":")?;
        let (untrimmed, end) = split(untrimmed, text_prefix(untrimmed));
        let rest = end.strip_prefix(b"\r\n")?;
        self.advance_to(rest);
        let value = trim_start(trim_end(untrimmed));
        let is_canonical = untrimmed.len() == 1 + value.len() && untrimmed.first() == Some(&b' ');
        let canonical = is_canonical.then(|| split(line, line.len() - rest.len()).0);
        Some(FieldLine { name, value, canonical })
    }

    /// Goes behind the line, if it is the empty one.
    pub(crate) fn empty_line(&mut self) -> Option<()> {
        let rest = self.rest().strip_prefix(b"\r\n")?;
        self.advance_to(rest);
        Some(())
    }

    /// Why the line is neither a good field line nor empty.
    #[cold]
    pub(crate) fn no_line(&self) -> Stop {
        let line = self.rest();
        match split(line, token_prefix(line)) {
            (_, []) => Stop::Partial,
            ([], [b' ' | b'\t', ..]) => self.fault(Fault::Folded, line),
            ([], [b'\r' | b'\n', ..]) => self.no_line_break(line, Fault::FieldName),
            ([_, ..], [b':', value @ ..]) => {
                self.no_line_break(split(value, text_prefix(value)).1, Fault::FieldValue)
            }
            ([_, ..], behind @ [b' ' | b'\t', ..]) => self.fault(Fault::SpaceBeforeColon, behind),
            (_, behind) => self.fault(Fault::FieldName, behind),
        }
    }

    /// The HTTP version at the start of `text`, an end of [`Self::rest`], and what is behind it (RFC 9112 §2.3).
    pub(crate) fn version(&self, text: &'i [u8]) -> Result<(Version, &'i [u8]), Stop> {
        match text {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', rest @ ..] => {
                return Ok((Version::Http11, rest));
            }
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', rest @ ..] => {
                return Ok((Version::Http10, rest));
            }
            _ => {}
        }
        let matches =
            |(form, byte): (&u8, &u8)| if *form == b'1' { byte.is_ascii_digit() } else { form == byte };
        let good = b"HTTP/1.1".iter().zip(text).take_while(|pair| matches(*pair)).count();
        match text.get(good..) {
            _ if good == b"HTTP/1.1".len() => Err(self.fault(Fault::VersionUnsupported, text)),
            None | Some([]) => Err(Stop::Partial),
            Some(wrong) => Err(self.fault(Fault::Version, wrong)),
        }
    }

    /// What is behind the CR LF at the start of `end`, an end of [`Self::rest`]. Something that is no line break is
    /// `otherwise`.
    pub(crate) fn end_of_line(&self, end: &'i [u8], otherwise: Fault) -> Result<&'i [u8], Stop> {
        end.strip_prefix(b"\r\n").ok_or_else(|| self.no_line_break(end, otherwise))
    }

    /// Why there is no CR LF at the start of `end`.
    #[cold]
    fn no_line_break(&self, end: &[u8], otherwise: Fault) -> Stop {
        match end {
            [] | [b'\r'] => Stop::Partial,
            [b'\r', behind @ ..] => self.fault(Fault::BareCr, behind),
            [b'\n', ..] => self.fault(Fault::BareLf, end),
            _ => self.fault(otherwise, end),
        }
    }

    /// The fault shows in the first byte of `rest`, an end of [`Self::rest`].
    #[cold]
    pub(crate) fn fault(&self, fault: Fault, rest: &[u8]) -> Stop {
        Stop::Fault(ParseError { fault, at: self.input.len() - rest.len() })
    }
}
