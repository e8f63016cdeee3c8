//! Which bytes may stand where (RFC 9110 §5, RFC 9112 §3.2), and fast ways to find those that may not.

/// Whether this is a field name: a token (RFC 9110 §5.6.2).
pub fn is_field_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_prefix(bytes) == bytes.len()
}

/// Whether this is a field value (RFC 9110 §5.5): visible characters, and between them spaces and tabs. Bytes of
/// 0x80 and above are accepted and passed on as they are (obs-text). May be empty.
pub fn is_field_value(bytes: &[u8]) -> bool {
    text_prefix(bytes) == bytes.len() && trim_start(trim_end(bytes)).len() == bytes.len()
}

/// How many bytes from the start can be in a token.
pub(crate) fn token_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len())
}

/// How many bytes there are in front of the first colon, space or control character: no name is longer.
#[inline]
pub(crate) fn name_prefix(bytes: &[u8]) -> usize {
    prefix(bytes, |word| below(word, b'!') | equal(word, b':'), |byte| byte > b' ' && byte != b':')
}

/// How many bytes from the start can be in a field value or a reason phrase: all but controls, the tab excepted.
#[inline]
pub(crate) fn text_prefix(bytes: &[u8]) -> usize {
    prefix(
        bytes,
        |word| below(word, b' ') | equal(word, DEL),
        |byte| byte == b'\t' || byte >= b' ' && byte != DEL,
    )
}

/// How many bytes from the start can be in a request target. That is all of visible ASCII, as clients do not encode
/// what they should, but no `#`: some servers end the target there, others do not.
pub(crate) fn target_prefix(bytes: &[u8]) -> usize {
    prefix(
        bytes,
        |word| below(word, b'!') | equal(word, b'#') | equal(word, DEL) | word & HIGH,
        |byte| matches!(byte, b'!'..=b'~') && byte != b'#',
    )
}

/// The first `at` bytes, of which there are so many, and the rest.
pub(crate) fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// Without the spaces and tabs at its start.
pub(crate) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the spaces and tabs at its end.
pub(crate) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), without white space around them; empty ones are skipped.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(|element| trim_start(trim_end(element)))
        .filter(|element| !element.is_empty())
}

/// What a hexadecimal digit stands for.
pub(crate) fn hex_digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    while let [byte, behind @ ..] = rest {
        table[*byte as usize] = true;
        rest = behind;
    }
    table
};

const DEL: u8 = 0x7f;

/// The lowest bit of every byte of a word.
const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
/// The highest.
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// How many bytes from the start satisfy `accept`, looked at a word at a time: `suspects` has the high bit set in the
/// first byte that does not. It may have it set before, in bytes that do, and behind.
#[inline]
fn prefix(bytes: &[u8], suspects: impl Fn(u64) -> u64, accept: impl Fn(u8) -> bool) -> usize {
    let mut rest = bytes;
    loop {
        while let Some((word, behind)) = rest.split_first_chunk() {
            let suspects = suspects(u64::from_le_bytes(*word));
            if suspects != 0 {
                rest = split(rest, suspects.trailing_zeros() as usize / 8).1;
                break;
            }
            rest = behind;
        }
        match rest {
            [first, behind @ ..] if accept(*first) => rest = behind,
            _ => return bytes.len() - rest.len(),
        }
    }
}

/// The high bit of every byte that is less than `limit`, which is at most 0x80. Behind the first such byte there may be
/// more.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(LOW * limit as u64) & !word & HIGH
}

/// The high bit of every byte that is `byte`. Behind the first such byte there may be more.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (LOW * byte as u64), 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every byte at every place of a word.
    fn agree(prefix: impl Fn(&[u8]) -> usize, accept: impl Fn(u8) -> bool, filler: u8) {
        for length in 0..20 {
            assert_eq!(prefix(&vec![filler; length]), length);
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![filler; length];
                    bytes[at] = byte;
                    let expected = if accept(byte) { length } else { at };
                    assert_eq!(prefix(&bytes), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn each_byte_is_judged_wherever_it_stands() {
        agree(token_prefix, |byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte), b'a');
        agree(text_prefix, |byte| byte == b'\t' || byte >= 0x20 && byte != 0x7f, b'a');
        agree(text_prefix, |byte| byte == b'\t' || byte >= 0x20 && byte != 0x7f, b'\t');
        agree(target_prefix, |byte| byte.is_ascii_graphic() && byte != b'#', b'/');
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_as_one_by_one(bytes: Vec<u8>) {
            let is_text = |byte: &u8| *byte == b'\t' || *byte >= 0x20 && *byte != 0x7f;
            let is_target = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
            prop_assert_eq!(text_prefix(&bytes), bytes.iter().take_while(|byte| is_text(byte)).count());
            prop_assert_eq!(target_prefix(&bytes), bytes.iter().take_while(|byte| is_target(byte)).count());
        }
    }

    #[test]
    fn names_and_values_for_edits() {
        assert!(is_field_name(b"X-Forwarded-For") && is_field_name(b"_"));
        for wrong in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
            assert!(!is_field_name(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(is_field_value(b"") && is_field_value(b"a \t b") && is_field_value("\u{e9}".as_bytes()));
        for wrong in [" a", "a ", "\ta", "a\r\nb: c", "a\nb", "a\0"] {
            assert!(!is_field_value(wrong.as_bytes()), "{wrong:?}");
        }
    }

    #[test]
    fn lists_have_no_empty_elements() {
        let list = |bytes| {
            elements(bytes).map(<[u8]>::escape_ascii).map(|text| text.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(list(b" ,a ,\tb,, c d,"), ["a", "b", "c d"]);
        assert_eq!(list(b""), [""; 0]);
    }
}
