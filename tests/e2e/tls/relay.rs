//! After the hello it is a connection like any other: content arrives, ends are passed on.

use std::io::Write as _;
use std::net::Shutdown;

use lb_model::Termination;
use lb_tests::{
    Authority, Behaviour, Config, Content, Daemon, Digest, End, Hasher, Hello, Loopback, SecureServer, client,
};

use super::{Site, route, secure, sent};

#[test]
fn content_is_intact_through_tls() {
    let at = Loopback::new();
    let authority = Authority::new("authority");
    let names = ["a.example", "b.example"];
    let _servers = [0, 1]
        .map(|index: u16| SecureServer::start(names[usize::from(index)], at.backend(index), &authority));
    let routes = [route(&["a.example"], &[], "a"), route(&["b.example"], &[], "b")];
    let pool = |index| [format!("\"{}\"", at.backend(index))];
    let config = Config::new().pool_of("a", &pool(0), "").pool_of("b", &pool(1), "");
    let daemon = Daemon::start(config.table(&secure("secure", at.port(0), "", &routes)));
    for name in names {
        let stream = client::connect(at.port(0)).unwrap();
        let address = stream.local_addr().unwrap();
        let mut stream = authority.client(stream, name);
        // Its certificate is for this name only.
        assert_eq!(client::read_line(&mut stream).unwrap(), name);
        let (mut content, mut received) = (Content::new(7), Hasher::default());
        for _ in 0..100 {
            let piece = content.take(30_000);
            stream.write_all(&piece).unwrap();
            received.update(&client::read_bytes(&mut stream, piece.len()).unwrap());
        }
        assert_eq!(received.finish(), Digest::of(&Content::new(7).take(3_000_000)));
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(client::read_to_end(&mut stream), (vec![], End::Closed));
        drop(stream);
        let record = daemon.wait_for_record(address);
        assert_eq!((record.reason, record.server_name.as_deref()), (Termination::Finished, Some(name)));
        assert!(record.bytes_in > 3_000_000 && record.bytes_out > 3_000_000, "{record:?}");
    }
}

#[test]
fn a_client_that_has_said_all_is_served() {
    let site = Site::of(Behaviour::CloseFirst, &["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"", &[]));
    // With the hello all is said: both are there before anybody has looked.
    let hello = Hello::to("a.example").bytes();
    let stream = sent(site.address(), &hello);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&stream), (b"a\n".to_vec(), End::Closed));
    assert_eq!(site.backend("a").wait_ended(1), (Digest::of(&hello), End::Closed));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!((record.reason, record.bytes_in), (Termination::Finished, hello.len() as u64));
}

#[test]
fn a_backend_that_has_said_all_still_gets_the_rest() {
    let site = Site::of(Behaviour::CloseFirst, &["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"", &[]));
    let hello = Hello::to("a.example").bytes();
    let stream = sent(site.address(), &hello);
    assert_eq!(client::read_to_end(&stream), (b"a\n".to_vec(), End::Closed));
    let content = Content::new(3).take(5 << 20);
    (&stream).write_all(&content).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let all = [hello, content].concat();
    assert_eq!(site.backend("a").wait_ended(1), (Digest::of(&all), End::Closed));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!((record.reason, record.bytes_in), (Termination::Finished, all.len() as u64));
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let site = Site::of(Behaviour::Reset, &["resets"]);
    let daemon = Daemon::start(site.config("pool = \"resets\"", &[]));
    let stream = sent(site.address(), &Hello::to("a.example").bytes());
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.reason, Termination::BackendReset);

    let site = Site::new(&["a"]);
    let _daemon = Daemon::start(site.config("pool = \"a\"", &[]));
    let hello = Hello::to("a.example").bytes();
    let stream = sent(site.address(), &hello);
    client::read_line(&stream).unwrap();
    client::reset(stream);
    assert_eq!(site.backend("a").wait_ended(1), (Digest::of(&hello), End::Reset));
}
