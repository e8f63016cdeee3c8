//! The demo: three built-in backends, an HTTP and a TCP listener in front of them, a trickle of requests, and one backend
//! that stops and comes back. The balancer is the real one: the same configuration, workers and data paths as `sluice run`.
#![expect(clippy::print_stdout, reason = "the demo talks to its user")]

mod backend;
mod traffic;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval};

use self::backend::Backend;
use self::traffic::Tally;
use crate::app::{App, Start};

const NAMES: [&str; 3] = ["apple", "banana", "cherry"];

/// Requests per second that the demo sends to itself.
const RATE: u32 = 20;

/// The play that repeats itself: so many seconds with all backends, then as many without the second.
const ACT: u64 = 8;

/// Runs the demo until Ctrl-C.
pub(crate) async fn run(listen: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut backends = Vec::new();
    for name in NAMES {
        backends.push(Backend::start(name).await.context("cannot start a demo backend")?);
    }
    let listen = match listen {
        Some(listen) if listen.port() != 0 => listen,
        Some(any_port) => free_address(&[any_port])?,
        None => free_address(&[(Ipv4Addr::LOCALHOST, 8080).into(), (Ipv4Addr::LOCALHOST, 0).into()])?,
    };
    let tcp = free_address(&[(listen.ip(), 8081).into(), (listen.ip(), 0).into()])?;
    let loaded = lb_config::parse("demo.toml", &configuration(listen, tcp, &backends), &|_| None)
        .context("the demo's own configuration")?;
    let logging = lb_telemetry::install(&loaded.config.log)?;
    let app = App::start(Start { loaded, source: None, logging }).await?;
    print_banner(listen, tcp, &backends);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = app.follow() => {}
        result = play(listen, &mut backends) => result?,
    }
    let _ = writeln!(std::io::stdout(), "\nDemo over.");
    Ok(ExitCode::SUCCESS)
}

/// The first of these that is free, with the port that the kernel chose where it is 0.
fn free_address(candidates: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    let socket = TcpListener::bind(candidates).context("no free address to listen on")?;
    Ok(socket.local_addr()?)
}

fn configuration(http: SocketAddr, tcp: SocketAddr, backends: &[Backend]) -> String {
    let backend = |b: &Backend| format!("{{ name = \"{}\", address = \"{}\" }}", b.name(), b.address());
    let cherry = backends.last().map(backend).unwrap_or_default();
    let backends = backends.iter().map(backend).collect::<Vec<_>>().join(", ");
    format!(
        "version = 1\n\
         [log]\nlevel = \"warn\"\naccess = false\n[admin]\nsocket = \"off\"\n\
         [listeners.http]\nbind = [\"{http}\"]\nprotocol = \"http\"\npool = \"fruit\"\n\
         [[listeners.http.routes]]\npath_prefix = \"/cherry\"\npool = \"cherry\"\n\
         response_headers = {{ set = {{ X-Route = \"cherry\" }} }}\n\
         [listeners.tcp]\nbind = [\"{tcp}\"]\nprotocol = \"tcp\"\npool = \"fruit\"\n\
         [pools.fruit]\nbalance = \"round_robin\"\nbackends = [{backends}]\n\
         passive_health = {{ backoff = \"1s\", max_backoff = \"2s\" }}\n\
         [pools.cherry]\nbackends = [{cherry}]\n"
    )
}

fn print_banner(listen: SocketAddr, tcp: SocketAddr, backends: &[Backend]) {
    println!("Sluice demo: two listeners and three backends, all inside this process.\n");
    println!(
        "  http      http://{listen}   a gateway: each request by itself (round_robin), /cherry to cherry"
    );
    println!("  tcp       http://{tcp}   the same backends by connection, bytes untouched");
    for backend in backends {
        println!("  backend   {:<8} {}", backend.name(), backend.address());
    }
    println!("\nTry in another terminal:\n");
    println!("  curl http://{listen}/");
    println!("  curl -i http://{listen}/cherry");
    println!("  for i in 1 2 3 4 5 6; do curl -s http://{listen}/; done\n");
    println!("{RATE} requests a second go through it by themselves; each line below is one second.");
    println!("Every {ACT} seconds banana stops or comes back. Ctrl-C ends the demo.\n");
}

/// Sends traffic, shows each second where it went, and stops and restarts a backend in turn.
async fn play(listen: SocketAddr, backends: &mut [Backend]) -> anyhow::Result<()> {
    let tally = Tally::new(&NAMES);
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    let begun = Instant::now();
    let mut shown = 0;
    let mut requests = tokio::task::JoinSet::new();
    loop {
        ticks.tick().await;
        requests.spawn(traffic::request(listen, tally.clone()));
        while requests.try_join_next().is_some() {}
        let second = begun.elapsed().as_secs();
        if second == shown {
            continue;
        }
        shown = second;
        // Whoever pipes this into `head` has seen enough.
        if writeln!(std::io::stdout(), "{second:>4} s  {}", tally.take_line()).is_err() {
            return Ok(());
        }
        let Some(banana) = backends.get_mut(1).filter(|_| second.is_multiple_of(ACT)) else { continue };
        if banana.stop() {
            println!("        banana stops: its port refuses connections. Watch its share go to the others.");
        } else {
            banana.restart().await.context("cannot restart a demo backend")?;
            println!("        banana is back: it gets connections again after its back-off.");
        }
    }
}
