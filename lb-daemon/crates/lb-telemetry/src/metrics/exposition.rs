//! The Prometheus text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::metrics::families::{self, Family};
use crate::metrics::histogram::{Distribution, Histogram};
use crate::metrics::{PerWorker, Report};

/// The `Content-Type` of what [`render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes everything that `report` tells, for Prometheus to read.
pub fn render(report: &Report<'_>) -> String {
    let mut text = String::new();
    for family in families::all() {
        (family.samples)(report, &mut Samples { text: &mut text, family, headed: false });
    }
    text
}

/// Where a family's samples go.
pub(crate) struct Samples<'t> {
    text: &'t mut String,
    family: &'static Family,
    /// Whether the family's head is written: it is with the first sample only.
    headed: bool,
}

impl Samples<'_> {
    /// Writes a sample. `labels` are the values of the family's labels, in their order.
    pub(crate) fn put(&mut self, labels: &[&str], value: impl Into<Value>) {
        self.head();
        self.sample("", labels, None, &value.into());
    }

    /// Writes the sum of a histogram over all workers.
    pub(crate) fn put_histogram<T, const BUCKETS: usize>(
        &mut self,
        labels: &[&str],
        sheets: &PerWorker<T>,
        histogram: impl Fn(&T) -> &Histogram<BUCKETS>,
    ) {
        let each = sheets.iter().map(|sheet| histogram(sheet).read());
        if let Some(distribution) = each.reduce(Distribution::merge) {
            self.put_distribution(labels, &distribution);
        }
    }

    /// Writes the samples of a histogram.
    pub(crate) fn put_distribution<const BUCKETS: usize>(
        &mut self,
        labels: &[&str],
        distribution: &Distribution<BUCKETS>,
    ) {
        self.head();
        for (bound, at_most) in distribution.at_most() {
            self.sample("_bucket", labels, Some(&bound.into()), &at_most.into());
        }
        let count = distribution.count().into();
        self.sample("_bucket", labels, Some(&Value::Infinity), &count);
        self.sample("_sum", labels, None, &distribution.sum().into());
        self.sample("_count", labels, None, &count);
    }

    fn head(&mut self) {
        if !self.headed {
            self.headed = true;
            let Family { name, kind, help, .. } = self.family;
            self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
    }

    fn sample(&mut self, suffix: &str, labels: &[&str], le: Option<&Value>, value: &Value) {
        self.write(format_args!("{}{suffix}", self.family.name));
        let mut before = '{';
        for (label, text) in self.family.labels.iter().zip(labels) {
            self.write(format_args!("{before}{label}=\"{}\"", Escaped(text)));
            before = ',';
        }
        if let Some(bound) = le {
            self.write(format_args!("{before}le=\"{bound}\""));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        let _infallible = self.text.write_fmt(text);
    }
}

/// A number as Prometheus reads it: written exactly, though it may be read into a float.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    /// A whole number.
    Whole(u64),
    /// A time, as seconds.
    Seconds(Duration),
    /// More than any number.
    Infinity,
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Whole(truth.into())
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Seconds(duration)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Seconds(duration) if duration.subsec_nanos() == 0 => write!(f, "{}", duration.as_secs()),
            Self::Seconds(duration) => {
                let fraction = format!("{:09}", duration.subsec_nanos());
                write!(f, "{}.{}", duration.as_secs(), fraction.trim_end_matches('0'))
            }
            Self::Infinity => f.write_str("+Inf"),
        }
    }
}

/// A label's value, with what would end it escaped.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a label's value as the format's specification says.
    fn unescape(text: &str) -> Option<String> {
        let mut read = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            read.push(match c {
                '\\' => match chars.next()? {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => return None,
                },
                '"' | '\n' => return None,
                c => c,
            });
        }
        Some(read)
    }

    proptest! {
        #[test]
        fn every_text_survives_as_a_label(text in "([\"\\\\n\n]|\\PC){0,20}") {
            let escaped = Escaped(&text).to_string();
            prop_assert_eq!(unescape(&escaped), Some(text), "{}", escaped);
        }

        #[test]
        fn seconds_are_written_to_the_nanosecond(secs in 0..4_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(secs, nanos);
            let text = Value::from(duration).to_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
            prop_assert_eq!(whole.parse(), Ok(secs));
            prop_assert_eq!(format!("{fraction:0<9}").parse(), Ok(nanos));
        }
    }

    #[test]
    fn numbers_have_no_superfluous_digits() {
        for (micros, text) in [(0, "0"), (100, "0.0001"), (250_000, "0.25"), (60_000_000, "60")] {
            assert_eq!(Value::from(Duration::from_micros(micros)).to_string(), text);
        }
        assert_eq!(Value::from(true).to_string(), "1");
        assert_eq!(Value::from(u64::MAX).to_string(), "18446744073709551615");
    }
}
