//! `cargo xtask lab`: the network that tests use, held open, with a daemon in it, to try things by hand.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use lb_tests::{Backend, Behaviour, Lab};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::signal::ctrl_c;

use crate::workspace::build;

/// Port of the listener and of the backends.
const PORT: u16 = 8080;

/// Opens the lab until Ctrl-C or the end of standard input.
pub(crate) fn run() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the lab needs root: network namespaces");
    let sluice = build("lb-daemon", "sluice", "dev")?;
    let lab = Lab::require(3).context("no network namespaces here")?;
    let _backends: Vec<Backend> = (1..)
        .zip(&lab.backends)
        .map(|(number, backend)| {
            let address = SocketAddr::new(backend.v4, PORT);
            Backend::start_in(&backend.namespace, &format!("backend {number}"), address, Behaviour::Http)
        })
        .collect();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("lab.toml");
    fs::write(&file, configuration(&lab)).with_context(|| file.display().to_string())?;
    println!("{}", instructions(&lab, &file));
    let mut daemon = lab.balancer.command(&sluice);
    daemon.args(["run", "-c"]).arg(&file).stdin(Stdio::null());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(daemon));
    // A read of standard input cannot be called off: leave its thread.
    runtime.shutdown_background();
    outcome
}

/// A listener on both of the balancer's addresses, and the three backends.
fn configuration(lab: &Lab) -> String {
    let quoted = |address: SocketAddr| format!("\"{address}\"");
    let binds = [Lab::BALANCER_V4, Lab::BALANCER_V6].map(|ip| quoted(SocketAddr::new(ip, PORT)));
    let backends: Vec<String> =
        lab.backends.iter().map(|backend| quoted(SocketAddr::new(backend.v4, PORT))).collect();
    format!(
        "version = 1
[listeners.lab]
bind = [{}]
protocol = \"tcp\"
pool = \"lab\"
[pools.lab]
balance = \"round_robin\"
backends = [{}]
",
        binds.join(", "),
        backends.join(", ")
    )
}

/// What one can do there.
fn instructions(lab: &Lab, file: &Path) -> String {
    let (client, balancer) = (lab.client.name(), lab.balancer.name());
    let v4 = SocketAddr::new(Lab::BALANCER_V4, PORT);
    let v6 = SocketAddr::new(Lab::BALANCER_V6, PORT);
    let mut tries = vec![
        ("a request", format!("ip netns exec {client} curl -s http://{v4}/")),
        ("one over IPv6", format!("ip netns exec {client} curl -s 'http://{v6}/'")),
        ("the packets", format!("ip netns exec {balancer} tcpdump -ni any tcp port {PORT}")),
        ("the sockets", format!("ip netns exec {balancer} ss -tnip")),
    ];
    if let Some(backend) = lab.backends.first().map(|backend| backend.namespace.name()) {
        tries.push(("cut backend 1 off", format!("ip -n {backend} link set balancer down")));
        tries.push(("mend it", format!("ip -n {backend} link set balancer up")));
    }
    let lines: String = tries.iter().map(|(what, command)| format!("  {what:<18} {command}\n")).collect();
    format!(
        "\nclient -- balancer with sluice -- 3 backends; the configuration is {}\n\
         In another terminal, as root:\n{lines}\
         Ctrl-C, or the end of standard input, ends it.\n",
        file.display()
    )
}

/// Runs the daemon until the user has had enough, then ends it as a service manager would.
async fn serve(daemon: Command) -> Result<()> {
    let mut daemon =
        tokio::process::Command::from(daemon).kill_on_drop(true).spawn().context("cannot run sluice")?;
    let mut input = Vec::new();
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        status = daemon.wait() => bail!("sluice ended by itself: {}", status?),
        interrupted = ctrl_c() => interrupted?,
        read = stdin.read_to_end(&mut input) => drop(read?),
    }
    if let Some(pid) = daemon.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        rustix::process::kill_process(pid, Signal::TERM)?;
    }
    tokio::select! {
        status = daemon.wait() => drop(status?),
        // It drains. Once more, and it is dropped, which kills it.
        again = ctrl_c() => again?,
    }
    Ok(())
}
