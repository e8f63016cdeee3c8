//! The compiled programs. They are committed, so that building Sluice takes a stable compiler and nothing else;
//! `cargo xtask ebpf` makes them from lb-ebpf.

/// The object file.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../lb-ebpf/balancer.bpf.o");

/// The programs that measure and try the balancer.
#[cfg(any(test, feature = "testing"))]
pub(crate) static TESTING: &[u8] = aya::include_bytes_aligned!("../../../../lb-ebpf/testing.bpf.o");

/// What loading takes, for those who cannot. Packets of several buffers (`xdp.frags`, bpf_xdp_get_buff_len) came
/// with Linux 5.18; without CAP_PERFMON the verifier refuses the balancer.
pub(crate) const TAKES: &str = "XDP takes Linux 5.18 or newer (tested from 6.1 on), CAP_BPF, CAP_NET_ADMIN and \
                                CAP_PERFMON; the splice data path takes none of these";
