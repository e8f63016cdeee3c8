//! Runs the cases of proxies inside the sandbox: rounds, interleaved over the peers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::bench::allocations::Allocations;
use crate::bench::case::{Case, Cost, Load};
use crate::bench::outcome::Outcome;
use crate::bench::peer::{Installed, Peer, Running};
use crate::bench::process::{LOAD_CPU, Tree, pause};
use crate::bench::report::{Format, Header, Reporter};
use crate::bench::sandbox::SCRATCH;
use crate::bench::wire::{Framing, Preamble, Transport};
use crate::bench::{Options, backend, load, sandbox};

/// What one peer showed in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// In the unit of the case.
    pub(crate) cost: f64,
    /// Exchanges or GiB a second.
    pub(crate) throughput: f64,
    /// Median time of an exchange, in microseconds.
    pub(crate) p50: f64,
    /// 99th percentile of the same.
    pub(crate) p99: f64,
}

/// Runs the cases that the options select.
pub(crate) fn run(layer: &str, all: &[Case], options: &Options) -> Result<ExitCode> {
    let open_files = sandbox::prepare()?;
    let selected = |case: &&Case| options.only.as_ref().is_none_or(|prefix| case.name.starts_with(prefix));
    let cases: Vec<&Case> = all.iter().filter(selected).collect();
    if cases.is_empty() {
        let names: Vec<_> = all.iter().map(|case| case.name).collect();
        bail!("no case begins so; the cases are {}", names.join(", "));
    }
    let installed = find_peers(options, &cases)?;
    let _backend = start_backend()?;

    let mut reporter = Reporter::new(if options.json { Format::Rows } else { Format::Tables });
    reporter.header(&Header {
        command: options.command_line(layer),
        peers: installed.values().map(|i| (i.peer, i.version.clone())).collect(),
        open_files,
    });
    for case in cases {
        let bench = Bench { case, installed: &installed, options, open_files };
        reporter.outcome(&bench.run()?);
    }
    Ok(reporter.finish())
}

/// The peers of the cases that the options allow and that are here.
fn find_peers(options: &Options, cases: &[&Case]) -> Result<BTreeMap<Peer, Installed>> {
    let sluice = options.sluice.as_deref().context("--inside comes with --sluice")?;
    let mut installed = BTreeMap::new();
    for peer in cases.iter().flat_map(|case| case.peers) {
        let wanted = options.peers.is_empty() || options.peers.contains(peer);
        if wanted
            && !installed.contains_key(peer)
            && let Some(found) = peer.find(sluice)?
        {
            installed.insert(*peer, found);
        }
    }
    Ok(installed)
}

/// Starts the backend on every loopback address and waits until it accepts.
fn start_backend() -> Result<Tree> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bench-backend").stdin(Stdio::null()).stdout(Stdio::null());
    let mut tree = Tree::spawn(&mut command, &[LOAD_CPU])?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, backend::port(Preamble::None, Framing::Http))).is_err() {
        ensure!(tree.child().try_wait()?.is_none() && Instant::now() < deadline, "the backend did not start");
        pause(Duration::from_millis(5));
    }
    Ok(tree)
}

/// One case with what it needs.
struct Bench<'a> {
    case: &'a Case,
    installed: &'a BTreeMap<Peer, Installed>,
    options: &'a Options,
    open_files: u64,
}

