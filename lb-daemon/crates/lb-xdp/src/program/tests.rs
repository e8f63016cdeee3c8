//! Packets in, packets out, in the kernel: the same samples that the host's tests have, and the same verdicts,
//! byte for byte.

use std::thread;

use lb_common::flow::{Line, State};
use lb_common::host::{Expected, HostPacket, HostTables, Sample, samples};
use lb_common::{Verdict, balance};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::desired::Standing;
use crate::reconcile::{GRACE, Outcome, Reconciler};
use crate::tests::{ACK, SYN, Tunnels, beginning, desired, memory, pool, segment};

use super::*;

pub(crate) const CAPACITY: Capacity =
    Capacity { flows_v4: 1000, flows_v6: 1000, listeners: 16, pools: 4, backends: 16 };

/// A program in the kernel; `None`, loudly, if that cannot be had and need not be.
pub(crate) fn load() -> Option<Balancer> {
    load_with(CAPACITY)
}

fn settings(capacity: Capacity) -> Settings {
    let seconds = Duration::from_secs;
    let timeouts = FlowTimeouts { new: seconds(30), confirmed: seconds(60), closing: seconds(10) };
    Settings { capacity, tcp: timeouts, udp: timeouts }
}

/// The same with other room.
pub(crate) fn load_with(capacity: Capacity) -> Option<Balancer> {
    let mut state = 1;
    let mut random = || {
        state = lb_common::flow_hash::absorb(state, 1);
        state
    };
    match Balancer::load(&settings(capacity), &mut random) {
        Ok(balancer) => Some(balancer),
        Err(error)
            if rustix::process::geteuid().is_root() || std::env::var_os("SLUICE_REQUIRE_LAB").is_some() =>
        {
            panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
        }
        Err(error) => {
            eprintln!("SKIPPED, this needs root: {error}");
            None
        }
    }
}

/// The program, and the same balancer on the host.
struct Both {
    kernel: Balancer,
    host: HostTables,
}

impl Both {
    fn new(tunnels: Tunnels) -> Option<(Self, Reconciler)> {
        let kernel = load()?;
        let host = HostTables::new(*kernel.config(), CAPACITY.backends.into());
        let (now, desired) = (beginning(), desired(tunnels));
        let mut reconciler = Reconciler::new(&CAPACITY);
        assert_eq!(reconciler.reconcile(kernel.memory(), &desired, now), Ok(Outcome::Applied));
        let mut twin = Reconciler::new(&CAPACITY);
        assert_eq!(twin.reconcile(memory(&host), &desired, now), Ok(Outcome::Applied));
        Some((Self { kernel, host }, reconciler))
    }

    /// Runs a frame through both, which must make the same of it.
    fn run(&mut self, name: &str, frame: &[u8]) -> Verdict {
        let ran = self.kernel.run(frame).unwrap();
        let mut packet = HostPacket::new(frame);
        let verdict = balance(&mut packet, &self.host);
        let action = match verdict {
            Verdict::Drop(_) => 1,
            Verdict::Pass(_) => 2,
            Verdict::Transmit => 3,
            Verdict::Redirect(_) => 4,
        };
        assert_eq!(ran.action, action, "{name}: {verdict:?} on the host");
        assert_eq!(ran.packet, packet.bytes(), "{name}");
        verdict
    }
}

#[test]
fn the_kernel_makes_of_every_sample_what_the_host_makes_of_it() {
    for tunnels in [Tunnels::V4, Tunnels::V6] {
        let Some((mut both, _)) = Both::new(tunnels) else { return };
        for Sample { name, frame, expected } in samples() {
            let verdict = both.run(&name, &frame);
            let expected = match expected {
                Expected::Forward => Verdict::Transmit,
                Expected::Pass(reason) => Verdict::Pass(reason),
                Expected::Drop(reason) => Verdict::Drop(reason),
            };
            assert_eq!(verdict, expected, "{name}");
        }
        for reason in PassReason::ALL {
            assert_eq!(both.kernel.passed(reason).unwrap(), both.host.passed(reason).unwrap());
        }
        for reason in DropReason::ALL {
            assert_eq!(both.kernel.dropped(reason).unwrap(), both.host.dropped(reason).unwrap());
        }
        for index in (0..CAPACITY.backends).map(BackendIndex) {
            assert_eq!(both.kernel.backend(index).unwrap(), both.host.backend(index).unwrap());
        }
    }
}

fn flow_states(lines: &[Line]) -> Vec<State> {
    lines
        .iter()
        .flat_map(Line::ways)
        .map(|seen| seen.entry.state())
        .filter(|&state| state >= State::NEW)
        .collect()
}

