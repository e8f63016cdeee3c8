//! What the rounds of a case come to: medians, ratios, the verdict on the gate, and all of it as rows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bench::case::{AIM_ROUNDS, Case, Gate, Load};
use crate::bench::peer::Peer;
use crate::bench::proxy::Sample;
use crate::bench::stats::{Spread, median_interval};

/// All rounds of one case.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Which.
    pub(crate) case: Case,
    /// The load of each round.
    pub(crate) load: Load,
    /// How many.
    pub(crate) rounds: usize,
    /// Whether gates count in this run.
    pub(crate) gated: bool,
    /// What each peer showed, by round.
    pub(crate) samples: BTreeMap<Peer, Vec<Sample>>,
}

/// One row of the output, as DESIGN.md names its fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    case: String,
    peer: Peer,
    unit: String,
    spread: Spread,
    ratio: Option<f64>,
    pub(crate) verdict: Option<Verdict>,
}

/// A gate and whether it is met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    /// Our figure may be so high.
    pub(crate) gate: f64,
    /// It is not higher.
    pub(crate) ok: bool,
}

impl Outcome {
    /// The peer that ratios are to: the best of the case's references in this run.
    pub(crate) fn reference(&self) -> Option<Peer> {
        let cost = |peer: &Peer| Some(self.spread(*peer, |sample| sample.cost)?.median);
        let candidates = self.case.reference.iter().filter_map(|peer| Some((*peer, cost(peer)?)));
        candidates.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(peer, _)| peer)
    }

    /// The spread of a figure over the rounds.
    pub(crate) fn spread(&self, peer: Peer, figure: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.get(&peer)?.iter().map(figure))
    }

    /// The ratio to the reference, round by round.
    pub(crate) fn ratios(&self, peer: Peer, figure: fn(&Sample) -> f64) -> Vec<f64> {
        let (Some(ours), Some(theirs)) =
            (self.samples.get(&peer), self.reference().and_then(|reference| self.samples.get(&reference)))
        else {
            return Vec::new();
        };
        ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)).collect()
    }

    /// The interval of the median ratio of costs.
    pub(crate) fn interval(&self, peer: Peer) -> Option<(f64, f64)> {
        median_interval(self.ratios(peer, |sample| sample.cost))
    }

    /// The verdict on our figure; none where the case has no gate, or the run cannot give one.
    pub(crate) fn verdict(&self, peer: Peer) -> Option<Verdict> {
        if !self.gated || peer != Peer::Sluice {
            return None;
        }
        match self.case.gate? {
            Gate::Ratio(gate) => {
                let ratio = Spread::of(self.ratios(peer, |sample| sample.cost))?.median;
                Some(Verdict { gate, ok: ratio <= gate })
            }
            Gate::Absolute(gate) => {
                Some(Verdict { gate, ok: self.spread(peer, |sample| sample.cost)?.median <= gate })
            }
            Gate::Aim(_) if self.rounds < AIM_ROUNDS => None,
            Gate::Aim(gate) => Some(Verdict { gate, ok: self.interval(peer)?.1 < 1.0 }),
        }
    }

    /// Every figure as a row.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let cost = self.case.cost;
        let mut rows = self.rows_of("", cost.unit(), |sample| sample.cost);
        for row in &mut rows {
            row.verdict = self.verdict(row.peer);
        }
        if let (Some(Gate::Aim(_)), Some(reference)) = (self.case.gate, self.reference()) {
            let intervals = self.samples.keys().filter_map(|&peer| {
                let (min, max) = self.interval(peer)?;
                let ratio = Spread::of(self.ratios(peer, |sample| sample.cost))?.median;
                let spread = Spread { median: ratio, min, max };
                let (case, unit) = (format!("{}.interval95", self.case.name), format!("x {reference}"));
                Some(Row { case, peer, unit, spread, ratio: Some(ratio), verdict: None })
            });
            rows.extend(intervals);
        }
        if let Some(unit) = cost.throughput_unit() {
            rows.extend(self.rows_of(".throughput", unit, |sample| sample.throughput));
        }
        if cost.has_latency() {
            rows.extend(self.rows_of(".p50", "µs", |sample| sample.p50));
            rows.extend(self.rows_of(".p99", "µs", |sample| sample.p99));
        }
        rows
    }

    fn rows_of(&self, suffix: &str, unit: &str, figure: fn(&Sample) -> f64) -> Vec<Row> {
        let row = |&peer: &Peer| {
            let ratio = Spread::of(self.ratios(peer, figure)).map(|spread| spread.median);
            let case = format!("{}{suffix}", self.case.name);
            let spread = self.spread(peer, figure)?;
            Some(Row { case, peer, unit: unit.to_owned(), spread, ratio, verdict: None })
        };
        self.samples.keys().filter_map(row).collect()
    }
}