impl Bench<'_> {
    /// All rounds of the case.
    fn run(&self) -> Result<Outcome> {
        let load = self.load()?;
        let own_rounds = if self.options.quick { 2 } else { self.case.rounds };
        let rounds = self.options.rounds.unwrap_or(own_rounds).max(1);
        let mut peers: Vec<&Installed> =
            self.case.peers.iter().filter_map(|peer| self.installed.get(peer)).collect();
        let mut samples: BTreeMap<Peer, Vec<Sample>> = BTreeMap::new();
        let mut running = Vec::new();
        if self.case.cost != Cost::Memory {
            for peer in &peers {
                let peer = peer.start(self.case, self.open_files)?;
                self.generate(peer.listen, load.quick(), Hold::No)
                    .with_context(|| format!("warm-up of {}", peer.peer))?;
                running.push(peer);
            }
        }
        for round in 1..=rounds {
            self.progress(&format!("{} round {round}/{rounds}", self.case.name));
            for installed in &peers {
                let peer = installed.peer;
                let sample = match running.iter().find(|running| running.peer == peer) {
                    Some(running) if self.case.cost == Cost::SystemCalls => self.system_calls(running, load),
                    Some(running) if self.case.cost == Cost::Allocations => self.allocations(running, load),
                    Some(running) => self.cpu(running, load),
                    None => self.memory(installed, load),
                };
                let sample =
                    sample.with_context(|| format!("{} behind {peer}, round {round}", self.case.name))?;
                samples.entry(peer).or_default().push(sample);
            }
            peers.rotate_left(1);
        }
        self.progress("");
        Ok(Outcome { case: *self.case, load, rounds, gated: !self.options.quick, samples })
    }

    /// Overwrites the last line of the terminal, if there is one.
    fn progress(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            eprint!("\r{text}\x1b[K");
        }
    }

    /// The load of a round, cut down where the machine or the options say so.
    fn load(&self) -> Result<Load> {
        let mut load = if self.options.quick { self.case.load.quick() } else { self.case.load };
        if self.case.cost == Cost::Memory {
            // Two sockets a connection, and what a peer keeps for itself: ours keeps hundreds for the pipes of splice.
            load.connections = load.connections.min(self.open_files.saturating_sub(1000) / 2);
            ensure!(
                load.connections > 100,
                "at most {} open files: too few for {}",
                self.open_files,
                self.case.name
            );
        }
        Ok(load)
    }

    /// CPU time of one round.
    fn cpu(&self, peer: &Running, load: Load) -> Result<Sample> {
        let before = peer.tree.cpu_times()?;
        let report = self.generate(peer.listen, load, Hold::No)?.report;
        let used = peer.tree.cpu_since(&before)?.as_secs_f64();
        let gibibytes = load.bytes() as f64 / (1_u64 << 30) as f64;
        let (cost, work) = match self.case.cost {
            Cost::PerGibibyte => (used / gibibytes, gibibytes),
            Cost::PerDatagram => {
                let datagrams = 2.0 * report.exchanges;
                (used * 1e6 / datagrams, datagrams)
            }
            Cost::PerExchange(_) | Cost::Memory | Cost::SystemCalls | Cost::Allocations => {
                (used * 1e6 / report.exchanges, report.exchanges)
            }
        };
        Ok(Sample { cost, throughput: work / report.elapsed, p50: report.p50, p99: report.p99 })
    }

    /// System calls per exchange, as `strace` counts them.
    fn system_calls(&self, peer: &Running, load: Load) -> Result<Sample> {
        let calls = Path::new(SCRATCH).join("calls");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-c", "-U", "calls", "-o"]).arg(&calls);
        let pids = peer.tree.pids()?;
        command.args(pids.iter().map(|pid| format!("--attach={pid}"))).stdin(Stdio::null());
        let mut strace = Tree::spawn(&mut command, &[LOAD_CPU])?;
        let deadline = Instant::now() + Duration::from_secs(10);
        for pid in pids {
            while !is_traced(pid)? {
                let waits = strace.child().try_wait()?.is_none() && Instant::now() < deadline;
                ensure!(waits, "strace does not trace the peer: `cargo xtask setup` installs it");
                pause(Duration::from_millis(5));
            }
        }
        let report = self.generate(peer.listen, load, Hold::No)?.report;
        let tracer = i32::try_from(strace.child().id()).ok().and_then(Pid::from_raw).context("no pid")?;
        rustix::process::kill_process(tracer, Signal::INT)?;
        strace.child().wait()?;
        let counted = fs::read_to_string(&calls).context("strace's counts")?;
        let total: f64 =
            counted.lines().filter_map(|line| line.split_whitespace().next()?.parse::<f64>().ok()).sum();
        // The last line is the sum of the others.
        let cost = total / 2.0 / report.exchanges;
        Ok(Sample { cost, throughput: report.exchanges / report.elapsed, p50: report.p50, p99: report.p99 })
    }

    /// Allocations per exchange.
    fn allocations(&self, peer: &Running, load: Load) -> Result<Sample> {
        let allocations = Allocations::of(peer.tree.pids()?)?;
        let generator = self.generator(peer.listen, load, Hold::No)?;
        let Generated { report, mut process } = generated(allocations.during(&generator))?;
        process.child().wait()?;
        let cost = allocations.counted()? / report.exchanges;
        Ok(Sample { cost, throughput: report.exchanges / report.elapsed, p50: report.p50, p99: report.p99 })
    }

    /// Memory per idle connection, on a fresh process that has served a few connections before.
    fn memory(&self, installed: &Installed, load: Load) -> Result<Sample> {
        let peer = installed.start(self.case, self.open_files)?;
        let few = Load { connections: 256, ..load };
        self.generate(peer.listen, few, Hold::No).context("warm-up")?;
        peer.tree.cpu_since(&peer.tree.cpu_times()?)?;
        let before = peer.tree.memory()?;
        let generated = self.generate(peer.listen, load, Hold::Yes)?;
        peer.tree.cpu_since(&peer.tree.cpu_times()?)?;
        let after = peer.tree.memory()?;
        let report = generated.report;
        drop(generated.process);
        let cost = after.saturating_sub(before) as f64 / load.connections as f64;
        Ok(Sample { cost, throughput: report.exchanges / report.elapsed, p50: report.p50, p99: report.p99 })
    }

    /// Runs the generator until its work is done.
    fn generate(&self, target: SocketAddr, load: Load, hold: Hold) -> Result<Generated> {
        generated(self.generator(target, load, hold)?)
    }

    fn generator(&self, target: SocketAddr, load: Load, hold: Hold) -> Result<Command> {
        let arguments = load::Args {
            target,
            connections: load.connections,
            concurrency: load.concurrency,
            exchanges: load.exchanges,
            request: load.request,
            reply: load.reply,
            rate: load.rate,
            preamble: self.case.job.client_preamble(),
            framing: self.case.job.framing(),
            window: (self.case.job.transport() == Transport::Datagram).then_some(load.window),
            hold: hold == Hold::Yes,
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bench-load").args(arguments.to_command_line());
        Ok(command)
    }
}

