//! One configuration text, and how a byte range in it becomes a line, a column and a snippet for people.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

/// Most characters of one source line that a snippet shows.
const MAX_SNIPPET: usize = 120;
/// How many of them stand before the marked place in a longer line.
const SNIPPET_LEAD: usize = 40;

/// A configuration text with its name.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path as the operator would write it.
    pub(crate) name: String,
    /// The directory that relative paths in it are relative to; empty for a text that is no file.
    pub(crate) directory: PathBuf,
    /// Its place in the order in which files were read.
    pub(crate) order: usize,
    /// The text without a byte order mark.
    pub(crate) text: String,
    /// The byte offset at which each line starts.
    line_starts: Vec<usize>,
    /// The text as last asked for without some lines.
    without_lines: OnceCell<String>,
}

/// A place in a text as editors count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Source {
    pub(crate) fn new(name: String, order: usize, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Self { name, directory: PathBuf::new(), order, text, line_starts, without_lines: OnceCell::new() }
    }

    /// The same, of a file in `directory`.
    pub(crate) fn in_directory(self, directory: PathBuf) -> Self {
        Self { directory, ..self }
    }

    /// Where `offset` is; past the end is the end.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_of(offset);
        let column = self.text.get(self.start_of(line)..offset).unwrap_or("").chars().count() + 1;
        Position { line, column }
    }

    /// The number of the line that `offset` is on: cheap, also in a line of megabytes.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    /// The text with spaces for everything on `lines`, so that all else stays at its offset. To be asked for once.
    pub(crate) fn without_lines(&self, lines: &BTreeSet<usize>) -> &str {
        self.without_lines.get_or_init(|| {
            let blanked = |(index, line): (usize, &str)| match line.strip_suffix('\n') {
                Some(content) if lines.contains(&(index + 1)) => " ".repeat(content.len()) + "\n",
                None if lines.contains(&(index + 1)) => " ".repeat(line.len()),
                _ => line.to_owned(),
            };
            self.text.split_inclusive('\n').enumerate().map(blanked).collect()
        })
    }

    /// The first line of `span` with carets under what belongs to it.
    pub(crate) fn snippet(&self, span: &Range<usize>) -> String {
        let Position { line, column } = self.position(span.start);
        let end = self.position(span.end.max(span.start));
        let content = self.line(line);
        let content_chars = content.chars().count();
        let skipped = if content_chars > MAX_SNIPPET { (column - 1).saturating_sub(SNIPPET_LEAD) } else { 0 };

        let mut shown: String = content.chars().skip(skipped).take(MAX_SNIPPET).map(printable).collect();
        let mut indent = column - 1 - skipped;
        let marked =
            if end.line == line { end.column - column } else { (content_chars + 1).saturating_sub(column) };
        let carets = marked.min(MAX_SNIPPET - indent.min(MAX_SNIPPET)).max(1);
        if skipped > 0 {
            shown.insert(0, '…');
            indent += 1;
        }
        if skipped + MAX_SNIPPET < content_chars {
            shown.push('…');
        }

        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let mut snippet = String::new();
        let _ = writeln!(snippet, "{gutter} |");
        let _ = writeln!(snippet, "{number} | {}", shown.trim_end());
        let _ = write!(snippet, "{gutter} | {}{}", " ".repeat(indent), "^".repeat(carets));
        snippet
    }

    /// Line number `line` without its line break.
    pub(crate) fn line(&self, line: usize) -> &str {
        let rest = self.text.get(self.start_of(line)..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn start_of(&self, line: usize) -> usize {
        line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0)
    }
}

/// What a terminal may be shown: one column, and no escape sequences out of a broken file.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("t.toml".into(), 0, text)
    }

    #[test]
    fn columns_count_characters_from_one() {
        let source = source("añb\r\nx = 1\r\n");
        let at = |needle: &str| {
            let Position { line, column } = source.position(source.text.find(needle).unwrap());
            (line, column)
        };
        assert_eq!(at("a"), (1, 1));
        assert_eq!(at("b"), (1, 3));
        assert_eq!(at("1"), (2, 5));
        assert_eq!(source.position(9999), Position { line: 3, column: 1 });
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        let source = source("\u{feff}x = 1");
        assert_eq!(source.position(source.text.find('x').unwrap()), Position { line: 1, column: 1 });
    }

    #[test]
    fn snippets_mark_the_span() {
        let source = source("a = 1\r\n\tb = \"é!\" # c\r\n");
        let start = source.text.find('"').unwrap();
        assert_eq!(
            source.snippet(&(start..start + "\"é!\"".len())),
            "  |\n2 |  b = \"é!\" # c\n  |      ^^^^"
        );
    }

    #[test]
    fn snippets_of_odd_spans_do_not_panic() {
        let source = source("é = [\n1,\n]");
        for start in 0..12 {
            for end in 0..14 {
                assert!(source.snippet(&(start..end)).contains('^'));
            }
        }
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_are_replaced() {
        let source = source(&format!("{}\u{1b}[31m!{}", "x".repeat(5000), "y".repeat(5000)));
        let at = source.text.find('!').unwrap();
        let snippet = source.snippet(&(at..at + 1));
        assert!(snippet.chars().count() < 400, "{snippet}");
        assert!(!snippet.contains('\u{1b}'));
        let lines: Vec<_> = snippet.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('!'));
    }
}
