//! The fields of a message, and edits of them.
//!
//! Each field is in the arena as the line that is written. An edit adds a line at the arena's end and changes the table;
//! a line that is replaced or removed stays in the arena, unused. The order of the fields and the case of their names
//! are kept.

use std::fmt;

use crate::arena::{Arena, ArenaFull, Span};
use crate::cursor::{Cursor, FieldLine};
use crate::fault::{Fault, ParseError};
use crate::grammar::{elements, is_field_name, is_field_value};
use crate::known::{KnownField, KnownFields};
use crate::progress::Stop;

/// Fields in their order, names in any case, more than one of a name.
#[derive(Clone, Default)]
pub struct Fields {
    arena: Arena,
    table: Vec<Stored>,
    /// Those of which there is at least one.
    known: KnownFields,
}

/// A field as it is in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'f> {
    /// Its id, if the name is known.
    pub known: Option<KnownField>,
    /// The name in the case in which it came.
    pub name: &'f [u8],
    /// The value, without white space around it. Any bytes but controls, tabs excepted; not always UTF-8.
    pub value: &'f [u8],
}

/// The name of a field to look for, in any case, or to write, as it is.
#[derive(Debug, Clone, Copy)]
pub struct Name<'n> {
    known: Option<KnownField>,
    text: &'n [u8],
}

/// Why a field cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The name is no token.
    #[error("no field can have this name; expected letters, digits and any of !#$%&'*+-.^_`|~")]
    Name,
    /// The value has controls in it, or white space around it.
    #[error("no field can have this value; expected no control characters, and no white space at its ends")]
    Value,
    /// The message would have 4 GiB.
    #[error("the fields of a message cannot be longer than 4 GiB")]
    TooLong,
}

/// Where a field's line is in the arena: name, colon, space, value, CR, LF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    line: Span,
    name_end: u32,
    known: Option<KnownField>,
    /// Whether it is about to be removed.
    is_listed: bool,
}

const COLON: &[u8] = b": ";
const COLON_LENGTH: u32 = 2;
const LINE_BREAK: &[u8] = b"\r\n";
const LINE_BREAK_LENGTH: u32 = 2;

impl Fields {
    /// Bytes of memory that they keep, also when there are none.
    pub(crate) fn memory(&self) -> usize {
        self.arena.memory() + self.table.capacity() * size_of::<Stored>()
    }

