//! What one packet costs in the XDP program, by BPF_PROG_TEST_RUN.
//!
//! A wrapper makes each packet anew, of another flow in an order that no cache foresees, and calls the program
//! under test. From the time that the kernel reports, that of the same wrapper around a program is taken off
//! that does nothing but what is done to every packet: moving its start, or not even that. Rounds of both are
//! interleaved; verdicts and outputs are checked in every one. Rounds in which that other program was slow too are not
//! counted: then somebody else had a part of the processor, and everything takes half as long again.

mod case;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lb_balance::{BackendIndex, Maglev, Member};
use lb_common::flow::{Line, State};
use lb_common::flow_hash::absorb;
use lb_common::host::{Sample, samples};
use lb_common::{Choice, Family, Mac, PortRange, Protocol};
use lb_xdp::testing::{Order, Target, Wrapper};
use lb_xdp::{
    Balancer, Capacity, Desired, DesiredBackend, DesiredListener, DesiredPool, FlowTimeouts, Reconciler,
    Route, Settings, Standing,
};
use serde_json::json;

use crate::bench::process::{PROXY_CPU, pin};
use crate::bench::stats::Spread;
use crate::bench::xdp::case::{CASES, Case, Traffic};

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the cases whose names begin so, for example xdp.v4.
    #[arg(long, value_name = "PREFIX", default_value = "xdp.")]
    only: String,
    /// Rounds of every case that count.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Three short rounds: shows that the bench works, gates nothing.
    #[arg(long)]
    quick: bool,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
}

/// Packets of one run.
const PACKETS: u32 = 1 << 18;
const QUICK_PACKETS: u32 = 1 << 14;

const CAPACITY: Capacity =
    Capacity { flows_v4: 1 << 20, flows_v6: 1 << 20, listeners: 16, pools: 2, backends: 16 };

const SYN: u8 = 2;
const ACK: u8 = 16;

/// XDP actions.
const PASS: u32 = 2;
const TX: u32 = 3;
/// The interface that packets of BPF_PROG_TEST_RUN come in by.
const LOOPBACK: u32 = 1;

/// A figure.
struct Row {
    case: String,
    title: &'static str,
    unit: &'static str,
    spread: Spread,
    /// How many times the reference's figure it is.
    ratio: Option<f64>,
    gate: Option<Gate>,
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy)]
enum Gate {
    AtMost(f64),
    AtLeast(f64),
}

/// Runs the cases; fails where a gate is missed.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    pin(&[PROXY_CPU])?;
    let selected: Vec<&Case> = CASES.iter().filter(|case| case.name.starts_with(&options.only)).collect();
    if selected.is_empty() {
        bail!("no case begins so; the cases are {}", CASES.map(|case| case.name).join(", "));
    }
    let mut missed = Vec::new();
    let mut show = |rows: Vec<Row>| {
        for row in rows {
            row.print(options);
            if !options.quick && !row.is_met() {
                missed.push(row.case);
            }
        }
    };
    let reference = reference(options)?;
    let median = reference.spread.median;
    show(vec![reference]);
    for case in selected {
        show(Bench::new(case)?.measure(options, median)?);
    }
    show(sizes()?);
    if missed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("missed: {}", missed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// One case in a balancer of its own.
struct Bench<'a> {
    case: &'a Case,
    balancer: Balancer,
    wrapper: Wrapper,
}

impl<'a> Bench<'a> {
    fn new(case: &'a Case) -> Result<Self> {
        Ok(Self { case, balancer: balancer()?, wrapper: Wrapper::load()? })
    }

    fn measure(mut self, options: &Options, reference: f64) -> Result<Vec<Row>> {
        self.fill()?;
        let spread = rounds(options, |packets| {
            let before = self.floor(packets)?;
            let cost = self.ours(packets)?;
            Ok(Round::new(before, cost, self.floor(packets)?))
        })?;
        let Case { name, title, gate, .. } = *self.case;
        let (ratio, gate) = (Some(spread.median / reference), Some(Gate::AtMost(gate)));
        let mut rows = vec![Row { case: name.to_owned(), title, unit: "ns", spread, ratio, gate }];
        rows.extend(self.held());
        Ok(rows)
    }

