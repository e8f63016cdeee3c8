//! What people see, line by line. `SLUICE_BLESS=1 cargo test -p lb-admin` writes the snapshots again.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::fake::{plan, status};
use crate::{Changed, Plan};

const WIDE: Style = Style { color: false, width: None };

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render/snapshots").join(name);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}: not what the snapshot says; SLUICE_BLESS=1 writes it again");
}

#[test]
fn status_on_a_wide_terminal() {
    compare("status_wide.txt", &status_table(&status(), WIDE));
}

#[test]
fn status_on_80_columns() {
    let text = status_table(&status(), Style { width: Some(80), ..WIDE });
    compare("status_80.txt", &text);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn status_in_colour_is_the_same_text() {
    let text = status_table(&status(), Style { color: true, ..WIDE });
    compare("status_color.txt", &text);
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.push_str(parts.next().unwrap());
    parts.for_each(|part| plain.push_str(part.split_once('m').unwrap().1));
    assert_eq!(plain, status_table(&status(), WIDE));
}

#[test]
fn a_fresh_start_shows_only_what_there_is() {
    let mut status = status();
    status.last_reload = None;
    status.discovery.clear();
    status.pools.truncate(1);
    status.pools[0].backends.clear();
    status.listeners.clear();
    compare("status_empty.txt", &status_table(&status, WIDE));
}

#[test]
fn a_plan_and_an_empty_one() {
    compare("plan.txt", &plan_text(&plan(), WIDE));
    assert_eq!(plan_text(&Plan::default(), WIDE), "nothing would change\n");
}

#[test]
fn what_a_command_has_changed() {
    let pool = status().pools.swap_remove(0);
    let mut changed = Changed {
        pool: pool.name,
        backends: pool.backends,
        persisted: false,
        problem: Some("there is no state_dir".into()),
    };
    compare("changed.txt", &changed_text(&changed, WIDE));
    changed.persisted = true;
    assert!(!changed_text(&changed, WIDE).contains("ends with"));
}

proptest! {
    #[test]
    fn no_text_reaches_the_terminal_as_a_command(text in ".*", width in 0usize..200) {
        let mut status = status();
        status.pools[0].backends[0].reason = Some(text.clone());
        status.pools[0].backends[0].zone = Some(text.clone());
        status.discovery[0].state = text.clone();
        status.config_file = text;
        let shown = status_table(&status, Style { color: false, width: Some(width) });
        prop_assert!(shown.lines().all(|line| line.chars().count() <= width), "{shown}");
        prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        // A header, a failed reload, a note, 3 sections with gaps: nothing adds a line.
        prop_assert_eq!(shown.lines().count(), status_table(&crate::fake::status(), WIDE).lines().count());
    }
}
