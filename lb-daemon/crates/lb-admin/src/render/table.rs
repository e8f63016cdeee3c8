//! A table that fits the terminal: columns give way in order of importance.

use super::Style;
use super::text::{Text, Tone};

/// A column with its cells, one per row.
#[derive(Debug)]
pub(super) struct Column {
    title: &'static str,
    align: Align,
    fit: Fit,
    cells: Vec<Text>,
}

/// On which side cells begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What happens to a column where the terminal is too narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It stays.
    Whole,
    /// It stays, but down to this many characters its cells are cut.
    Cut(usize),
    /// It goes; those with lower numbers go first.
    Drop(u8),
}

/// Between columns.
const GAP: &str = "  ";

impl Column {
    pub(super) fn new(title: &'static str, align: Align, fit: Fit, cells: Vec<Text>) -> Self {
        Self { title, align, fit, cells }
    }

    /// The width that shows everything.
    fn natural(&self) -> usize {
        self.cells.iter().map(Text::width).max().unwrap_or_default().max(self.title.chars().count())
    }

    /// The least width.
    fn least(&self) -> usize {
        match self.fit {
            Fit::Whole | Fit::Drop(_) => self.natural(),
            Fit::Cut(least) => self.natural().min(least),
        }
    }

    fn is_empty(&self) -> bool {
        self.cells.iter().all(Text::is_empty)
    }
}

/// The table's lines: titles first, then the rows. Columns without any content are left out; so are those that do not fit
/// in `style`'s width.
pub(super) fn lines(mut columns: Vec<Column>, style: Style) -> Vec<String> {
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or_default();
    columns.retain(|column| !column.is_empty());
    drop_until_fit(&mut columns, style);
    let widths = widths(&columns, style);
    let titles = columns.iter().map(|column| Text::new(Tone::Dim, column.title)).collect::<Vec<_>>();
    let row = |index: usize| {
        let empty = Text::empty();
        let cells =
            columns.iter().map(move |column| column.cells.get(index).cloned().unwrap_or(empty.clone()));
        cells.collect::<Vec<_>>()
    };
    let all_rows = [titles].into_iter().chain((0..rows).map(row));
    all_rows.map(|cells| line(&columns, &widths, &cells, style)).collect()
}

fn drop_until_fit(columns: &mut Vec<Column>, style: Style) {
    let Some(width) = style.width else { return };
    while total(columns.iter().map(Column::least)) > width {
        let order = |column: &Column| match column.fit {
            Fit::Drop(order) => Some(order),
            Fit::Whole | Fit::Cut(_) => None,
        };
        let Some(next) = columns.iter().filter_map(order).min() else { return };
        columns.retain(|column| column.fit != Fit::Drop(next));
    }
}

/// What is left of the width goes to the columns that are cut, from the left.
fn widths(columns: &[Column], style: Style) -> Vec<usize> {
    let least = total(columns.iter().map(Column::least));
    let mut spare = style.width.map_or(usize::MAX, |width| width.saturating_sub(least));
    let widths = columns.iter().map(|column| {
        let more = (column.natural() - column.least()).min(spare);
        spare -= more;
        column.least() + more
    });
    widths.collect()
}

/// The width of columns with the gaps between them.
fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + GAP.len()).sum::<usize>().saturating_sub(GAP.len())
}

/// Where not even the least widths fit, the line ends where the terminal does.
fn line(columns: &[Column], widths: &[usize], cells: &[Text], style: Style) -> String {
    let mut line = String::new();
    let mut room = style.width.unwrap_or(usize::MAX);
    // Spaces are written only if something follows: no line ends in them.
    let mut spaces = 0;
    for ((column, &width), cell) in columns.iter().zip(widths).zip(cells) {
        let cell = cell.cut_to(width);
        let padding = width - cell.width();
        let (before, after) = match column.align {
            Align::Left => (0, padding),
            Align::Right => (padding, 0),
        };
        spaces += before;
        if !cell.is_empty() {
            let Some(left) = room.checked_sub(spaces).filter(|left| *left > 0) else { break };
            let cell = cell.cut_to(left);
            line.extend(std::iter::repeat_n(' ', spaces));
            line.push_str(&cell.show(style));
            room = left - cell.width();
            spaces = 0;
        }
        spaces += after + GAP.len();
    }
    line.push('\n');
    line
}
