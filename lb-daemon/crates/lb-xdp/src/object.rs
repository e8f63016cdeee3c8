//! The compiled programs. They are committed, so that building Sluice takes a stable compiler and nothing else;
//! `cargo xtask ebpf` makes them from lb-ebpf.

/// The object file.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../lb-ebpf/balancer.bpf.o");

/// The programs that measure and try the balancer.
#[cfg(any(test, feature = "testing"))]
pub(crate) static TESTING: &[u8] = aya::include_bytes_aligned!("../../../../lb-ebpf/testing.bpf.o");
