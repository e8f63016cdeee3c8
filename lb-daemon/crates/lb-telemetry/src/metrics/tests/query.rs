//! Just enough of PromQL to see which metrics and labels a text uses.

use std::collections::BTreeSet;

/// A metric that a text uses, with the labels that it is selected by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) labels: BTreeSet<String>,
}

/// The metrics of ours in `text`, which may be a query or anything with queries in it.
pub(super) fn selectors(text: &str) -> BTreeSet<Selector> {
    let names = words(text).filter(|word| word.starts_with("sluice_") || word.starts_with("process_"));
    names
        .map(|metric| {
            let after = &text[offset(text, metric) + metric.len()..];
            let matchers = after.strip_prefix('{').map_or("", matchers);
            Selector { metric: metric.to_owned(), labels: labels_of(matchers) }
        })
        .collect()
}

/// The labels that `text` groups or joins by, and those in `{{templates}}`.
pub(super) fn groupings(text: &str) -> BTreeSet<String> {
    let lists = ["by (", "on (", "group_left (", "group_right ("].into_iter().flat_map(|keyword| {
        text.split(keyword).skip(1).filter_map(|rest| rest.split(')').next()).flat_map(|list| list.split(','))
    });
    let templates =
        text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).filter_map(|template| {
            let template = template.split('|').next()?.trim();
            (!template.starts_with("$value")).then(|| template.trim_start_matches("$labels."))
        });
    lists.chain(templates).map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect()
}

/// Identifiers.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// Where `part` is, which is a part of `text`.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// What is between the braces, of which the first is gone; braces within quotes do not count.
fn matchers(text: &str) -> &str {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == '}' && !quoted
    });
    &text[..end.expect("a closing brace")]
}

/// The words before an operator, outside of quotes.
fn labels_of(matchers: &str) -> BTreeSet<String> {
    let unquoted: Vec<_> = matchers.split('"').step_by(2).collect();
    let labels = unquoted.iter().map(|part| part.trim_matches([',', '=', '~', '!', ' ', '\n']));
    labels.filter(|label| !label.is_empty()).map(str::to_owned).collect()
}

#[test]
fn metrics_and_labels_are_found() {
    let query = r#"sum by (le, pool) (rate(sluice_a_bucket{x="}, y=", z!~"1|2"}[5m])) / on (job) group_left () process_b"#;
    let set = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<BTreeSet<_>>();
    let selector = |metric: &str, labels: &[&str]| Selector { metric: metric.into(), labels: set(labels) };
    assert_eq!(
        selectors(query).into_iter().collect::<Vec<_>>(),
        [selector("process_b", &[]), selector("sluice_a_bucket", &["x", "z"])]
    );
    assert_eq!(groupings(query), set(&["job", "le", "pool"]));
    assert_eq!(
        groupings("{{ $value | humanize }} of {{ $labels.pool }} {{backend}}"),
        set(&["backend", "pool"])
    );
}
