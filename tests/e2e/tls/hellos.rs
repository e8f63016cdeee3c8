//! A hello counts however it comes: its bytes are what it says, not the segments and records that it is cut into.

use std::io::Write as _;

use lb_tests::{Content, Daemon, Hello, client};

use super::{Site, greeted, route, sent, served_by};

/// A daemon that serves `a.example` at `site`.
fn serving(site: &Site) -> Daemon {
    Daemon::start(site.config("", &[route(&["a.example"], &[], "a")]))
}

#[test]
fn byte_by_byte() {
    let site = Site::new(&["a"]);
    let _daemon = serving(&site);
    let hello = Hello::to("a.example").bytes();
    let stream = client::connect(site.address()).unwrap();
    for byte in &hello {
        (&stream).write_all(&[*byte]).unwrap();
    }
    assert_eq!(greeted(&stream, &hello), "a");
}

#[test]
fn in_many_records() {
    let site = Site::new(&["a"]);
    let _daemon = serving(&site);
    for length in [32, 33, 100, 1000] {
        let hello = Hello::to("a.example").in_records_of(length);
        assert_eq!(served_by(site.address(), &hello), "a", "records of {length} bytes");
    }
}

/// Every other hello is cut inside the head of a record.
#[test]
fn in_many_records_and_segments() {
    let site = Site::new(&["a"]);
    let _daemon = serving(&site);
    let hello = Hello::to("a.example").in_records_of(32).bytes();
    for length in [3, 32, 34, 500] {
        let stream = client::connect(site.address()).unwrap();
        for segment in hello.chunks(length) {
            (&stream).write_all(segment).unwrap();
        }
        assert_eq!(greeted(&stream, &hello), "a", "segments of {length} bytes");
    }
}

#[test]
fn of_any_size_up_to_the_limit() {
    let site = Site::new(&["a"]);
    let _daemon = serving(&site);
    // More than a segment of a link; more than two; nearly the limit of 16 KiB.
    for length in [1800, 4000, 16_000] {
        let hello = Hello::to("a.example").about(length);
        assert!(hello.bytes().len() > length - 251);
        assert_eq!(served_by(site.address(), &hello), "a", "{length} bytes");
        let cut = hello.in_records_of(600);
        assert_eq!(served_by(site.address(), &cut), "a", "{length} bytes in several records");
    }
}

#[test]
fn with_more_behind_it() {
    let site = Site::new(&["a"]);
    let daemon = serving(&site);
    for surplus in [1, 5, 60_000] {
        let all = [Hello::to("a.example").bytes(), Content::new(1).take(surplus)].concat();
        let stream = sent(site.address(), &all);
        assert_eq!(greeted(&stream, &all), "a", "{surplus} bytes more");
        let client = stream.local_addr().unwrap();
        drop(stream);
        assert_eq!(daemon.wait_for_record(client).bytes_in, all.len() as u64, "the hello counts, too");
    }
}

/// As when many come at once after a restart: each has its own hello, whichever worker reads it.
#[test]
fn of_many_clients_at_once() {
    let site = Site::new(&["a", "b", "c"]);
    let routes = ["a", "b", "c"].map(|name| route(&[&format!("{name}.example")], &[], name));
    let _daemon = Daemon::start(site.config("", &routes));
    let names = ["a", "b", "c"].iter().cycle().take(90);
    let clients: Vec<_> = names
        .map(|name| {
            let hello = Hello::to(&format!("{name}.example")).bytes();
            let (first, rest) = hello.split_at(hello.len() / 2);
            (name, sent(site.address(), first), rest.to_vec(), hello.clone())
        })
        .collect();
    for (_, stream, rest, _) in &clients {
        (&*stream).write_all(rest).unwrap();
    }
    for (name, stream, _, hello) in &clients {
        assert_eq!(greeted(stream, hello), **name);
    }
}
