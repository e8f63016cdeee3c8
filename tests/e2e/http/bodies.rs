//! Bodies arrive as they were sent, whatever frames them on either side.

use std::process::Command;

use lb_tests::{BodyEnd, Content, Digest, HttpBackend, HttpMessage, chunked, response};

use super::{Site, tag};

const LARGE: usize = 8 << 20;

/// Answers with the digest of the body.
fn digest(request: &HttpMessage) -> Vec<u8> {
    response(200, format!("{:?}", Digest::of(&request.body)).as_bytes())
}

#[test]
fn uploads_arrive_whole_with_a_length_and_in_chunks() {
    let site = Site::start(|at| HttpBackend::answering("b", at, digest), "", "");
    let content = Content::new(1).take(LARGE);
    let expected = format!("{:?}", Digest::of(&content));
    let mut client = site.connect();
    client.send(format!("PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    client.send(&content);
    assert_eq!(client.response().text(), expected);
    // Chunks of many sizes, on the same connection.
    for size in [1 << 20, 70_000, 4096, 1000] {
        // Made before: who takes its time in the midst of a request is given up.
        let body = chunked(&content, size);
        client.send("PUT /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(body);
        assert_eq!(client.response().text(), expected, "{size}");
    }
    // The head and all of the body at once.
    let small = &content[..1000];
    let expected = format!("{:?}", Digest::of(small));
    let head = "PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    assert_eq!(client.exchange([head.as_bytes(), small].concat()).text(), expected);
    let head = "PUT /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let all = [head.as_bytes(), &chunked(small, 7)].concat();
    assert_eq!(client.exchange(all).text(), expected);
}

#[test]
fn downloads_arrive_whole_whatever_frames_them() {
    let content = Content::new(2).take(LARGE);
    let sent = content.clone();
    let site = Site::start(
        move |at| {
            HttpBackend::start("b", at, move |served| {
                while let Some(request) = served.request()? {
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    match request.target() {
                        "/length" => served.send(&response(200, &sent))?,
                        "/chunks" => served.send(&[head.as_bytes(), &chunked(&sent, 5000)].concat())?,
                        "/chunk" => served.send(&[head.as_bytes(), &chunked(&sent, LARGE)].concat())?,
                        _ => {
                            served.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
                            return served.send(&sent);
                        }
                    }
                }
                Ok(())
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    for (target, framing) in [
        ("/length", None),
        ("/chunks", Some("chunked")),
        ("/chunk", Some("chunked")),
        ("/close", Some("chunked")),
    ] {
        let got = client.get(target);
        assert_eq!(got.field("transfer-encoding"), framing, "{target}");
        assert!(got.body == content, "{target}: {} bytes", got.body.len());
    }
    // A client that knows no chunks gets none, and the end of the connection as the end.
    for target in ["/length", "/chunks", "/close"] {
        let got = site.connect().exchange(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(got.field("transfer-encoding"), None, "{target}");
        assert!(got.body == content, "{target}: {} bytes", got.body.len());
    }
}

#[test]
fn curl_gets_what_it_sends() {
    let site =
        Site::start(|at| HttpBackend::answering("b", at, |request| response(200, &request.body)), "", "");
    let content = Content::new(3).take(LARGE);
    let file = site.daemon.home().join("upload");
    std::fs::write(&file, &content).unwrap();
    for options in [vec![], vec!["-H", "Transfer-Encoding: chunked"], vec!["--http1.0"]] {
        let data = format!("@{}", file.display());
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--max-time", "20", "--data-binary", &data])
            .args(&options)
            .arg(site.url("/"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == content, "{options:?}: {} bytes", output.stdout.len());
    }
}

#[test]
fn responses_without_a_body_leave_the_connection_usable() {
    let site = Site::start(
        |at| {
            HttpBackend::answering("b", at, |request| match (request.method(), request.target()) {
                ("HEAD", _) => b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".to_vec(),
                (_, "/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
                (_, "/304") => {
                    b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n".to_vec()
                }
                (_, "/empty") => response(200, b""),
                _ => tag(request),
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.bodiless().field("content-length"), Some("5000"));
    for (target, status) in [("/204", 204), ("/304", 304)] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.bodiless().status(), status);
    }
    assert_eq!(client.get("/empty").body, b"");
    assert_eq!(client.get("/last").text(), "GET /last");
    assert_eq!(site.backend.connections(), 1);
}

#[test]
fn trailers_pass_both_ways() {
    let site = Site::start(
        |at| {
            HttpBackend::answering("b", at, |request| {
                let trailers = &request.trailers;
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailers}\r\n")
                    .into_bytes()
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nX-Sum: 7\r\n\r\n";
    let got = client.exchange(request);
    assert_eq!((got.text().as_str(), got.trailers.as_str()), ("ok", "X-Sum: 7\r\n"));
    assert!(!String::from_utf8_lossy(&site.backend.raw()[0]).contains("x=y"), "extensions are not passed on");
    assert_eq!(client.get("/next").status(), 200);
}

#[test]
fn a_response_that_is_cut_off_does_not_look_whole() {
    for head in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let site = Site::start(
            move |at| {
                HttpBackend::start("b", at, move |served| {
                    served.request()?;
                    served.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nabcde\r\n").as_bytes())
                })
            },
            "",
            "",
        );
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.try_response(BodyEnd::AtClose).unwrap_err();
    }
}
