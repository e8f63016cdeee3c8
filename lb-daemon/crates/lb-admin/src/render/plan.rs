//! What a reload would change, and what a command has changed.

use super::Style;
use super::text::{Text, Tone, line};
use super::units::percent;
use crate::{Backend, Change, ChangeKind, Changed, Plan, PoolChange};

/// A plan, for people: `+` is new, `-` is gone, `~` is different. Ends with a newline.
pub fn plan_text(plan: &Plan, style: Style) -> String {
    if !plan.changed {
        return "nothing would change\n".into();
    }
    let listeners = plan.listeners.iter().map(|listener| change(2, listener, style)).collect();
    let pools = plan.pools.iter().map(|pool| pool_change(pool, style)).collect();
    let global = plan.global.iter().map(|setting| sentence(Mark::Changed, setting, style)).collect();
    let restart = plan.needs_restart.iter().map(|setting| sentence(Mark::Later, setting, style)).collect();
    [
        section("listeners", listeners, style),
        section("pools", pools, style),
        section("global", global, style),
        section("at the next restart only", restart, style),
    ]
    .concat()
}

/// The backends that a command has changed, a line each, for people. Ends with a newline.
pub fn changed_text(changed: &Changed, style: Style) -> String {
    let mut text: String =
        changed.backends.iter().map(|backend| backend_line(&changed.pool, backend, style)).collect();
    if !changed.persisted {
        let note = format!("this ends with the process: {}", changed.problem.as_deref().unwrap_or_default());
        text.push_str(&line(&[Text::new(Tone::Notable, note)], style));
    }
    text
}

fn backend_line(pool: &str, backend: &Backend, style: Style) -> String {
    let Backend { name, state, connections, weight, configured_weight, .. } = backend;
    let left = match connections {
        1 => "1 connection".into(),
        n => format!("{n} connections"),
    };
    let weight = if weight == configured_weight {
        format!("weight {weight}")
    } else {
        format!("weight {weight} (configured {configured_weight})")
    };
    let parts = [
        Text::new(Tone::Title, format!("{pool}/{name}")),
        Text::plain(state.label()),
        Text::plain(weight),
        Text::plain(left),
    ];
    line(&parts, style)
}

/// What stands before a line.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Added,
    Removed,
    Changed,
    Later,
}

impl Mark {
    const fn of(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Added => Self::Added,
            ChangeKind::Removed => Self::Removed,
            ChangeKind::Changed => Self::Changed,
        }
    }

    const fn symbol(self) -> (&'static str, Tone) {
        match self {
            Self::Added => ("+", Tone::Good),
            Self::Removed => ("-", Tone::Bad),
            Self::Changed => ("~", Tone::Notable),
            Self::Later => ("!", Tone::Notable),
        }
    }
}

/// Nothing where there are no entries.
fn section(title: &str, entries: Vec<String>, style: Style) -> String {
    if entries.is_empty() {
        return String::new();
    }
    format!("{}{}", line(&[Text::new(Tone::Title, title)], style), entries.concat())
}

fn pool_change(pool: &PoolChange, style: Style) -> String {
    let mut text = entry(2, Mark::of(pool.kind), &pool.name, &pool.details, style);
    text.extend(pool.backends.iter().map(|backend| change(6, backend, style)));
    if let Some(share) = pool.moved_share.filter(|&share| share > 0.0) {
        let moved = format!("      {} of the clients get another backend", percent(share));
        text.push_str(&line(&[Text::new(Tone::Dim, moved)], style));
    }
    text
}

fn change(indent: usize, change: &Change, style: Style) -> String {
    entry(indent, Mark::of(change.kind), &change.name, &change.details, style)
}

fn sentence(mark: Mark, sentence: &str, style: Style) -> String {
    entry(2, mark, sentence, &[], style)
}

/// Never cut: nothing of a plan may be overlooked.
fn entry(indent: usize, mark: Mark, name: &str, details: &[String], style: Style) -> String {
    let (symbol, tone) = mark.symbol();
    let text = if details.is_empty() { name.to_owned() } else { format!("{name}: {}", details.join(", ")) };
    format!("{:indent$}{} {}\n", "", Text::new(tone, symbol).show(style), Text::plain(text).show(style))
}
