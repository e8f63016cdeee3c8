//! CRC32c (RFC 4960, appendix B).

/// The polynomial, its lowest bit the highest power.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// Bit by bit: for the some 60 bytes of a header, once for a connection, a table would cost more cache than it
/// saves time.
pub(super) fn crc32c<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    let add_bit = |crc: u32| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    let add_byte = |crc, &byte: &u8| (0..8).fold(crc ^ u32::from(byte), |crc, _bit| add_bit(crc));
    !bytes.into_iter().fold(!0, add_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, sum) in [
            (&[0; 32][..], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (&ascending, 0x46DD_794E),
            (b"123456789", 0xE306_9283),
            (b"", 0),
        ] {
            assert_eq!(crc32c(bytes), sum, "{bytes:?}");
        }
    }
}
