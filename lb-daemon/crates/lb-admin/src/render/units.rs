//! Quantities, short enough for a table.

/// Bytes, in powers of 1024: `512B`, `1.5KiB`.
pub(super) fn bytes(bytes: u64) -> String {
    scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// How many, exact up to 9999: `1234`, `12.3k`.
pub(super) fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count, 1000, ["", "k", "M", "G", "T", "P", "E"]) }
}

/// One decimal below 100, none above; cut, not rounded, so that nothing looks like more than it is.
fn scaled(value: u64, step: u64, units: [&str; 7]) -> String {
    let mut tenths = u128::from(value) * 10;
    let mut index = 0;
    while tenths >= u128::from(step) * 10 && index + 1 < units.len() {
        tenths /= u128::from(step);
        index += 1;
    }
    let unit = units.get(index).copied().unwrap_or_default();
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if index == 0 || whole >= 100 { format!("{whole}{unit}") } else { format!("{whole}.{tenth}{unit}") }
}

/// A time in the two largest units that it has: `3d 4h`, `5m 10s`, `7s`.
pub(super) fn seconds(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let parts = units.map(|(unit, size)| {
        let count = rest / size;
        rest %= size;
        (count, unit)
    });
    let from_first = parts.iter().skip_while(|(count, _)| *count == 0).take(2);
    let shown: Vec<_> =
        from_first.filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if shown.is_empty() { "0s".into() } else { shown.join(" ") }
}

/// A short time: `0.4ms`, `25ms`, `1.5s`.
pub(super) fn milliseconds(milliseconds: f64) -> String {
    if milliseconds < 10.0 {
        format!("{milliseconds:.1}ms")
    } else if milliseconds < 1000.0 {
        format!("{milliseconds:.0}ms")
    } else {
        format!("{:.1}s", milliseconds / 1000.0)
    }
}

/// A share of 0 to 1: `12.5%`.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.1 => "less than 0.1%".into(),
        percent => format!("{percent:.1}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short_and_never_look_like_more() {
        assert_eq!([0, 1023, 1024, 1536].map(bytes), ["0B", "1023B", "1.0KiB", "1.5KiB"]);
        assert_eq!([1024 * 1024 - 1, 200 << 20, 3 << 30].map(bytes), ["1023KiB", "200MiB", "3.0GiB"]);
        assert_eq!(bytes(u64::MAX), "15.9EiB");
        assert_eq!([0, 9_999, 10_000, 12_399].map(count), ["0", "9999", "10.0k", "12.3k"]);
        assert_eq!([999_999, 1_000_000, u64::MAX].map(count), ["999k", "1.0M", "18.4E"]);
    }

    #[test]
    fn times_have_two_units_at_most() {
        assert_eq!([0, 7, 60, 310, 3_600].map(seconds), ["0s", "7s", "1m", "5m 10s", "1h"]);
        assert_eq!([86_400 + 59, 3 * 86_400 + 4 * 3_600 + 1].map(seconds), ["1d", "3d 4h"]);
        assert_eq!([0.04, 0.35, 25.4, 1500.0].map(milliseconds), ["0.0ms", "0.3ms", "25ms", "1.5s"]);
    }

    #[test]
    fn a_small_share_is_not_none() {
        assert_eq!([0.0, 0.0001, 0.125, 1.0].map(percent), ["0.0%", "less than 0.1%", "12.5%", "100.0%"]);
    }
}
