//! What the XDP programs and userspace share, on both sides the very same code: the types of the maps, the
//! packet logic, the hashes and the checksums.
//!
//! The way of a packet, top-down: [`balance`] → `parse` → `listener` → `flow` or `pool` → `backend` →
//! `encapsulate`. It is written against two traits, [`Packet`] and [`Tables`], so that it runs in the kernel and
//! in tests alike.
//!
//! Everything that is shared while it changes consists of [`Word`]s: eight bytes are read and written whole. A
//! type named `…Entry` or `…Line` is such memory; the type without the suffix is a value that was read from it.
#![cfg_attr(not(any(test, feature = "host")), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "stable atomics cannot compare and exchange on BPF")
)]

#[cfg(target_endian = "big")]
compile_error!("maps and hashes are defined for little-endian machines");

mod address;
mod atomic;
mod backend;
mod balance;
mod bits;
pub mod checksum;
mod config;
mod control;
mod counter;
mod encapsulate;
pub mod flow;
pub mod flow_hash;
mod header;
#[cfg(any(test, feature = "host"))]
pub mod host;
mod listener;
mod packet;
mod parse;
mod pool;
mod secret;
pub mod testing;
mod track;
mod verdict;

pub use address::{Address, Family, Ports, Protocol, Tuple, V4, V6};
pub use atomic::{LoadOrder, Shared, Word};
pub use backend::{Backend, BackendEntry, BackendIndex, Hop, Mac, Tunnel};
pub use balance::{Tables, balance};
pub use config::{ABI, Config, Tick, Timeouts};
pub use control::{Control, Half, ListenerControl};
pub use counter::{Counter, FlowEvent};
pub use listener::{
    LineFull, Listed, ListenerEntry, ListenerId, ListenerLine, ListenerV4, ListenerV6, PortRange, Service,
    write_table,
};
pub use packet::{Front, Integer, Packet, Window, WindowMut};
pub use pool::{Choice, Pool, PoolEntry, PoolId, RingLine, SLOTS};
pub use secret::Secret;
pub use verdict::{DropReason, PassReason, Verdict};
