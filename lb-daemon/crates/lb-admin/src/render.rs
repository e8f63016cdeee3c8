//! The API's answers as text for a terminal. Pure: what is shown depends on the answer and the [`Style`] alone.

mod plan;
mod status;
mod table;
mod text;
mod units;

use serde::Serialize;

pub use self::plan::{changed_text, plan_text};
pub use self::status::status_table;

/// What the terminal can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether it shows colours.
    pub color: bool,
    /// How many characters fit on a line; `None` where it is no terminal, and nothing has to fit.
    pub width: Option<usize>,
}

/// An answer as the API gives it, for programs: JSON, indented.
pub fn json(answer: &impl Serialize) -> String {
    serde_json::to_string_pretty(answer)
        .expect("answers have names for keys, and no other errors are possible")
}

#[cfg(test)]
mod tests;
