//! Clients that take their time for the hello, or leave without.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use lb_model::Termination;
use lb_tests::client::PATIENCE;
use lb_tests::{Daemon, End, Hello, client, eventually, observe, process};

use super::{Site, count, greeted, open, sent, served_by, wait_accepted};

#[test]
fn a_client_has_header_timeout_for_its_hello() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"\nheader_timeout = \"300ms\"", &[]));
    let hello = Hello::to("a.example").bytes();
    for length in [0, 1, 100, hello.len() - 1] {
        let stream = sent(site.address(), hello.split_at(length).0);
        assert_eq!(client::read_to_end(&stream), (vec![], End::Reset), "{length} bytes");
        let record = daemon.wait_for_record(stream.local_addr().unwrap());
        assert_eq!((record.reason, record.tries), (Termination::HeaderTimeout, 0));
        assert!(record.duration_us >= 300_000, "{record:?}");
    }
    assert_eq!(count(&daemon, "secure", "header_timeout"), 4.0);
    assert_eq!(site.backend("a").accepted(), 0);
}

/// Catches: a time that every byte begins anew.
#[test]
fn the_time_is_for_the_whole_hello() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"\nheader_timeout = \"500ms\"", &[]));
    let stream = client::connect(site.address()).unwrap();
    for byte in Hello::to("a.example").bytes() {
        // Half a minute for all of it.
        observe(Duration::from_millis(25));
        if (&stream).write_all(&[byte]).is_err() {
            break;
        }
    }
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.reason, Termination::HeaderTimeout);
}

#[test]
fn once_the_hello_is_there_idle_timeout_counts() {
    let site = Site::new(&["a"]);
    let lines =
        |header, idle| format!("pool = \"a\"\nheader_timeout = \"{header}\"\nidle_timeout = \"{idle}\"");
    let daemon = Daemon::start(site.config(&lines("1s", "60s"), &[]));
    let (stream, _) = open(site.address(), &Hello::to("a.example"));
    observe(Duration::from_millis(1500));
    (&stream).write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(&stream, 10).unwrap(), b"still here");

    daemon.reload(site.config(&lines("60s", "1s"), &[]));
    let (stream, _) = open(site.address(), &Hello::to("a.example"));
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.reason, Termination::IdleTimeout);
}

#[test]
fn a_client_that_leaves_before_its_hello_is_whole_is_no_fault_of_ours() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"", &[]));
    let hello = Hello::to("a.example").bytes();
    let part = hello.split_at(100).0;

    let silent = client::connect(site.address()).unwrap();
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&silent), (vec![], End::Reset));
    let record = daemon.wait_for_record(silent.local_addr().unwrap());
    assert_eq!((record.reason, record.error), (Termination::ClientGone, None));

    let halfway = sent(site.address(), part);
    halfway.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&halfway), (vec![], End::Reset));
    let record = daemon.wait_for_record(halfway.local_addr().unwrap());
    assert_eq!(record.reason, Termination::BadHeader);
    let error = "the client ended the connection after 100 bytes of the TLS ClientHello";
    assert_eq!(record.error.as_deref(), Some(error));

    for bytes in [&[][..], part] {
        let stream = sent(site.address(), bytes);
        let client = stream.local_addr().unwrap();
        client::reset(stream);
        let record = daemon.wait_for_record(client);
        // With a part of the hello still unread it depends on what is noticed first.
        let fits = [Termination::ClientGone, Termination::BadHeader].contains(&record.reason);
        assert!(fits && record.tries == 0, "{record:?}");
    }
    assert_eq!(site.backend("a").accepted(), 0);
}

#[test]
fn who_is_on_no_list_is_reset_before_a_word() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"\nallow = [\"127.0.0.2\"]", &[]));
    let ended = client::connect_and_read_to_end("127.0.0.3".parse().unwrap(), site.address()).unwrap();
    assert_eq!(daemon.record_of_refused(&ended).reason, Termination::Denied);
    let stream = client::connect_from("127.0.0.2:0".parse().unwrap(), site.address()).unwrap();
    let hello = Hello::to("a.example").bytes();
    (&stream).write_all(&hello).unwrap();
    assert_eq!(greeted(&stream, &hello), "a");
}

#[test]
fn who_dawdles_counts_towards_the_limit() {
    let site = Site::new(&["a"]);
    let daemon =
        Daemon::start(site.config("pool = \"a\"\nmax_connections = 2\nheader_timeout = \"60s\"", &[]));
    let hello = Hello::to("a.example").bytes();
    let dawdlers = [0, 10].map(|length| sent(site.address(), hello.split_at(length).0));
    wait_accepted(&daemon, "secure", 2);

    let waiting = sent(site.address(), &hello);
    waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!((&waiting).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "there is no room");
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(dawdlers);
    assert_eq!(greeted(&waiting, &hello), "a");
}

#[test]
fn who_dawdles_hinders_nobody() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"\nheader_timeout = \"60s\"", &[]));
    let hello = Hello::to("a.example").bytes();
    let dawdlers: Vec<_> = (0..200).map(|length| sent(site.address(), hello.split_at(length).0)).collect();
    wait_accepted(&daemon, "secure", dawdlers.len());
    // Nor does anybody look at them again and again.
    eventually(PATIENCE, "the daemon sleeps", || process::is_idle(daemon.pid()));
    for _ in 0..20 {
        assert_eq!(served_by(site.address(), &Hello::to("a.example")), "a");
    }
    assert_eq!(site.backend("a").accepted(), 20);
    // They are late, but not lost.
    for (length, stream) in dawdlers.iter().enumerate() {
        (&*stream).write_all(hello.split_at(length).1).unwrap();
        assert_eq!(greeted(stream, &hello), "a");
    }
}
