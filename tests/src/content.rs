//! What is sent, and proof that it is what arrives.

use std::fmt;
use std::sync::OnceLock;

/// Length of the repeated table: a prime, so that no power of two that anybody uses as a buffer size is a multiple of
/// it, and blocks that are lost, doubled or swapped always change the content.
const PERIOD: usize = 1_048_573;

/// An endless stream of pseudo-random bytes; different seeds give different streams.
#[derive(Debug, Clone)]
pub struct Content {
    position: usize,
}

impl Content {
    /// The stream number `seed`, from its beginning.
    pub fn new(seed: u64) -> Self {
        // An odd stride spreads neighbouring seeds over the whole table.
        let start = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % PERIOD as u64;
        Self { position: usize::try_from(start).expect("less than PERIOD") }
    }

    /// The next bytes, at most `most` of them and at least one (unless `most` is 0).
    pub fn next_slice(&mut self, most: u64) -> &'static [u8] {
        let rest = table().get(self.position..).unwrap_or_default();
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(rest.len()).min(64 * 1024);
        self.position = (self.position + length) % PERIOD;
        rest.get(..length).unwrap_or_default()
    }

    /// The next `length` bytes in one piece.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            bytes.extend_from_slice(self.next_slice((length - bytes.len()) as u64));
        }
        bytes
    }
}

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut bytes = vec![0; PERIOD];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    })
}

/// How many bytes there were, and their hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Number of bytes.
    pub bytes: u64,
    hash: blake3::Hash,
}

impl Digest {
    /// Length of a digest on the wire.
    pub const WIRE_LEN: usize = 40;

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The form in which one end tells the other.
    pub fn to_wire(self) -> [u8; Self::WIRE_LEN] {
        let mut wire = [0; Self::WIRE_LEN];
        let (bytes, hash) = wire.split_at_mut(8);
        bytes.copy_from_slice(&self.bytes.to_be_bytes());
        hash.copy_from_slice(self.hash.as_bytes());
        wire
    }

    /// Reverse of [`Self::to_wire`].
    pub fn from_wire(wire: &[u8; Self::WIRE_LEN]) -> Self {
        let (bytes, hash) = wire.split_first_chunk().expect("8 of 40 bytes");
        let hash: [u8; 32] = hash.try_into().expect("32 bytes are left");
        Self { bytes: u64::from_be_bytes(*bytes), hash: hash.into() }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, hash {:.12}", self.bytes, self.hash.to_hex())
    }
}

/// Makes a [`Digest`] piece by piece.
#[derive(Debug, Default)]
pub struct Hasher {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Hasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    /// Number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all bytes so far.
    pub fn finish(&self) -> Digest {
        Digest { bytes: self.bytes, hash: self.hasher.finalize() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_does_not_depend_on_how_it_is_cut() {
        let whole = Content::new(7).take(3 * PERIOD);
        let mut pieces = Content::new(7);
        let mut cut = Vec::new();
        for size in (1..).map(|n| n * 97 % 70_000) {
            if cut.len() == whole.len() {
                break;
            }
            cut.extend_from_slice(pieces.next_slice(size.min((whole.len() - cut.len()) as u64)));
        }
        assert!(cut == whole);
    }

    #[test]
    fn seeds_differ_and_digests_survive_the_wire() {
        let digest = |seed| Digest::of(&Content::new(seed).take(1000));
        assert_ne!(digest(1), digest(2));
        assert_eq!(Digest::from_wire(&digest(1).to_wire()), digest(1));
    }
}
