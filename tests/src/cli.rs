//! The `sluice` program: where it is, and runs of it that end by themselves.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::{NamedTempFile, TempDir};

/// The program that is tested: `SLUICE_BIN`, or the one that was built beside this test.
pub fn program() -> PathBuf {
    std::env::var_os("SLUICE_BIN").map_or_else(|| built("sluice"), PathBuf::from)
}

/// A program of this workspace, built beside this test.
pub(crate) fn built(name: &str) -> PathBuf {
    // This is target/PROFILE/deps/e2e-HASH.
    let this = std::env::current_exe().expect("a test knows its own path");
    let directory =
        this.parent().and_then(Path::parent).expect("tests are two levels below the target directory");
    let path = directory.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build -p lb-daemon -p lb-tests`; for sluice, SLUICE_BIN may name another",
        path.display()
    );
    path
}

/// Runs `sluice` with `arguments` to its end.
pub fn sluice<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new(program()).args(arguments).output().expect("running sluice")
}

/// The program for somebody without privileges: for `nobody`, if this process is root, else for its own user.
#[derive(Debug)]
pub struct Unprivileged {
    /// A copy where everybody can read it: the project may be in somebody's home.
    directory: TempDir,
}

impl Unprivileged {
    /// Makes it available.
    #[expect(clippy::new_without_default, reason = "it copies a file")]
    pub fn new() -> Self {
        let open = Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("sluice-").permissions(open).tempdir();
        let directory = directory.expect("making a temporary directory");
        // Not by this process: a child that another test forks meanwhile would have it open for writing, too, and what is
        // open for writing cannot be run (ETXTBSY).
        let copied = Command::new("cp").arg(program()).arg(directory.path().join("sluice")).status();
        assert!(copied.expect("running cp").success(), "copying the program");
        Self { directory }
    }

    /// The words of a command line that runs it; arguments follow.
    pub fn words(&self) -> Vec<OsString> {
        let drop =
            ["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all"];
        let mut words = vec![];
        if rustix::process::geteuid().is_root() {
            words.push("setpriv".into());
            words.extend(drop.map(OsString::from));
        }
        words.push(self.directory.path().join("sluice").into());
        words
    }
}

/// A directory that everybody may write to, as an unprivileged daemon has to.
pub(crate) fn open_directory() -> TempDir {
    let directory =
        tempfile::Builder::new().prefix("sluice-").tempdir().expect("making a temporary directory");
    // Not with the builder: that leaves out what the umask does.
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("it is ours");
    directory
}

/// Writes `text` into a configuration file that everybody may read.
pub fn config_file(text: &str) -> NamedTempFile {
    let readable = Permissions::from_mode(0o644);
    let file = tempfile::Builder::new().prefix("sluice-").suffix(".toml").permissions(readable).tempfile();
    let mut file = file.expect("making a temporary file");
    file.write_all(text.as_bytes()).expect("writing a temporary file");
    file
}

/// A directory for files of a test that the daemon reads, runs or writes.
pub fn folder() -> TempDir {
    open_directory()
}
