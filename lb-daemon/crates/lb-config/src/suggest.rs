//! "Did you mean …?"

/// The candidate that `word` was most probably meant to be: one that at most a third of the letters tell apart, where
/// two letters in the wrong order count as one.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| {
        let distance = strsim::damerau_levenshtein(word, candidate);
        let length = word.chars().count().max(candidate.chars().count());
        (distance <= length / 3).then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| near(&candidate).map(|distance| (distance, candidate)))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// A tail for a message: `; did you mean "web"?`, or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map_or_else(String::new, |found| format!("; did you mean \"{found}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_close() {
        let keys = ["bind", "protocol", "pool", "max_connections"];
        assert_eq!(closest("bnid", keys), Some("bind"));
        assert_eq!(closest("max_connection", keys), Some("max_connections"));
        assert_eq!(closest("pol", keys), Some("pool"));
        assert_eq!(closest("wbe", ["web", "mail"]), Some("web"));
        assert_eq!(closest("tpc", ["tcp"]), Some("tcp"));
        assert_eq!(closest("timeout", keys), None);
        assert_eq!(did_you_mean("x", keys), "");
    }
}