#[test]
fn flows_stay_through_a_change_and_leave_a_dead_backend() {
    let Some((both, mut reconciler)) = Both::new(Tunnels::V4) else { return };
    let sent_to =
        |both: &Both, client, flags| both.kernel.run(&segment(client, 40_000, flags)).unwrap().packet[33];
    let before: Vec<u8> = (0..200)
        .map(|client| {
            sent_to(&both, client, SYN);
            sent_to(&both, client, ACK)
        })
        .collect();
    assert!([1, 2, 3].iter().all(|backend| before.contains(backend)), "{before:?}");
    assert!(flow_states(both.kernel.memory().flows_v4).iter().all(|&state| state == State::CONFIRMED));

    // Backend b takes no new flows, but keeps those that it has.
    let mut desired = desired(Tunnels::V4);
    let keeps = desired.pools[0].backends.clone();
    let mut takes = keeps.clone();
    takes[1].standing = Standing::Dead;
    desired.pools[0] = pool("v4", takes.clone());
    desired.pools[0].backends = keeps;
    let later = beginning() + GRACE * 2;
    assert_eq!(reconciler.reconcile(both.kernel.memory(), &desired, later), Ok(Outcome::Applied));
    let drained: Vec<u8> = (0..200).map(|client| sent_to(&both, client, ACK)).collect();
    assert_eq!(drained, before);
    assert!((1000..1200).all(|client| sent_to(&both, client, SYN) != 2));

    // Now it is dead.
    desired.pools[0].backends = takes;
    assert_eq!(reconciler.reconcile(both.kernel.memory(), &desired, later), Ok(Outcome::Applied));
    let after: Vec<u8> = (0..200).map(|client| sent_to(&both, client, ACK)).collect();
    for (before, after) in before.into_iter().zip(after) {
        assert!(if before == 2 { after != 2 } else { after == before }, "{before} became {after}");
    }
}

#[test]
fn the_sweeper_forgets_flows_of_dead_backends_and_counts_the_others() {
    let Some((mut both, mut reconciler)) = Both::new(Tunnels::V4) else { return };
    for client in 0..200 {
        both.kernel.run(&segment(client, 40_000, SYN)).unwrap();
    }
    both.kernel.run(&segment(0, 40_000, ACK)).unwrap();
    let (tick, now) = (both.kernel.clock().now().unwrap(), beginning());
    let [v4, v6] = reconciler.sweep(both.kernel.memory(), &both.kernel, tick, now).unwrap();
    assert_eq!((v4.new, v4.confirmed, v4.closing, v4.forgotten), (199, 1, 0, 0));
    assert_eq!(v4.ways, u64::from(CAPACITY.flow_lines(Family::V4) * Line::WAYS));
    assert_eq!((v6.new, v6.forgotten), (0, 0));
    let mut desired = desired(Tunnels::V4);
    desired.listeners.clear();
    let later = now + GRACE;
    assert_eq!(reconciler.reconcile(both.kernel.memory(), &desired, later), Ok(Outcome::Applied));
    let [v4, _] = reconciler.sweep(both.kernel.memory(), &both.kernel, tick, later).unwrap();
    assert_eq!((v4.new + v4.confirmed, v4.forgotten), (0, 200));
    assert_eq!(both.kernel.run(&segment(0, 40_000, ACK)).unwrap().action, 2, "no listener any more");
}

#[test]
fn the_verifier_looks_at_no_more_than_a_quarter_of_what_it_may() {
    let Some(balancer) = load() else { return };
    if let Some(verified) = balancer.size().unwrap().verified {
        assert!(verified <= 250_000, "{verified}");
    }
}

/// A packet in several buffers, as jumbo frames are, of which the program sees the first.
#[test]
fn a_jumbo_frame_goes_where_the_way_takes_it() {
    let Some((both, mut reconciler)) = Both::new(Tunnels::V4) else { return };
    let mut desired = desired(Tunnels::V4);
    let mut frame = samples().into_iter().find(|sample| sample.name == "IPv4, untagged: UDP").unwrap().frame;
    frame.resize(14 + 8000, 7);
    frame[16..18].copy_from_slice(&8000_u16.to_be_bytes());
    assert_eq!(both.kernel.run(&frame).unwrap().action, 1, "too big for an MTU of 1500");
    for backend in &mut desired.pools[0].backends {
        backend.route.mtu = 9000;
    }
    let later = beginning() + GRACE * 2;
    assert_eq!(reconciler.reconcile(both.kernel.memory(), &desired, later), Ok(Outcome::Applied));
    let ran = both.kernel.run(&frame).unwrap();
    assert_eq!(ran.action, 3);
    assert_eq!((ran.packet.len(), &ran.packet[34..]), (frame.len() + 20, &frame[14..]));
    // Its header says more than there is.
    frame.truncate(14 + 7999);
    assert_eq!(both.kernel.run(&frame).unwrap().action, 1);
}

/// A thread's capabilities are its own: this one gives up all but some, and what it is told must help.
#[test]
fn who_may_not_load_programs_is_told_what_it_takes() {
    let Some(_) = load() else { return };
    let some = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
    for kept in [CapabilitySet::empty(), CapabilitySet::BPF, CapabilitySet::NET_ADMIN, some] {
        let told = || {
            let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
            set_capabilities(None, sets).unwrap();
            Balancer::load(&settings(CAPACITY), &mut || 1).unwrap_err().to_string()
        };
        let told = thread::scope(|scope| scope.spawn(told).join().unwrap());
        for part in ["5.18", "CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "splice"] {
            assert!(told.contains(part), "{kept:?}: {told}");
        }
    }
}
