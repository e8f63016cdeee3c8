//! Decimal numbers, without signs and white space.

/// The number that is all of `digits`, if it is one and fits.
pub(crate) fn parse_decimal(digits: &[u8]) -> Option<u64> {
    let mut digits = digits.iter();
    let first = digit(*digits.next()?)?;
    digits.try_fold(first, |number, next| number.checked_mul(10)?.checked_add(digit(*next)?))
}

/// Writes the number, without leading zeros.
pub(crate) fn write_decimal(number: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_and_written_as_the_standard_library_does(number: u64, digits in "[0-9]{1,21}") {
            let mut out = b"x".to_vec();
            write_decimal(number, &mut out);
            prop_assert_eq!(out.escape_ascii().to_string(), format!("x{number}"));
            prop_assert_eq!(parse_decimal(&out[1..]), Some(number));
            prop_assert_eq!(parse_decimal(digits.as_bytes()), digits.parse().ok());
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        for wrong in ["", "+1", "-1", " 1", "1 ", "0x1", "1,1", "1.0", "1_000", "18446744073709551616"] {
            assert_eq!(parse_decimal(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(parse_decimal(b"18446744073709551615"), Some(u64::MAX));
    }
}
