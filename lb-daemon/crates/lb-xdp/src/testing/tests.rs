//! Several CPUs at once, in the kernel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aya::maps::PerCpuArray;
use lb_common::host::{HostPacket, HostTables, samples};
use lb_common::testing::source;
use lb_common::{BackendIndex, Tick, Verdict, balance};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::capacity::Capacity;
use crate::counters::Counters as _;
use crate::program::tests::{CAPACITY, load, load_with};
use crate::reconcile::{GRACE, Outcome, Reconciler};
use crate::sweep::sweep;
use crate::tests::{ACK, SYN, Tunnels, backend, beginning, desired, memory, pool, segment};

use super::*;

/// Runs one of the programs that race for a line, on two CPUs; look-ups, and how many of them found another
/// flow's backend. Stops when `enough` look-ups were made, or at the first that was wrong.
fn race(name: &str, enough: u64) -> Option<(u64, u64)> {
    load()?;
    let mut object = Ebpf::load(TESTING).unwrap();
    program_mut(&mut object, name).unwrap().load().unwrap();
    let counts = || {
        let map = PerCpuArray::<_, [u64; 2]>::try_from(object.map("RACE_COUNTS").unwrap()).unwrap();
        let cpus = map.get(&0, 0).unwrap();
        cpus.iter().fold((0, 0), |(finds, wrong), [f, w]| (finds + f, wrong + w))
    };
    let racer = || {
        while let (finds, 0) = counts()
            && finds < enough
        {
            run(program(&object, name).unwrap(), &[0; 64], 10_000).unwrap();
        }
    };
    thread::scope(|scope| {
        scope.spawn(racer);
        scope.spawn(racer);
    });
    Some(counts())
}

#[test]
fn racing_cpus_never_take_a_flow_for_another() {
    let Some((finds, wrong)) = race("race", 20_000_000) else { return };
    assert_eq!(wrong, 0, "of {finds}");
    assert!(finds >= 20_000_000);
}

/// Shows that the race above would be lost by a protocol that is almost right.
#[test]
fn without_the_second_read_they_do() {
    let Some((finds, wrong)) = race("race_without_second_read", 2_000_000_000) else { return };
    assert!(wrong > 0, "{finds} look-ups were all right");
}

const FLOWS: u32 = 64;

/// A UDP packet to the samples' listener, as long as a wrapper's.
fn template() -> Vec<u8> {
    let mut frame = samples().into_iter().find(|sample| sample.name == "IPv4, untagged: UDP").unwrap().frame;
    frame.resize(Plan::LENGTH_V4, 0);
    frame
}

/// The balancer itself: two CPUs send packets of 64 flows, a third thread forgets flows all the time, in a table
/// with room for eight. The backends must get exactly the packets of their flows.
#[test]
fn racing_packets_reach_their_own_backends() {
    const PACKETS: u32 = 1 << 20;
    let capacity = Capacity { flows_v4: 1, flows_v6: 1, listeners: 8, pools: 2, backends: 8 };
    let Some(balancer) = load_with(capacity) else { return };
    let host = HostTables::new(*balancer.config(), capacity.backends.into());
    for memory in [balancer.memory(), memory(&host)] {
        let mut reconciler = Reconciler::new(&capacity);
        assert_eq!(reconciler.reconcile(memory, &desired(Tunnels::V4), beginning()), Ok(Outcome::Applied));
    }
    let mut expected = [0; 8];
    for flow in 0..FLOWS {
        let mut frame = template();
        frame[26..30].copy_from_slice(&source(flow).to_ne_bytes());
        let mut packet = HostPacket::new(&frame);
        assert_eq!(balance(&mut packet, &host), Verdict::Transmit);
        // Backend 10.0.0.n has index n - 1.
        expected[usize::from(packet.bytes()[33]) - 1] += u64::from(2 * PACKETS / FLOWS);
    }
    let done = AtomicBool::new(false);
    let send = || {
        let mut wrapper = Wrapper::load().unwrap();
        wrapper.aim(Target::Balancer(&balancer)).unwrap();
        wrapper.set_packets(Family::V4, &template(), FLOWS, Order::Permuted);
        let ran = wrapper.run(Family::V4, PACKETS).unwrap();
        assert_eq!(ran.action, 3);
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for now in (0..=u16::MAX).step_by(1 << 12) {
                    sweep(balancer.memory().flows_v4, Tick(now), |_| true);
                }
            }
        });
        let senders = [scope.spawn(send), scope.spawn(send)];
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let backends = (0..capacity.backends).map(|index| balancer.backend(BackendIndex(index)).unwrap());
    let backends: Vec<_> = backends.collect();
    assert_eq!(backends.iter().map(|counts| counts.packets).collect::<Vec<_>>(), expected);
    let flows: u64 = backends.iter().map(|counts| counts.flows).sum();
    assert!(flows > 1000, "flows came and went: {flows}");
}

