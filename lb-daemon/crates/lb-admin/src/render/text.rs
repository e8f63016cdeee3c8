//! Text with a colour.

use super::Style;

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing.
    Plain,
    /// What a line is about.
    Title,
    /// What matters little.
    Dim,
    /// Well.
    Good,
    /// On purpose, but not forever.
    Notable,
    /// Somebody should look.
    Bad,
}

impl Tone {
    /// The parameters of ECMA-48's SGR, which every terminal knows.
    const fn parameters(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Title => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Notable => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// A text of one tone, safe to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    text: String,
    tone: Tone,
}

impl Text {
    /// Control characters are escaped: backends have a say in some texts, and must not have one in the terminal.
    pub(super) fn new(tone: Tone, text: impl AsRef<str>) -> Self {
        let mut tame = String::new();
        for c in text.as_ref().chars() {
            if c.is_control() { tame.extend(c.escape_default()) } else { tame.push(c) }
        }
        Self { text: tame, tone }
    }

    pub(super) fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Tone::Plain, text)
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::plain("")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How many characters it has.
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }

    /// The text, or as much of it as fits.
    pub(super) fn cut_to(&self, width: usize) -> Self {
        if self.width() <= width {
            return self.clone();
        }
        let kept = self.text.chars().take(width.saturating_sub(1));
        Self { text: kept.chain(['…']).collect(), tone: self.tone }
    }

    pub(super) fn show(&self, style: Style) -> String {
        match self.tone.parameters() {
            Some(parameters) if style.color && !self.text.is_empty() => {
                format!("\u{1b}[{parameters}m{}\u{1b}[0m", self.text)
            }
            Some(_) | None => self.text.clone(),
        }
    }
}

/// The parts that are not empty, on one line that is cut where the terminal ends.
pub(super) fn line(parts: &[Text], style: Style) -> String {
    const GAP: &str = "  ";

    let mut line = String::new();
    let mut room = style.width.unwrap_or(usize::MAX);
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let gap = if line.is_empty() { "" } else { GAP };
        let Some(rest) = room.checked_sub(gap.len()).filter(|rest| *rest > 0) else { break };
        let part = part.cut_to(rest);
        line.push_str(gap);
        line.push_str(&part.show(style));
        room = rest.saturating_sub(part.width());
    }
    line.push('\n');
    line
}
