//! Files that include files.

use std::fs;
use std::path::Path;

use lb_model::{AdminSocket, HttpProbe, Probe, TlsVerification};
use tempfile::TempDir;

use super::{MINIMAL, env};
use crate::{ConfigErrors, Loaded};

const LISTENER: &str = "[listeners.web]\nbind = [\"127.0.0.1:8080\"]\nprotocol = \"tcp\"\npool = \"web\"\n";
const POOL: &str = "[pools.web]\nbackends = [\"127.0.0.1:9001\"]\n";

/// A directory with `files` in it.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn load(directory: &TempDir) -> Result<Loaded, ConfigErrors> {
    crate::load(&directory.path().join("sluice.toml"), &env)
}

/// The first lines of all errors, with paths relative to `directory`.
fn error_lines(directory: &TempDir) -> Vec<String> {
    let prefix = format!("{}/", directory.path().display());
    let errors = load(directory).expect_err("there are errors");
    let line = |error: &crate::Diagnostic| error.to_string().lines().next().unwrap().replace(&prefix, "");
    errors.diagnostics().iter().map(line).collect()
}

#[test]
fn tables_may_be_spread_over_files() {
    let directory = directory(&[
        (
            "sluice.toml",
            "version = 1\ninclude = [\"conf.d/*.toml\", \"${NOPE:-extra}/pool.toml\"]\n[global]\nworkers = 2\n",
        ),
        ("conf.d/b.toml", LISTENER),
        ("conf.d/a.toml", "version = 1\n[global]\nhash_seed = 7\n[log]\naccess = false\n"),
        ("conf.d/.b.toml.swp", "= nonsense"),
        ("conf.d/.hidden.toml", "= nonsense"),
        ("extra/pool.toml", POOL),
    ]);
    let loaded = load(&directory).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.config.global.hash_seed, 7);
    assert_ne!(loaded.config.global.workers, crate::default::GLOBAL.workers);
    assert!(!loaded.config.log.access);
    assert_eq!((loaded.config.listeners.len(), loaded.config.pools.len()), (1, 1));
    let directories: Vec<_> =
        loaded.directories.iter().map(|path| path.strip_prefix(directory.path()).unwrap()).collect();
    assert_eq!(directories, ["", "conf.d", "extra"].map(Path::new));
}

#[test]
fn a_file_is_read_once_and_does_not_include_itself() {
    let main = format!("include = [\"*.toml\", \"pool.toml\"]\nversion = 1\n{LISTENER}");
    let directory = directory(&[("sluice.toml", &main), ("pool.toml", POOL)]);
    assert!(load(&directory).is_ok());
}

#[test]
fn duplicates_name_both_places() {
    let main = format!("include = [\"a.toml\"]\n{MINIMAL}[global]\nworkers = 1\n");
    let directory = directory(&[
        ("sluice.toml", &main),
        ("a.toml", &format!("[global]\nworkers = 2\nhash_seed = 1\n{LISTENER}{POOL}")),
    ]);
    assert_eq!(
        error_lines(&directory),
        [
            "a.toml:2:1: global.workers: defined twice: here (a.toml:2:1) and at sluice.toml:10:1",
            "a.toml:4:12: listeners.web: defined twice: here (a.toml:4:12) and at sluice.toml:3:12",
            "a.toml:8:8: pools.web: defined twice: here (a.toml:8:8) and at sluice.toml:7:8",
        ]
    );
}

#[test]
fn overlaps_are_found_across_files() {
    let other = LISTENER.replace("listeners.web", "listeners.b");
    let main = format!("include = [\"a.toml\"]\n{MINIMAL}");
    let directory = directory(&[("sluice.toml", &main), ("a.toml", &other)]);
    assert_eq!(
        error_lines(&directory),
        [
            "a.toml:2:9: listeners.b.bind[0]: 127.0.0.1:8080 of listener b overlaps 127.0.0.1:8080 of listener web at sluice.toml:4:9"
        ]
    );
}

#[test]
fn included_files_include_nothing_and_have_the_same_version() {
    let main = format!("include = [\"a.toml\"]\n{MINIMAL}");
    let directory = directory(&[("sluice.toml", &main), ("a.toml", "version = 3\ninclude = []\n")]);
    assert_eq!(
        error_lines(&directory),
        [
            "a.toml:1:11: version: this release reads version 1 of the file format only",
            "a.toml:2:1: include: only the main file can include others",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_told_at_the_include() {
    let main = format!(
        "version = 1\ninclude = [\"gone.toml\", \"bad.toml\", \"[.toml\", \"**x\", \"dir\"]\n{LISTENER}"
    );
    let directory = directory(&[("sluice.toml", &main), ("dir/file", "")]);
    fs::write(directory.path().join("bad.toml"), b"a = 1\nb = \"\xc3\xa9\xff\"\n").unwrap();
    let lines = error_lines(&directory);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[0].starts_with("sluice.toml:2:12: include[0]: gone.toml: no such file"), "{}", lines[0]);
    assert!(lines[1].starts_with("sluice.toml:2:37: include[2]: bad pattern"), "{}", lines[1]);
    assert!(lines[2].starts_with("sluice.toml:2:47: include[3]: bad pattern"), "{}", lines[2]);
    assert!(lines[3].starts_with("sluice.toml:2:54: include[4]: dir: is a directory"), "{}", lines[3]);
    assert_eq!(lines[4], "bad.toml:2:7: not UTF-8 text from here on");
}

#[test]
fn a_pattern_that_matches_nothing_is_warned_of() {
    let main = format!("include = [\"conf.d/*.toml\"]\n{MINIMAL}");
    let directory = directory(&[("sluice.toml", &main)]);
    let warnings = load(&directory).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].message(), "no file matches; the path is relative to this file");
}

