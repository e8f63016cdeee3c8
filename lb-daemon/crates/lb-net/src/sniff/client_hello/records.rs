//! The record layer before any encryption (RFC 8446 §5.1).

use super::InvalidHello;
use crate::sniff::reader::Reader;

/// Longest content of a record in bytes.
const MAX_CONTENT: u16 = 1 << 14;

/// The contents of handshake records; of the last one as much as has come. Ends where the header of a record is
/// not whole, and with the first record that is wrong.
pub(super) struct Records<'a>(Reader<'a>);

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    /// How many bytes are behind the last record.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8], InvalidHello>;

    fn next(&mut self) -> Option<Self::Item> {
        let content = content(&mut self.0).transpose();
        if !matches!(content, Some(Ok(_))) {
            self.0 = Reader::new(&[]);
        }
        content
    }
}

/// Checks each field of the header as soon as it is there.
fn content<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, InvalidHello> {
    const HANDSHAKE: u8 = 22;
    const MAJOR_VERSION: u8 = 3;

    let Some(kind) = reader.u8() else { return Ok(None) };
    if kind != HANDSHAKE {
        return Err(InvalidHello::UnexpectedRecord(kind));
    }
    let Some(major) = reader.u8() else { return Ok(None) };
    if major != MAJOR_VERSION {
        return Err(InvalidHello::RecordVersion(major));
    }
    // The minor version "MUST be ignored for all purposes".
    let (Some(_minor), Some(length)) = (reader.u8(), reader.u16()) else { return Ok(None) };
    match length {
        0 => Err(InvalidHello::EmptyRecord),
        1..=MAX_CONTENT => Ok(reader.take(reader.len().min(length.into()))),
        _ => Err(InvalidHello::RecordTooLong(length)),
    }
}
