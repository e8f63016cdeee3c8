//! A small network of namespaces: a client, a balancer, and backends behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};

use anyhow::{Context as _, Result};

use crate::Namespace;

/// `client` ── `balancer` ── `backends[0]`, `backends[1]`…: one veth pair a line, IPv4 and IPv6 on each.
///
/// Addresses are the same in every lab, namespaces keep them apart. There is no routing between the lines: what a
/// client gets from a backend, it gets through the balancer.
#[derive(Debug)]
pub struct Lab {
    /// Where clients run.
    pub client: Namespace,
    /// Where the daemon runs. Its links are called `client`, `backend0`, `backend1`…
    pub balancer: Namespace,
    /// Where backends run.
    pub backends: Vec<LabBackend>,
}

/// The namespace of a backend and its addresses. Its link is called `balancer`.
#[derive(Debug)]
pub struct LabBackend {
    /// Where it runs.
    pub namespace: Namespace,
    /// Its IPv4 address.
    pub v4: IpAddr,
    /// Its IPv6 address.
    pub v6: IpAddr,
}

impl Lab {
    /// The balancer's IPv4 address towards the client.
    pub const BALANCER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
    /// The balancer's IPv6 address towards the client.
    pub const BALANCER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
    /// The client's IPv4 address.
    pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
    /// The client's IPv6 address.
    pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));

    /// A lab with `backends` backends; `None`, and a notice that cannot be overlooked, where the test has not the rights
    /// for one. With `SLUICE_REQUIRE_LAB=1` that is a panic instead, so that a gate cannot pass by skipping.
    pub fn require(backends: u8) -> Option<Self> {
        if may_administer_networks() {
            return Some(Self::new(backends).expect("making the network lab"));
        }
        let why = "the network lab needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN)";
        assert!(
            std::env::var_os("SLUICE_REQUIRE_LAB").is_none_or(|v| v != "1"),
            "SLUICE_REQUIRE_LAB=1, but {why}"
        );
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past the capture of libtest, which would hide it: the test passes.
        let notice = format!("\n{0}\nSKIPPED {test}\n{why}\n{0}\n\n", "*".repeat(78));
        let _closed_stderr = rustix::io::write(rustix::stdio::stderr(), notice.as_bytes());
        None
    }

    fn new(backends: u8) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(|| Namespace::sweep().expect("sweeping namespaces of earlier runs"));
        let lab = NEXT.fetch_add(1, Ordering::Relaxed);
        let client = Namespace::new(&format!("{lab}-client"))?;
        let balancer = Namespace::new(&format!("{lab}-balancer"))?;
        link(&balancer, "client", &client, 0)?;
        let backends = (0..backends)
            .map(|index| {
                let namespace = Namespace::new(&format!("{lab}-backend{index}"))?;
                let line = index.checked_add(1).context("at most 254 backends")?;
                link(&balancer, &format!("backend{index}"), &namespace, line)?;
                let v4 = Ipv4Addr::new(10, 77, line, 2).into();
                let v6 = Ipv6Addr::new(0xfd77, 0, 0, line.into(), 0, 0, 0, 2).into();
                Ok(LabBackend { namespace, v4, v6 })
            })
            .collect::<Result<_>>()?;
        Ok(Self { client, balancer, backends })
    }
}

/// A line between the balancer (host 1), where it is called `device`, and `far` (host 2), where it is called `balancer`.
fn link(balancer: &Namespace, device: &str, far: &Namespace, line: u8) -> Result<()> {
    balancer.ip(&format!("link add {device} type veth peer name balancer netns {}", far.name()))?;
    for (namespace, device, host) in [(balancer, device, 1), (far, "balancer", 2)] {
        namespace.ip(&format!(
            "address add 10.77.{line}.{host}/24 dev {device}\n\
             address add fd77:0:0:{line:x}::{host}/64 dev {device} nodad\n\
             link set {device} addrgenmode none\n\
             link set {device} up\n"
        ))?;
    }
    Ok(())
}

/// Tries rather than looks at capabilities: containers differ in what they let root do.
fn may_administer_networks() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| match Namespace::new("probe") {
        Ok(_probe) => true,
        Err(error) => {
            eprintln!("no network namespaces: {error:#}");
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::{Backend, Behaviour, LinkState, Verdict, client};

    #[test]
    fn both_families_reach_their_backend_and_faults_are_felt() {
        let Some(lab) = Lab::require(2) else { return };
        for (index, far) in lab.backends.iter().enumerate() {
            for ip in [far.v4, far.v6] {
                let address = SocketAddr::new(ip, 9000);
                let _backend =
                    Backend::start_in(&far.namespace, &format!("b{index}"), address, Behaviour::Tag);
                let stream = lab.balancer.enter(|| client::connect(address)).unwrap();
                assert_eq!(client::read_line(&stream).unwrap(), format!("b{index}"));
            }
        }
        let far = lab.backends.first().unwrap();
        let address = SocketAddr::new(far.v4, 9000);
        let brief = Duration::from_millis(200);
        let attempt = || lab.balancer.enter(|| client::connect_within(address, brief)).map(drop);
        let _backend = Backend::start_in(&far.namespace, "b", address, Behaviour::Tag);
        attempt().unwrap();
        far.namespace.filter(9000, Verdict::Drop).unwrap();
        assert_eq!(attempt().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        far.namespace.filter(9000, Verdict::Reject).unwrap();
        assert_ne!(attempt().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        far.namespace.filter(9000, Verdict::Accept).unwrap();
        attempt().unwrap();
        far.namespace.set_link("balancer", LinkState::Down).unwrap();
        attempt().unwrap_err();
    }

    #[test]
    fn a_panic_leaves_no_namespace_behind() {
        let Some(lab) = Lab::require(1) else { return };
        let name = lab.client.name().to_owned();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _lab = lab;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(!std::fs::exists(format!("/run/netns/{name}")).unwrap());
    }

    #[test]
    fn namespaces_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let Some(lab) = Lab::require(0) else { return };
        let mut process = Command::new("true").spawn().unwrap();
        process.wait().unwrap();
        let orphan = format!("sl-{}-orphan", process.id());
        assert!(Command::new("ip").args(["netns", "add", &orphan]).status().unwrap().success());
        Namespace::sweep().unwrap();
        let exists = |name: &str| std::fs::exists(format!("/run/netns/{name}")).unwrap();
        assert!(!exists(&orphan));
        assert!(exists(lab.client.name()));
    }
}
