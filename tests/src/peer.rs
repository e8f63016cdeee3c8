//! Other proxies and web servers, as they are installed: what Sluice has to get along with.

use std::fmt::Display;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Running, cli, eventually};

/// A program that serves with a configuration of the test. It is killed with this value.
#[derive(Debug)]
pub struct Peer {
    _running: Running,
    _folder: TempDir,
}

impl Peer {
    /// HAProxy, with `sections` behind defaults of TCP and short timeouts.
    pub fn haproxy(sections: &str, listens: &[SocketAddr]) -> Self {
        let defaults =
            "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 20s\n  timeout server 20s\n";
        Self::start(
            Command::new("haproxy").args(["-db", "-f"]),
            format_args!("{defaults}{sections}\n"),
            listens,
        )
    }

    /// nginx, with `blocks` such as `http { … }` and `stream { … }`.
    pub fn nginx(blocks: &str, listens: &[SocketAddr]) -> Self {
        // Debian has the stream module in a file of its own, nginx.org's packages have it built in.
        let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
        let load = if module.exists() { format!("load_module {};", module.display()) } else { String::new() };
        // One process, which ends when it is killed.
        let global = "daemon off; master_process off; pid /dev/null; error_log stderr; events {}";
        let config = format!("{load}\n{global}\n{blocks}\n");
        Self::start(Command::new("nginx").args(["-e", "stderr", "-c"]), config, listens)
    }

    /// Starts it and waits until it listens everywhere.
    fn start(command: &mut Command, config: impl Display, listens: &[SocketAddr]) -> Self {
        let folder = cli::folder();
        let file = folder.path().join("peer.conf");
        fs::write(&file, config.to_string()).expect("writing a configuration");
        let mut running = Running::start(command.arg(&file));
        eventually(PATIENCE, "the program listens", || {
            assert!(running.is_running(), "{command:?} has ended:\n{}", running.printed());
            listens.iter().all(|&address| is_listened_at(address))
        });
        Self { _running: running, _folder: folder }
    }
}

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the kernel rather than connects: the program would pass that on.
fn is_listened_at(address: SocketAddr) -> bool {
    /// TCP_LISTEN.
    const LISTEN: &str = "0A";
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is not IPv4") };
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc is mounted");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(&wanted) && fields.nth(1) == Some(LISTEN)
    })
}