/// The last byte of the backend's address to which a segment went.
fn sent_to(balancer: &Balancer, segment: &[u8]) -> u8 {
    let ran = balancer.run(segment).unwrap();
    assert_eq!(ran.action, 3);
    ran.packet[33]
}

#[test]
fn ten_thousand_flows_survive_ten_million_forged_ones_and_a_change() {
    const FLOWS: u32 = 10_000;
    let capacity = Capacity { flows_v4: 20_000, flows_v6: 1, listeners: 8, pools: 2, backends: 8 };
    let Some(balancer) = load_with(capacity) else { return };
    let (mut desired, now) = (desired(Tunnels::V4), beginning());
    let mut reconciler = Reconciler::new(&capacity);
    assert_eq!(reconciler.reconcile(balancer.memory(), &desired, now), Ok(Outcome::Applied));
    let before: Vec<u8> = (0..FLOWS)
        .map(|client| {
            sent_to(&balancer, &segment(client, 40_000, SYN));
            sent_to(&balancer, &segment(client, 40_000, ACK))
        })
        .collect();

    let mut wrapper = Wrapper::load().unwrap();
    wrapper.aim(Target::Balancer(&balancer)).unwrap();
    wrapper.set_packets(Family::V4, &segment(0, 50_000, SYN), 1 << 24, Order::Permuted);
    assert_eq!(wrapper.run(Family::V4, 10_000_000).unwrap().action, 3);
    desired.pools[0] = pool("v4", desired.pools[0].backends[..2].to_vec());
    desired.pools[0].backends.push(backend("c", Tunnels::V4, 3));
    assert_eq!(reconciler.reconcile(balancer.memory(), &desired, now + GRACE * 2), Ok(Outcome::Applied));

    let after: Vec<u8> = (0..FLOWS).map(|client| sent_to(&balancer, &segment(client, 40_000, ACK))).collect();
    let lost = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(lost, 0);
    assert!(
        (0..100).all(|client| sent_to(&balancer, &segment(client, 60_000, ACK)) != 3),
        "c takes no new flows"
    );
}

#[test]
fn another_cpu_finds_the_same_flow() {
    let Some(balancer) = load() else { return };
    let mut desired = desired(Tunnels::V4);
    let mut reconciler = Reconciler::new(&CAPACITY);
    let now = beginning();
    assert_eq!(reconciler.reconcile(balancer.memory(), &desired, now), Ok(Outcome::Applied));
    let on_cpu = |cpu, client, flags| {
        let run = || {
            let mut set = CpuSet::new();
            set.set(cpu);
            sched_setaffinity(None, &set).unwrap();
            sent_to(&balancer, &segment(client, 40_000, flags))
        };
        thread::scope(|scope| scope.spawn(run).join().unwrap())
    };
    if thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("SKIPPED, this needs two CPUs");
        return;
    }
    let before: Vec<u8> = (0..100).map(|client| on_cpu(0, client, SYN)).collect();
    // What Maglev says now is not what it said then.
    desired.pools[0] = pool("v4", desired.pools[0].backends[..2].to_vec());
    desired.pools[0].backends.push(backend("c", Tunnels::V4, 3));
    assert_eq!(reconciler.reconcile(balancer.memory(), &desired, now + GRACE * 2), Ok(Outcome::Applied));
    let after: Vec<u8> = (0..100).map(|client| on_cpu(1, client, ACK)).collect();
    assert_eq!(before, after);
    assert!(before.contains(&3));
}
