//! What is defined in two files. (Twice in one file is a syntax error.)

use std::collections::HashMap;

use crate::diagnostic::Problems;
use crate::document::Document;

pub(super) fn check(documents: &[Document<'_>], problems: &mut Problems) {
    for section in ["global", "log", "admin", "listeners", "pools"] {
        let mut first = HashMap::new();
        for document in documents {
            for (key, span) in document.keys_of(section) {
                let place = document.place(&span);
                match first.get(key) {
                    None => {
                        first.insert(key, place);
                    }
                    Some(first) => {
                        let message = format!("defined twice: here ({place}) and at {first}");
                        problems.error(document.diagnostic(span, &message));
                    }
                }
            }
        }
    }
}