impl Row {
    /// The row as an object.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        let mut set = |key: &str, value: Value| object.insert(key.to_owned(), value);
        set("case", json!(self.case));
        set("peer", json!(self.peer.to_string()));
        set("unit", json!(self.unit));
        set("median", json!(self.spread.median));
        set("min", json!(self.spread.min));
        set("max", json!(self.spread.max));
        set("ratio", json!(self.ratio));
        if let Some(verdict) = self.verdict {
            set("gate", json!(verdict.gate));
            set("ok", json!(verdict.ok));
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::case::L4;

    /// An outcome of the first case, in which we cost `ours` in each round and nginx 1.
    fn outcome(ours: &[f64]) -> Outcome {
        let sample = |cost: f64| Sample { cost, throughput: 1.0, p50: 1.0, p99: 1.0 };
        let samples = BTreeMap::from([
            (Peer::Sluice, ours.iter().map(|&cost| sample(cost)).collect()),
            (Peer::Nginx, ours.iter().map(|_| sample(1.0)).collect()),
        ]);
        let case = L4[0];
        Outcome { case, load: case.load, rounds: ours.len(), gated: true, samples }
    }

    #[test]
    fn a_narrow_gate_is_met_by_an_interval_under_one() {
        assert_eq!(outcome(&[0.97; 15]).verdict(Peer::Sluice), Some(Verdict { gate: 0.95, ok: true }));
        let mut wide = [0.97; 15];
        wide[..5].fill(1.01);
        assert_eq!(outcome(&wide).verdict(Peer::Sluice), Some(Verdict { gate: 0.95, ok: false }));
    }

    #[test]
    fn too_few_rounds_give_no_verdict() {
        assert_eq!(outcome(&[0.5; 14]).verdict(Peer::Sluice), None);
    }

    #[test]
    fn only_gated_rows_have_gate_and_ok() {
        let rows: Vec<Value> = outcome(&[0.9; 15]).rows().iter().map(Row::to_json).collect();
        let of = |case: &str, peer: &str| {
            rows.iter().find(|row| row["case"] == case && row["peer"] == peer).unwrap()
        };
        let gated = of("l4.conn", "sluice");
        assert_eq!(
            (&gated["ratio"], &gated["gate"], &gated["ok"]),
            (&json!(0.9), &json!(0.95), &json!(true))
        );
        for row in
            [of("l4.conn", "nginx"), of("l4.conn.throughput", "sluice"), of("l4.conn.interval95", "sluice")]
        {
            assert!(row.get("gate").is_none() && row.get("ok").is_none(), "{row}");
        }
    }

    #[test]
    fn ratios_are_to_the_better_reference() {
        let mut outcome = outcome(&[1.0; 2]);
        outcome.case.reference = &[Peer::Haproxy, Peer::Nginx, Peer::Sluice];
        outcome
            .samples
            .insert(Peer::Haproxy, vec![Sample { cost: 0.5, throughput: 1.0, p50: 1.0, p99: 1.0 }; 2]);
        assert_eq!(outcome.reference(), Some(Peer::Haproxy));
    }
}
