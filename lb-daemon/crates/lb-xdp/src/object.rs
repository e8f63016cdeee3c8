//! The compiled programs. They are committed, so that building Sluice takes a stable compiler and nothing else;
//! `cargo xtask ebpf` makes them from lb-ebpf.

/// The object file.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../lb-ebpf/balancer.bpf.o");
