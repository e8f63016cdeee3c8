//! The socket in the file system.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

fn bind(path: &Path) -> Result<Server, BindError> {
    Server::bind(&Admin { socket: AdminSocket::Path(path.to_owned()), tcp: None }, None)
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn is_for_its_owner_only_and_gone_afterwards() {
    let running = Running::new(Fake::default());
    let (folder, socket) = (running.folder.path().to_owned(), running.socket());
    assert_eq!(mode(&socket), 0o600);
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names: std::collections::BTreeSet<_> = names.collect();
    assert_eq!(names, ["admin.sock", "admin.sock.lock"].map(Into::into).into());
    running.client().status().await.unwrap();
    let Running { folder: _kept, end, mut server, .. } = running;
    end.send(()).unwrap();
    server.join_next().await.unwrap().unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn replaces_what_a_dead_process_has_left() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    // Died half way through making its own.
    std::fs::write(folder.path().join("admin.sock.new"), "").unwrap();
    let server = bind(&path).unwrap();
    UnixStream::connect(server.socket().unwrap()).await.unwrap();
}

#[tokio::test]
async fn leaves_a_running_one_alone() {
    let running = Running::new(Fake::default());
    let error = bind(&running.socket()).unwrap_err();
    assert!(error.to_string().contains("another Sluice is running there"), "{error}");
    running.client().status().await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn leaves_anything_else_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    std::fs::write(&path, "precious").unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error, BindError::NotASocket(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn two_that_start_at_once_do_not_both_replace_a_dead_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    let starting = std::fs::File::create(folder.path().join("admin.sock.lock")).unwrap();
    starting.lock().unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    starting.unlock().unwrap();
    bind(&path).unwrap();
}

#[tokio::test]
async fn does_not_remove_the_socket_of_its_successor() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    let first = bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = bind(&path).unwrap();
    drop(first);
    UnixStream::connect(&path).await.unwrap();
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn makes_its_directory() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run/sluice/admin.sock");
    let server = bind(&path).unwrap();
    assert_eq!(mode(path.parent().unwrap()) & 0o700, 0o700);
    assert_eq!(mode(path.parent().unwrap()) & 0o022, 0, "nobody else may put a socket there");
    drop(server);
}

#[tokio::test]
async fn a_path_that_cannot_be_is_an_error_only_if_it_was_asked_for() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let impossible = folder.path().join("file");
    let error = bind(&impossible.join("admin.sock")).unwrap_err().to_string();
    assert!(error.contains("file/admin.sock"), "{error}");
    let too_long = folder.path().join("x".repeat(120));
    assert!(matches!(bind(&too_long).unwrap_err(), BindError::Socket { .. }));
    let server = Server::bind(&Admin::default(), Some(impossible.as_os_str())).unwrap();
    assert_eq!(server.socket(), None);
}

#[test]
fn the_service_manager_has_a_say_in_the_default() {
    let default =
        |directory: Option<&str>| socket_path(&AdminSocket::Default, directory.map(OsStr::new)).unwrap();
    assert_eq!(default(Some("/run/sluice-a")), Path::new("/run/sluice-a/admin.sock"));
    assert_eq!(default(Some("/run/a:/run/b")), Path::new("/run/a/admin.sock"));
    for nothing in [None, Some("")] {
        assert_eq!(default(nothing), Path::new("/run/sluice/admin.sock"));
    }
    assert_eq!(socket_path(&AdminSocket::Off, Some(OsStr::new("/run/sluice"))), None);
}