    /// Puts into the table what has to be there before.
    fn fill(&mut self) -> Result<()> {
        // Three packets make a flow last. Where all packets are new, so are the flows that they replace.
        let (flows, packets): (u32, &[u8]) = match self.case.traffic {
            Traffic::Known => (self.case.flows, &[SYN, ACK, ACK]),
            Traffic::MidFlow => (CAPACITY.flows_v4, &[SYN, ACK, ACK]),
            Traffic::New => (self.case.flows, &[SYN]),
            Traffic::NotOurs => return Ok(()),
        };
        self.wrapper.aim(Target::Balancer(&self.balancer))?;
        for &flags in packets {
            let template = template(self.case, Traffic::Known, flags);
            self.wrapper.set_packets(self.case.family, &template, flows, Order::Sequential);
            let ran = self.wrapper.run(self.case.family, flows)?;
            ensure!(ran.action == TX, "a packet that fills the table was not sent: action {}", ran.action);
        }
        let flags = if self.case.traffic == Traffic::New { SYN } else { ACK };
        self.wrapper.set_packets(
            self.case.family,
            &template(self.case, self.case.traffic, flags),
            self.case.flows,
            Order::Permuted,
        );
        Ok(())
    }

    /// The time of a packet that the balancer has, which makes of it what it has to.
    fn ours(&mut self, packets: u32) -> Result<Duration> {
        self.wrapper.aim(Target::Balancer(&self.balancer))?;
        let ran = self.wrapper.run(self.case.family, packets)?;
        let (action, outer) = match (self.case.traffic, self.case.family) {
            (Traffic::NotOurs, _) => (PASS, None),
            (Traffic::Known | Traffic::New | Traffic::MidFlow, Family::V4) => {
                (TX, Some((34, &[10, 0, 0][..])))
            }
            (Traffic::Known | Traffic::New | Traffic::MidFlow, Family::V6) => {
                (TX, Some((54, &[0xfd, 0, 0][..])))
            }
        };
        ensure!(ran.action == action, "{}: action {} instead of {action}", self.case.name, ran.action);
        if let Some((inner, destination)) = outer {
            let found = ran.packet.get(inner - if inner == 34 { 4 } else { 16 }..);
            ensure!(found.is_some_and(|bytes| bytes.starts_with(destination)), "no outer header");
        }
        Ok(ran.duration)
    }

    /// The time of a packet that has nothing done to it but what every packet has.
    fn floor(&mut self, packets: u32) -> Result<Duration> {
        self.wrapper.aim(match (self.case.traffic, self.case.family) {
            (Traffic::NotOurs, _) => Target::Drop,
            (Traffic::Known | Traffic::New | Traffic::MidFlow, Family::V4) => Target::Grow20,
            (Traffic::Known | Traffic::New | Traffic::MidFlow, Family::V6) => Target::Grow40,
        })?;
        Ok(self.wrapper.run(self.case.family, packets)?.duration)
    }

    /// How many of many flows are in the table.
    fn held(&self) -> Option<Row> {
        if self.case.traffic != Traffic::Known || self.case.flows < 1 << 16 {
            return None;
        }
        let lines = self.balancer.memory().flows(self.case.family).iter();
        let held = lines.flat_map(Line::ways).filter(|seen| seen.entry.state() == State::CONFIRMED).count();
        let share = held as f64 * 100.0 / f64::from(self.case.flows);
        let table = CAPACITY.flow_bytes(self.case.family) >> 20;
        Some(Row {
            case: format!("{}.held", self.case.name),
            title: "flows that the table holds",
            unit: "%",
            spread: Spread { median: share, min: share, max: share },
            ratio: None,
            gate: Some(Gate::AtLeast(99.0)),
        })
        .inspect(|_| eprintln!("{}: {held} flows in {table} MiB", self.case.name))
    }
}

/// What a packet costs in a round, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// With the program that does nothing, before and after.
    floors: [f64; 2],
    /// With the one that is measured.
    cost: f64,
}

