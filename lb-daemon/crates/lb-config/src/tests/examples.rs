//! The files in `config/`.

use std::path::{Path, PathBuf};

fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../config");
    let pattern = directory.join("*.toml").display().to_string();
    let mut paths: Vec<_> = glob::glob(&pattern).unwrap().map(Result::unwrap).collect();
    paths.push(directory.join("include/sluice.toml"));
    paths
}

#[test]
fn every_example_loads_without_a_warning_or_a_variable() {
    let examples = examples();
    assert!(examples.len() >= 12, "{examples:?}");
    for path in examples {
        let loaded = crate::load(&path, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(loaded.warnings, [], "{}", path.display());
    }
}

#[test]
fn every_example_says_how_to_run_it_and_runs_unprivileged() {
    for path in examples() {
        let text = std::fs::read_to_string(&path).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let command = format!("sluice run -c {}", path.strip_prefix(root).unwrap().display());
        assert!(text.starts_with('#') && text.contains(&command), "{} lacks {command}", path.display());
        let config = crate::load(&path, &|_| None).unwrap().config;
        for bind in config.listeners.iter().flat_map(|listener| &listener.bind) {
            assert!(bind.ports.first() >= 1024, "{bind} in {}", path.display());
        }
        for backend in config.pools.iter().flat_map(|pool| &pool.backends) {
            assert!(backend.address.ip.is_loopback(), "{} in {}", backend.address, path.display());
        }
    }
}