/// Runs a generator until its work is done.
fn generated(mut command: Command) -> Result<Generated> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Tree::spawn(&mut command, &[LOAD_CPU])?;
    let mut line = String::new();
    let output = process.child().stdout.take().context("no pipe")?;
    BufReader::new(output).read_line(&mut line)?;
    if line.is_empty() {
        let mut complaint = String::new();
        process.child().stderr.take().context("no pipe")?.read_to_string(&mut complaint)?;
        bail!("the generator failed: {}", complaint.trim());
    }
    Ok(Generated { report: Report::parse(&line)?, process })
}

/// Whether somebody traces the process.
fn is_traced(pid: u32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the peer has ended")?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    Ok(tracer.is_some_and(|tracer| tracer.trim() != "0"))
}

/// Whether the generator keeps its connections until it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    No,
    Yes,
}

/// A generator that has done its work.
struct Generated {
    report: Report,
    process: Tree,
}

/// What the generator reports, see [`load::run`].
struct Report {
    elapsed: f64,
    exchanges: f64,
    p50: f64,
    p99: f64,
}

impl Report {
    fn parse(line: &str) -> Result<Self> {
        let json: serde_json::Value = serde_json::from_str(line).context("the generator's report")?;
        let field = |name: &str| {
            json.get(name).and_then(serde_json::Value::as_f64).with_context(|| format!("no {name} in {line}"))
        };
        Ok(Self {
            elapsed: field("elapsed_s")?,
            exchanges: field("exchanges")?,
            p50: field("p50_us")?,
            p99: field("p99_us")?,
        })
    }
}
