//! Bytes as text: `"00 ff"`.

use std::fmt;
use std::str::FromStr;

/// Bytes in hexadecimal. Spaces between them are for the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

/// Why a text is no bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidHex(String);

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a byte in hexadecimal; expected two digits for each, for example \"00 ff\"",
            self.0
        )
    }
}

impl FromStr for Hex {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Self, InvalidHex> {
        let digits: Vec<char> = text.chars().filter(|&c| c != ' ').collect();
        let byte = |pair: &[char]| match *pair {
            [high, low] => u8::try_from(high.to_digit(16)? << 4 | low.to_digit(16)?).ok(),
            _ => None,
        };
        let bytes = digits.chunks(2).map(|pair| byte(pair).ok_or_else(|| InvalidHex(pair.iter().collect())));
        bytes.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_pairs_of_digits() {
        for text in ["00ffA0", "00 ff a0", " 00 FF a 0 "] {
            assert_eq!(text.parse(), Ok(Hex(vec![0x00, 0xff, 0xa0])), "{text}");
        }
        let message = |text: &str| text.parse::<Hex>().unwrap_err().to_string();
        assert!(message("00f").starts_with("\"f\" is not a byte in hexadecimal"));
        assert!(message("0x00").starts_with("\"0x\" is not a byte"));
        assert!(message("+1").starts_with("\"+1\" is not a byte"));
    }

    proptest! {
        #[test]
        fn round_trips(bytes: Vec<u8>) {
            prop_assert_eq!(Hex(bytes.clone()).to_string().parse(), Ok(Hex(bytes)));
        }
    }
}