    /// All fields, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> {
        self.table.iter().map(|stored| stored.field(&self.arena))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The value of the first field of this name.
    pub fn get<'n>(&self, name: impl Into<Name<'n>>) -> Option<&[u8]> {
        let stored = self.table.get(self.position(name.into())?)?;
        Some(self.arena.text(stored.value()))
    }

    /// The values of the fields of this name, in their order.
    pub fn get_all<'f, 'n: 'f>(&'f self, name: impl Into<Name<'n>>) -> impl Iterator<Item = &'f [u8]> {
        let name = name.into();
        let candidates = self.position(name).and_then(|first| self.table.get(first..)).unwrap_or_default();
        let found = candidates.iter().filter(move |stored| stored.has(name, &self.arena));
        found.map(|stored| self.arena.text(stored.value()))
    }

    /// The elements of the list that the fields of this name make together (RFC 9110 §5.3), without white space around
    /// them; empty ones are skipped. Only for fields that are lists of things without quotes.
    pub fn elements<'f, 'n: 'f>(&'f self, name: impl Into<Name<'n>>) -> impl Iterator<Item = &'f [u8]> {
        self.get_all(name).flat_map(elements)
    }

    /// Whether there is a field of this name.
    pub fn contains<'n>(&self, name: impl Into<Name<'n>>) -> bool {
        self.position(name.into()).is_some()
    }

    /// Adds a field behind all others.
    pub fn append<'n>(&mut self, name: impl Into<Name<'n>>, value: &[u8]) -> Result<(), EditError> {
        let stored = self.store_checked(name.into(), value)?;
        self.push(stored);
        Ok(())
    }

    /// Gives the field of this name this value, where the first of them stands, and removes all others of the name. If
    /// there is none it is added behind all other fields.
    pub fn set<'n>(&mut self, name: impl Into<Name<'n>>, value: &[u8]) -> Result<(), EditError> {
        let stored = self.store_checked(name.into(), value)?;
        self.place(stored);
        Ok(())
    }

    /// Removes all fields of this name.
    pub fn remove<'n>(&mut self, name: impl Into<Name<'n>>) {
        let name = name.into();
        if self.may_have(name) {
            let Self { arena, table, known } = self;
            table.retain(|stored| !stored.has(name, arena));
            known.remove(name.known);
        }
    }

    /// Removes all fields but those of which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let Self { arena, table, known } = self;
        *known = KnownFields::default();
        table.retain(|stored| {
            let is_kept = keep(stored.field(arena));
            if is_kept {
                known.extend(stored.known);
            }
            is_kept
        });
    }

    /// Removes all fields.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.table.clear();
        self.known = KnownFields::default();
    }

    /// Which known fields there are.
    pub(crate) fn known(&self) -> KnownFields {
        self.known
    }

    /// Text beside the fields.
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// To add text beside the fields.
    pub(crate) fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// Where the value of the first field of this name is in the arena.
    pub(crate) fn find(&self, name: KnownField) -> Option<Span> {
        Some(self.table.get(self.position(name.into())?)?.value())
    }

    /// Adds the fields from the cursor on, and goes behind the empty line that ends them. There may be `most` in all.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>, most: usize) -> Result<(), Stop> {
        loop {
            let at = cursor.at();
            let fault = |fault| ParseError { fault, at };
            if let Some(line) = cursor.field() {
                if self.len() >= most {
                    return Err(fault(Fault::TooManyFields).into());
                }
                self.push_line(&line).map_err(|full| fault(full.into()))?;
            } else {
                return cursor.empty_line().ok_or_else(|| cursor.no_line());
            }
        }
    }

    /// Adds a field's text to the arena, for [`Self::place`]. The value has to be good.
    pub(crate) fn store(&mut self, name: Name<'_>, value: &[u8]) -> Result<Stored, ArenaFull> {
        let line = self.arena.store(&[name.text, COLON, value, LINE_BREAK])?;
        Ok(Stored::new(line, name))
    }

    /// Puts the field where the first of its name stands, in the place of all of them, or behind all fields.
    pub(crate) fn place(&mut self, field: Stored) {
        let name = field.name_in(&self.arena);
        let Some(first) = self.position(name) else { return self.push(field) };
        let mut at = 0..;
        let arena = &self.arena;
        self.table.retain(|other| at.next() == Some(first) || !other.has(name, arena));
        if let Some(place) = self.table.get_mut(first) {
            *place = field;
        }
    }

    /// Removes the fields in `listed`, and those whose names are elements of the lists in the fields called `list`, but
    /// for those in `kept`.
    pub(crate) fn remove_listed(&mut self, list: KnownField, listed: KnownFields, kept: KnownFields) {
        let Self { arena, table, .. } = self;
        let is_in = |set: KnownFields, stored: &Stored| stored.known.is_some_and(|known| set.contains(known));
        for at in 0..table.len() {
            let Some(stored) = table.get(at).copied().filter(|stored| stored.known == Some(list)) else {
                continue;
            };
            for name in elements(arena.text(stored.value())).map(Name::from) {
                let named = table.iter_mut().filter(|stored| stored.has(name, arena) && !is_in(kept, stored));
                named.for_each(|stored| stored.is_listed = true);
            }
        }
        table.retain(|stored| !stored.is_listed && !is_in(listed, stored));
        self.known = KnownFields::default();
        table.iter().for_each(|stored| self.known.extend(stored.known));
    }

    /// Writes all lines but those of the fields in `except`.
    pub(crate) fn write(&self, except: KnownFields, out: &mut Vec<u8>) {
        // Most lines follow each other in the arena, too: one copy is enough for those.
        let mut pending = Span::default();
        for stored in &self.table {
            let line = stored.line;
            if stored.known.is_some_and(|known| except.contains(known)) {
                continue;
            } else if line.start == pending.end {
                pending.end = line.end;
            } else {
                out.extend_from_slice(self.arena.text(pending));
                pending = line;
            }
        }
        out.extend_from_slice(self.arena.text(pending));
    }

    fn push(&mut self, field: Stored) {
        self.known.extend(field.known);
        self.table.push(field);
    }

    #[inline]
    fn push_line(&mut self, line: &FieldLine<'_>) -> Result<(), ArenaFull> {
        let stored = match line.canonical {
            Some(whole) => Stored::new(self.arena.store(&[whole])?, line.name),
            None => self.store(line.name, line.value)?,
        };
        self.push(stored);
        Ok(())
    }

    fn store_checked(&mut self, name: Name<'_>, value: &[u8]) -> Result<Stored, EditError> {
        if !name.is_good() {
            return Err(EditError::Name);
        }
        if !is_field_value(value) {
            return Err(EditError::Value);
        }
        Ok(self.store(name, value)?)
    }

    fn position(&self, name: Name<'_>) -> Option<usize> {
        if !self.may_have(name) {
            return None;
        }
        self.table.iter().position(|stored| stored.has(name, &self.arena))
    }

    /// Whether it is worth looking for the name.
    fn may_have(&self, name: Name<'_>) -> bool {
        name.known.is_none_or(|known| self.known.contains(known))
    }
}

