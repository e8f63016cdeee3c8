//! Forgets flows that are over. Programs do so themselves when they need the place; but moments wrap after 18
//! hours, numbers of listeners and backends are wanted again, and somebody has to count.

use lb_common::Tick;
use lb_common::flow::{Entry, Line, State};

/// What a sweep found in a flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fill {
    /// Flows with one packet.
    pub new: u64,
    /// Flows with more.
    pub confirmed: u64,
    /// Flows whose client has said good-bye.
    pub closing: u64,
    /// Flows that this sweep has forgotten.
    pub forgotten: u64,
    /// Ways, whatever is in them.
    pub ways: u64,
}

/// What all sweeps of a flow table have found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Swept {
    /// What the last one found, if there was one.
    pub(crate) last: Option<Fill>,
    /// Flows that they have forgotten, together.
    pub(crate) forgotten: u64,
}

impl Swept {
    /// One more.
    pub(crate) fn add(&mut self, fill: Fill) {
        self.last = Some(fill);
        self.forgotten += fill.forgotten;
    }
}

/// Goes through the table once; forgets what has expired and what is not `current`: whose listener or backend is
/// no more.
pub(crate) fn sweep(lines: &[Line], now: Tick, current: impl Fn(Entry) -> bool) -> Fill {
    let mut fill = Fill::default();
    for seen in lines.iter().flat_map(Line::ways) {
        fill.ways += 1;
        if !seen.entry.has_flow() {
            continue;
        }
        let is_over = seen.entry.deadline().is_over(now) || !current(seen.entry);
        // If this fails, a program has changed the way since: then it is alive.
        if is_over && seen.vacate().is_ok() {
            fill.forgotten += 1;
            continue;
        }
        match seen.entry.state() {
            State::NEW => fill.new += 1,
            State::CLOSING => fill.closing += 1,
            _ => fill.confirmed += 1,
        }
    }
    fill
}

#[cfg(test)]
mod tests {
    use lb_common::{BackendIndex, ListenerId};

    use lb_common::LoadOrder;

    use super::*;

    #[test]
    fn forgets_what_is_over_and_counts_the_rest() {
        let lines = [Line::default(), Line::default()];
        let entry = |listener, state, deadline| {
            Entry::new(ListenerId(listener), BackendIndex(1), 1, state, Tick(deadline))
        };
        let flows = [
            (1, entry(1, State::NEW, 100)),
            (2, entry(1, State::NEW, 99)),
            (3, entry(2, State::CONFIRMED, 500)),
            (4, entry(1, State::CONFIRMED, 500)),
            (5, entry(1, State::CLOSING, 101)),
        ];
        for (key, entry) in flows {
            let line = if key < 4 { &lines[0] } else { &lines[1] };
            line.readiest(Tick(0)).0.insert(key, entry).unwrap();
        }
        let current = |entry: Entry| entry.listener() == ListenerId(1);
        let fill = sweep(&lines, Tick(100), current);
        assert_eq!(fill, Fill { new: 1, confirmed: 1, closing: 1, forgotten: 2, ways: 8 });
        assert_eq!(sweep(&lines, Tick(100), current), Fill { forgotten: 0, ..fill });
        assert!(lines[0].find(1, ListenerId(1), LoadOrder::NATIVE).entry.has_flow());
        assert!(!lines[0].find(2, ListenerId(1), LoadOrder::NATIVE).entry.has_flow());
        assert!(!lines[0].find(3, ListenerId(2), LoadOrder::NATIVE).entry.has_flow());
    }
}
