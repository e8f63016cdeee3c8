//! Times of day in UTC.

use std::fmt;
use std::time::Duration;

/// A time since 1970, shown as RFC 3339 has it, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcTime(pub Duration);

/// The same, shown as access logs have it: `10/Oct/2000:13:55:36 +0000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonLogTime(Duration);

impl UtcTime {
    /// As access logs of web servers have it.
    pub fn common_log(self) -> CommonLogTime {
        CommonLogTime(self.0)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0.as_secs() / DAY);
        let (hour, minute, second) = time(self.0.as_secs() % DAY);
        let millis = self.0.subsec_millis();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Display for CommonLogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (year, month, day) = date(self.0.as_secs() / DAY);
        let (hour, minute, second) = time(self.0.as_secs() % DAY);
        let month =
            usize::try_from(month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&"");
        write!(f, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
    }
}

const DAY: u64 = 24 * 60 * 60;

fn time(second: u64) -> (u64, u64, u64) {
    (second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day, of days since 1970: in eras of 400 years, which begin in March (Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, in_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_names() {
        for (second, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
        ] {
            assert_eq!(UtcTime(Duration::from_secs(second)).to_string(), shown);
        }
        let time = UtcTime(Duration::from_millis(971_186_136_007));
        assert_eq!(time.to_string(), "2000-10-10T13:55:36.007Z");
        assert_eq!(time.common_log().to_string(), "10/Oct/2000:13:55:36 +0000");
    }
}
