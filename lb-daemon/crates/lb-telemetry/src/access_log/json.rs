//! One JSON object a line.

use std::fmt::Arguments;
use std::io::Write as _;

/// An object under construction, whose keys are ours.
#[derive(Debug)]
pub struct Json<'o> {
    out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> Json<'o> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    /// A number.
    pub fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        self.put(format_args!("{number}"));
    }

    /// What needs no escape, as text.
    pub fn display(&mut self, key: &str, text: Arguments<'_>) {
        self.key(key);
        self.out.push(b'"');
        self.put(text);
        self.out.push(b'"');
    }

    /// Text that somebody else has chosen. Bytes that are no UTF-8 are taken for Latin-1.
    pub fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        for chunk in text.utf8_chunks() {
            chunk.valid().bytes().for_each(|byte| self.byte(byte));
            for &byte in chunk.invalid() {
                self.put(format_args!("{}", char::from(byte)));
            }
        }
        self.out.push(b'"');
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        self.out.push(self.separator);
        self.separator = b',';
        self.put(format_args!("\"{key}\":"));
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'"' => self.out.extend_from_slice(b"\\\""),
            b'\\' => self.out.extend_from_slice(b"\\\\"),
            ..b' ' => self.put(format_args!("\\u{byte:04x}")),
            _ => self.out.push(byte),
        }
    }

    fn put(&mut self, text: Arguments<'_>) {
        // A vector takes everything.
        let _ = self.out.write_fmt(text);
    }
}