impl Stored {
    fn new(line: Span, name: Name<'_>) -> Self {
        Self { line, name_end: line.first(name.text.len()).end, known: name.known, is_listed: false }
    }

    fn field<'a>(&self, arena: &'a Arena) -> Field<'a> {
        let Name { known, text } = self.name_in(arena);
        Field { known, name: text, value: arena.text(self.value()) }
    }

    fn name_in<'a>(&self, arena: &'a Arena) -> Name<'a> {
        Name { known: self.known, text: arena.text(Span { start: self.line.start, end: self.name_end }) }
    }

    #[inline]
    fn has(&self, name: Name<'_>, arena: &Arena) -> bool {
        self.known == name.known
            && (name.known.is_some() || self.name_in(arena).text.eq_ignore_ascii_case(name.text))
    }

    /// Where the value is.
    pub(crate) fn value(&self) -> Span {
        Span { start: self.name_end + COLON_LENGTH, end: self.line.end - LINE_BREAK_LENGTH }
    }
}

impl Name<'_> {
    /// Whether a field can have it.
    #[inline]
    pub(crate) fn is_good(&self) -> bool {
        self.known.is_some() || is_field_name(self.text)
    }
}

impl<'n> From<KnownField> for Name<'n> {
    fn from(known: KnownField) -> Self {
        Self { known: Some(known), text: known.name().as_bytes() }
    }
}

impl<'n> From<&'n [u8]> for Name<'n> {
    fn from(text: &'n [u8]) -> Self {
        Self { known: KnownField::find(text), text }
    }
}

impl<'n> From<&'n str> for Name<'n> {
    fn from(text: &'n str) -> Self {
        text.as_bytes().into()
    }
}

impl From<ArenaFull> for EditError {
    fn from(ArenaFull: ArenaFull) -> Self {
        Self::TooLong
    }
}

impl From<ArenaFull> for Fault {
    fn from(ArenaFull: ArenaFull) -> Self {
        Self::HeadTooLong
    }
}

/// Equal are those that are written as the same lines.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self
            .iter()
            .map(|Field { name, value, .. }| format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
        f.debug_list().entries(lines).finish()
    }
}

#[cfg(test)]
mod tests;
