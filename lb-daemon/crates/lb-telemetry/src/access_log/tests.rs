//! What ends up in the files, and what does not.

use lb_model::AccessLogDestination::File;

use super::*;

#[test]
fn lines_of_several_workers_are_whole_and_none_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let destination = File(home.path().join("access.log"));
    let logs = AccessLogs::default();
    logs.open([&destination]).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let mut lines = logs.lines(&destination).unwrap();
            scope.spawn(move || {
                for line in 0..2000 {
                    lines.add(|out| out.extend_from_slice(format!("{worker} {line}").as_bytes()));
                }
            });
        }
    });
    drop(logs);
    let text = std::fs::read_to_string(home.path().join("access.log")).unwrap();
    let mut seen: Vec<_> = text.lines().collect();
    seen.sort_unstable();
    let mut all: Vec<_> = (0..3).flat_map(|w| (0..2000).map(move |l| format!("{w} {l}"))).collect();
    all.sort_unstable();
    assert!(seen == all);
}

#[test]
fn a_file_that_was_moved_away_is_made_anew_when_it_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let (path, moved) = (home.path().join("a"), home.path().join("a.1"));
    let destination = File(path.clone());
    let logs = AccessLogs::default();
    logs.open([&destination]).unwrap();
    let mut lines = logs.lines(&destination).unwrap();
    lines.add(|out| out.extend_from_slice(b"before"));
    lines.hand_over();
    std::fs::rename(&path, &moved).unwrap_or_else(|error| panic!("{error}"));
    logs.open([&destination]).unwrap();
    lines.add(|out| out.extend_from_slice(b"after"));
    drop((lines, logs));
    assert_eq!(std::fs::read(&moved).unwrap(), b"before\n");
    assert_eq!(std::fs::read(&path).unwrap(), b"after\n");
}

#[test]
fn what_cannot_be_opened_is_named_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (good, bad) = (File(home.path().join("good")), File(home.path().join("none/bad")));
    let logs = AccessLogs::default();
    let error = logs.open([&good, &bad]).unwrap_err().to_string();
    assert!(error.contains("none/bad"), "{error}");
    assert!(logs.lines(&good).is_none());
}

#[test]
fn a_line_is_json_whatever_is_in_it() {
    let mut out = Vec::new();
    let mut json = Json::begin(&mut out);
    json.text("a", b"\"\\\n\x00\xff\xc3\xa9\x7f");
    json.number("b", 7);
    json.display("c", format_args!("x"));
    json.end();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"a\":\"\\\"\\\\\\u000a\\u0000ÿé\u{7f}\",\"b\":7,\"c\":\"x\"}"
    );
}