impl Round {
    fn new(before: Duration, cost: Duration, after: Duration) -> Self {
        Self { floors: [nanoseconds(before), nanoseconds(after)], cost: nanoseconds(cost) }
    }

    fn above_floor(&self) -> f64 {
        let [before, after] = self.floors;
        self.cost - f64::midpoint(before, after)
    }
}

/// Runs rounds of so many packets until enough of them count; what they cost above their floors.
fn rounds(options: &Options, mut run: impl FnMut(u32) -> Result<Round>) -> Result<Spread> {
    /// How much above the lowest floor a floor may be.
    const SLOWER: f64 = 1.1;
    /// Rounds that may be run for each that counts.
    const PATIENCE: usize = 10;

    let (wanted, packets) = if options.quick { (3, QUICK_PACKETS) } else { (options.rounds, PACKETS) };
    // To warm up.
    run(packets)?;
    let mut rounds: Vec<Round> = Vec::new();
    loop {
        let lowest = rounds.iter().flat_map(|round| round.floors).fold(f64::INFINITY, f64::min);
        let is_fast = |floor: &f64| *floor <= lowest * SLOWER;
        let counts = |round: &&Round| options.quick || round.floors.iter().all(is_fast);
        let counting: Vec<_> = rounds.iter().filter(counts).collect();
        if counting.len() >= wanted {
            return Spread::of(counting.iter().map(|round| round.above_floor())).context("no rounds");
        }
        ensure!(
            rounds.len() < wanted * PATIENCE,
            "only {} of {} rounds were as fast as the machine can be: somebody else is using it",
            counting.len(),
            rounds.len(),
        );
        rounds.push(run(packets)?);
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// A packet of the case.
fn template(case: &Case, traffic: Traffic, flags: u8) -> Vec<u8> {
    let family = match case.family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let (protocol, transport) = match (case.protocol, case.family) {
        (Protocol::Tcp, Family::V4) => ("TCP SYN", 34),
        (Protocol::Udp, Family::V4) => ("UDP", 34),
        (Protocol::Tcp, Family::V6) => ("TCP SYN", 54),
        (Protocol::Udp, Family::V6) => ("UDP", 54),
    };
    let name = format!("{family}, untagged: {protocol}");
    let mut frame =
        samples().into_iter().find(|sample| sample.name == name).map(|s| s.frame).unwrap_or_default();
    let mut set = |at: usize, byte: u8| frame.get_mut(at).into_iter().for_each(|old| *old = byte);
    if case.protocol == Protocol::Tcp {
        set(transport + 13, flags);
    }
    match traffic {
        Traffic::Known | Traffic::New => {}
        // Another port of the client's; another of ours.
        Traffic::MidFlow => set(transport + 1, 0xff),
        Traffic::NotOurs => set(transport + 3, 0xff),
    }
    frame
}

/// A balancer with two pools of ten backends each.
fn balancer() -> Result<Balancer> {
    let seconds = Duration::from_secs;
    let timeouts = FlowTimeouts { new: seconds(300), confirmed: seconds(300), closing: seconds(10) };
    let settings = Settings { capacity: CAPACITY, tcp: timeouts, udp: timeouts };
    let mut state = 1;
    let mut random = || {
        state = absorb(state, 1);
        state
    };
    let balancer = Balancer::load(&settings, &mut random)?;
    Reconciler::new(&CAPACITY).reconcile(balancer.memory(), &desired(), Instant::now())?;
    Ok(balancer)
}

fn desired() -> Desired {
    let listener = |address: IpAddr, protocol, pool: &str| DesiredListener {
        name: "bench".to_owned(),
        address,
        ports: PortRange::one(Sample::PORT),
        protocol,
        pool: pool.to_owned(),
        idle: 600,
    };
    let listeners = [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|protocol| {
        [listener(Sample::LOCAL_V4.into(), protocol, "v4"), listener(Sample::LOCAL_V6.into(), protocol, "v6")]
    });
    let v6 = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
    let pools = vec![
        pool("v4", |last| (Ipv4Addr::new(172, 16, 0, 0).into(), Ipv4Addr::new(10, 0, 0, last).into())),
        pool("v6", |last| (v6(0).into(), v6(last.into()).into())),
    ];
    Desired { seed: 0, listeners: listeners.collect(), pools }
}

fn pool(name: &str, ends: impl Fn(u8) -> (IpAddr, IpAddr)) -> DesiredPool {
    let backends: Vec<_> = (1..=8)
        .map(|last| {
            let (source, destination) = ends(last);
            let (next_hop, interface_mac) = (Mac::new([2, 0, 0, 0, 0, 9]), Mac::new([2, 0, 0, 0, 0, 1]));
            let route = Route {
                destination,
                source,
                entropy: 0xffff,
                next_hop,
                interface: LOOPBACK,
                interface_mac,
                mtu: 1500,
            };
            DesiredBackend { name: last.to_string(), standing: Standing::Alive, route }
        })
        .collect();
    let members: Vec<_> = (0..)
        .zip(&backends)
        .map(|(place, backend)| Member { index: BackendIndex(place), name: &backend.name, weight: 1 })
        .collect();
    let slots = Maglev::build(&members).slots().to_vec();
    DesiredPool { name: name.to_owned(), choice: Choice::Tuple, backends, slots }
}

/// What a program costs that does as little as a balancer can: another program to compare with, in the same run.
fn reference(options: &Options) -> Result<Row> {
    let mut wrapper = Wrapper::load()?;
    let spread = rounds(options, |packets| {
        let mut run = |target| -> Result<Duration> {
            wrapper.aim(target)?;
            Ok(wrapper.run(Family::V4, packets)?.duration)
        };
        Ok(Round::new(run(Target::Drop)?, run(Target::Reference)?, run(Target::Drop)?))
    })?;
    let title = "reference: read, look a hash map up, send back";
    Ok(Row { case: "xdp.reference".to_owned(), title, unit: "ns", spread, ratio: None, gate: None })
}

/// How large the program is.
fn sizes() -> Result<Vec<Row>> {
    let size = balancer()?.size()?;
    let row = |case: &str, title, unit, figure: u32, gate| {
        let figure = f64::from(figure);
        let spread = Spread { median: figure, min: figure, max: figure };
        Row { case: case.to_owned(), title, unit, spread, ratio: None, gate }
    };
    let verified = size.verified.map(|verified| {
        let title = "instructions that the verifier looks at";
        row("xdp.verified", title, "insns", verified, Some(Gate::AtMost(250_000.0)))
    });
    Ok(verified.into_iter().chain([row("xdp.size", "machine code", "bytes", size.jitted, None)]).collect())
}

impl Row {
    fn is_met(&self) -> bool {
        match self.gate {
            None => true,
            Some(Gate::AtMost(most)) => self.spread.median <= most,
            Some(Gate::AtLeast(least)) => self.spread.median >= least,
        }
    }

    fn print(&self, options: &Options) {
        let Spread { median, min, max } = self.spread;
        let gate = self.gate.filter(|_| !options.quick);
        if options.json {
            let (case, unit) = (&self.case, self.unit);
            let mut row = json!({
                "case": case, "peer": "sluice", "unit": unit, "median": median, "min": min, "max": max,
                "ratio": self.ratio,
            });
            if let (Some(gate), Some(row)) = (gate, row.as_object_mut()) {
                row.insert("gate".to_owned(), json!(gate.figure()));
                row.insert("ok".to_owned(), json!(self.is_met()));
            }
            println!("{row}");
            return;
        }
        let judgement = gate.map_or_else(String::new, |gate| {
            format!("{gate}: {}", if self.is_met() { "ok" } else { "MISSED" })
        });
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} × reference"));
        println!(
            "{:<20} {:>9.1} {:>9.1} {:>9.1} {:<6} {:<17} {:<14} {}",
            self.case, median, min, max, self.unit, ratio, judgement, self.title
        );
    }
}

impl Gate {
    fn figure(self) -> f64 {
        match self {
            Self::AtMost(figure) | Self::AtLeast(figure) => figure,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(figure) => write!(f, "≤ {figure}"),
            Self::AtLeast(figure) => write!(f, "≥ {figure}"),
        }
    }
}
