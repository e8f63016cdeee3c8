//! What a bench shows: rows for programs, tables for people, and at the end which gates were missed.

use std::fs;
use std::process::ExitCode;

use crate::bench::case::{AIM_ROUNDS, Gate, Load};
use crate::bench::outcome::{Outcome, Verdict};
use crate::bench::peer::Peer;
use crate::bench::stats::Spread;

/// What every figure below it depends on.
#[derive(Debug)]
pub(crate) struct Header {
    /// The command that repeats the run.
    pub(crate) command: String,
    /// Who takes part, with versions.
    pub(crate) peers: Vec<(Peer, String)>,
    /// Open files that a process may have.
    pub(crate) open_files: u64,
}

/// Prints outcomes as they come and remembers missed gates.
#[derive(Debug)]
pub(crate) struct Reporter {
    format: Format,
    missed: Vec<&'static str>,
}

/// Who reads the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A program: one JSON object a row on standard output, all else on standard error.
    Rows,
    /// A person.
    Tables,
}

impl Reporter {
    /// A reporter that has nothing to report yet.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, missed: Vec::new() }
    }

    /// Prints what the figures depend on: above the tables, or to standard error where the output is rows only.
    pub(crate) fn header(&self, header: &Header) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpu_info = read("/proc/cpuinfo");
        let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let mut lines = vec![
            format!("command  {}", header.command),
            format!("kernel   {}", read("/proc/sys/kernel/osrelease").trim()),
            format!("cpu      {}", model.map_or("unknown", |(_, model)| model)),
            format!(
                "load     {} when it began (1, 5 and 15 minutes)",
                first_words(&read("/proc/loadavg"), 3)
            ),
            "method   loopback of a private network namespace, cubic; proxy alone on CPU 0 with one worker"
                .to_owned(),
            format!(
                "         generator and backend on CPU 1; at most {} open files a process",
                header.open_files
            ),
        ];
        lines.extend(header.peers.iter().map(|(peer, version)| format!("peer     {peer:<14} {version}")));
        for line in lines {
            match self.format {
                Format::Rows => eprintln!("{line}"),
                Format::Tables => println!("{line}"),
            }
        }
    }

    /// Prints one case.
    pub(crate) fn outcome(&mut self, outcome: &Outcome) {
        if outcome.rows().iter().any(|row| row.verdict.is_some_and(|verdict| !verdict.ok)) {
            self.missed.push(outcome.case.name);
        }
        match self.format {
            Format::Rows => outcome.rows().iter().for_each(|row| println!("{}", row.to_json())),
            Format::Tables => print!("{}", outcome.table()),
        }
    }

    /// Says which gates were missed.
    pub(crate) fn finish(&self) -> ExitCode {
        if self.missed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("missed: {}", self.missed.join(", "));
        ExitCode::FAILURE
    }
}

impl Outcome {
    /// The case as a table.
    fn table(&self) -> String {
        let Load { connections, exchanges, .. } = self.load;
        let work = if exchanges == 1 { String::new() } else { format!(" of {exchanges} exchanges") };
        let mut text = format!(
            "\n{}  {}\n  {} rounds of {connections} connections{work}; medians, ratios round by round\n",
            self.case.name, self.case.title, self.rounds
        );
        let versus =
            self.reference().map_or_else(|| "ratio".to_owned(), |reference| format!("× {reference}"));
        let mut columns = vec!["peer", self.case.cost.unit(), "min", "max", &versus, "95 % interval"];
        columns.extend(self.case.cost.throughput_unit());
        if self.case.cost.has_latency() {
            columns.extend(["p50 µs", "p99 µs"]);
        }
        columns.push("gate");
        let mut lines = vec![columns.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        lines.extend(self.samples.keys().filter_map(|&peer| self.line(peer)));
        text.push_str(&align(&lines));
        text
    }

    fn line(&self, peer: Peer) -> Option<Vec<String>> {
        let cost = self.spread(peer, |sample| sample.cost)?;
        let mut cells = vec![peer.to_string(), figure(cost.median), figure(cost.min), figure(cost.max)];
        let ratio = Spread::of(self.ratios(peer, |sample| sample.cost));
        cells.push(ratio.map_or_else(String::new, |ratio| format!("{:.3}", ratio.median)));
        let interval = self.interval(peer).map(|(low, high)| format!("{low:.3} to {high:.3}"));
        cells.push(interval.unwrap_or_default());
        if self.case.cost.throughput_unit().is_some() {
            cells.push(figure(self.spread(peer, |sample| sample.throughput)?.median));
        }
        if self.case.cost.has_latency() {
            cells.push(figure(self.spread(peer, |sample| sample.p50)?.median));
            cells.push(figure(self.spread(peer, |sample| sample.p99)?.median));
        }
        cells.push(self.judgement(peer));
        Some(cells)
    }

    /// The gate's cell.
    fn judgement(&self, peer: Peer) -> String {
        let word = |verdict: Verdict| if verdict.ok { "ok" } else { "MISSED" };
        match (peer, self.case.gate, self.verdict(peer)) {
            (Peer::Sluice, Some(Gate::Aim(aim)), Some(verdict)) => {
                format!("interval < 1, aim {aim}: {}", word(verdict))
            }
            (Peer::Sluice, Some(Gate::Aim(_)), None) if self.gated => format!("needs {AIM_ROUNDS} rounds"),
            (Peer::Sluice, Some(_), Some(verdict)) => format!("≤ {}: {}", verdict.gate, word(verdict)),
            _ => String::new(),
        }
    }
}

fn first_words(text: &str, count: usize) -> String {
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

/// Three digits or more.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Lines of cells, the first column to the left, all others to the right.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let length = |cell: &String| cell.chars().count();
    let width = |column| lines.iter().filter_map(|line| line.get(column).map(length)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        text.push_str("  ");
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{cell:<width$}")),
                _ => text.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
