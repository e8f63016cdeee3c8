//! The hash that chooses a backend: the same on every instance, in userspace and in the kernel.
//!
//! It must not depend on the instance: two nodes with the same seed choose alike, whatever their history.
//! Multiply-mix on 64-bit words only, which an eBPF program can compute.

/// The hash of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowHash(u64);

impl FlowHash {
    /// Of an IPv4 tuple; `transport` is its [`transport_word`].
    #[inline(always)]
    pub fn of_tuple_v4(seed: u32, transport: u64, client: u32, local: u32) -> Self {
        let hash = absorb(seed.into(), transport);
        Self(absorb(hash, u64::from(client) << 32 | u64::from(local)))
    }

    /// Of an IPv6 tuple, addresses in halves, the upper first; `transport` is its [`transport_word`].
    #[inline(always)]
    pub fn of_tuple_v6(seed: u32, transport: u64, client: [u64; 2], local: [u64; 2]) -> Self {
        let hash = absorb(seed.into(), transport);
        let ([a, b], [c, d]) = (client, local);
        Self(absorb(absorb(absorb(absorb(hash, a), b), c), d))
    }

    /// Of an IPv4 client alone.
    #[inline(always)]
    pub fn of_client_v4(seed: u32, client: u32) -> Self {
        // Where a tuple has its ports: none.
        Self(absorb(absorb(seed.into(), 0), client.into()))
    }

    /// Of an IPv6 client alone, its address in halves, the upper first.
    #[inline(always)]
    pub fn of_client_v6(seed: u32, client: [u64; 2]) -> Self {
        let [high, low] = client;
        Self(absorb(absorb(absorb(seed.into(), 0), high), low))
    }

    /// The hash as a number.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The place among `len` that this flow gets at its `attempt`-th try: Lemire's multiply-shift instead of a
    /// modulo (<https://arxiv.org/abs/1805.10941>). Further attempts are as good as independent hashes.
    #[inline(always)]
    pub fn place(self, attempt: u32, len: u32) -> u32 {
        let hash = if attempt == 0 { self.0 } else { absorb(self.0, attempt.into()) };
        crate::bits::u32_at((hash >> 32) * u64::from(len), 32)
    }
}

/// Ports and protocol, as a tuple's hash takes them in.
#[inline(always)]
pub fn transport_word(protocol: u8, client_port: u16, local_port: u16) -> u64 {
    u64::from(client_port) << 32 | u64::from(local_port) << 16 | u64::from(protocol)
}

/// Mixes one word into the state: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), a bijection of
/// the word for every state, so that two flows that differ in one word only never collide there.
#[inline(always)]
pub fn absorb(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