#[test]
fn a_main_file_that_cannot_be_read_is_told_with_what_to_do() {
    let directory = directory(&[]);
    assert_eq!(error_lines(&directory), ["sluice.toml: no such file: pass the configuration with -c FILE"]);
    fs::create_dir(directory.path().join("sluice.toml")).unwrap();
    assert_eq!(error_lines(&directory), ["sluice.toml: is a directory: pass the file in it with -c FILE"]);
}

#[test]
fn odd_directory_names_are_no_patterns() {
    let directory = directory(&[
        ("a[b]*/sluice.toml", &format!("include = [\"c*.toml\"]\nversion = 1\n{LISTENER}")),
        ("a[b]*/c1.toml", POOL),
    ]);
    let loaded = crate::load(&directory.path().join("a[b]*/sluice.toml"), &env).unwrap();
    assert_eq!(loaded.directories, [directory.path().join("a[b]*")].into());
}

#[test]
fn a_text_that_is_no_file_includes_nothing() {
    let errors = crate::parse("demo", &format!("include = [\"a\"]\n{MINIMAL}"), &env).unwrap_err();
    assert!(
        errors.to_string().starts_with("demo:1:1: include: a configuration that is not a file"),
        "{errors}"
    );
}

#[test]
fn paths_are_relative_to_the_file_that_says_them() {
    let pool = "[pools.web]
backends = [\"127.0.0.1:9001\", { address = \"127.0.0.1:9002\", health_check = { type = \"https\", ca_file = \"ca.pem\" } }]
health_check = { type = \"exec\", command = [\"bin/check\", \"a/b\"] }
";
    let main = format!(
        "version = 1\ninclude = [\"conf.d/*.toml\"]\n[global]\nstate_dir = \"state\"\n[admin]\nsocket = \"/run/x.sock\"\n\
         tcp = {{ bind = \"127.0.0.1:9901\", token_file = \"../token\" }}\n{LISTENER}"
    );
    let directory = directory(&[("sluice.toml", &main), ("conf.d/a.toml", pool)]);
    let config = load(&directory).unwrap_or_else(|errors| panic!("{errors}")).config;
    let at = |path: &str| directory.path().join(path);
    assert_eq!(config.global.state_dir, Some(at("state")));
    assert_eq!(config.admin.socket, AdminSocket::Path("/run/x.sock".into()));
    assert_eq!(config.admin.tcp.as_ref().unwrap().token_file, Some(at("../token")));
    let probe = |index: usize| &config.pools[0].backends[index].health_check.as_ref().unwrap().probe;
    let Probe::Exec(exec) = probe(0) else { panic!("{:?}", probe(0)) };
    assert_eq!((&exec.program, &*exec.args), (&at("conf.d/bin/check"), &["a/b".to_owned()][..]));
    let Probe::Http(HttpProbe { tls: Some(tls), .. }) = probe(1) else { panic!("{:?}", probe(1)) };
    assert_eq!(tls.verify, TlsVerification::CaFile(at("conf.d/ca.pem")));

    // Written out, the configuration means the same from anywhere.
    let written = crate::parse("effective", &crate::effective(&config), &env).unwrap();
    assert_eq!(written.config, config);
}

#[test]
fn a_program_without_a_slash_is_looked_for_in_path() {
    let main = format!("{MINIMAL}health_check = {{ type = \"exec\", command = [\"true\"] }}\n");
    let config = load(&directory(&[("sluice.toml", &main)])).unwrap().config;
    let check = config.pools[0].backends[0].health_check.as_ref().unwrap();
    let Probe::Exec(exec) = &check.probe else { panic!("{check:?}") };
    assert_eq!(exec.program, Path::new("true"));
}

#[test]
fn paths_of_a_relative_configuration_are_absolute() {
    // Cargo runs tests in the directory of their package.
    let example = Path::new("fuzz/seeds/config/operate.toml");
    let config = crate::load(example, &env).unwrap_or_else(|errors| panic!("{errors}")).config;
    let AdminSocket::Path(socket) = config.admin.socket else { panic!("{:?}", config.admin.socket) };
    assert!(socket.is_absolute(), "{}", socket.display());
}

#[test]
fn the_admin_api_is_defined_once() {
    let main = format!("version = 1\ninclude = [\"a.toml\"]\n[admin]\nsocket = \"off\"\n{LISTENER}");
    let directory =
        directory(&[("sluice.toml", &main), ("a.toml", &format!("[admin]\nsocket = \"x\"\n{POOL}"))]);
    let lines = error_lines(&directory);
    assert_eq!(lines, ["a.toml:2:1: admin.socket: defined twice: here (a.toml:2:1) and at sluice.toml:4:1"]);
}
