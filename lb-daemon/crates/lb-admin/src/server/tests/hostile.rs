//! Bytes from outside: the server answers or closes, and goes on.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::audit::Peer;
use crate::route::ROUTES;

/// Serves `bytes` as all that a client sends, in this task: a panic would be the test's.
async fn throw(bytes: &[u8]) -> Vec<u8> {
    let (commands, orders) = command::queue();
    let fake = Arc::new(Fake::default());
    let routes = TowerToHyperService::new(api::router(Arc::clone(&fake), commands));
    let (mut client, server) = UnixStream::pair().unwrap();
    let (_ending, ended) = watch::channel(());
    let peer = Peer::Local { uid: 0, gid: 0, pid: None };
    let throw = async {
        // The server may close before it has read everything.
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        answer
    };
    let serve = connection::serve(server, peer, None, routes, ended);
    tokio::join!(throw, serve, orders.carry_out(&*fake)).0
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Requests that are nearly right.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let path = prop_oneof![
        prop::sample::select(ROUTES.map(|route| route.path.to_owned()).to_vec()),
        "/v1/pools/[ -~]{0,20}",
        "[ -~]{0,30}",
    ];
    let method =
        prop_oneof![Just("GET"), Just("POST"), Just("HEAD"), Just("PUT"), Just("CONNECT"), Just("x")];
    let body = prop_oneof![
        Just("{}".to_owned()),
        Just("{\"pool\": \"web\", \"backend\": null, \"weight\": 3}".to_owned()),
        "[\\[\\]{}\",:0-9a-z]{0,40}",
        "\\PC{0,40}",
    ];
    let length = prop_oneof![Just(None), Just(Some("chunked".to_owned())), "[0-9]{1,30}".prop_map(Some),];
    (method, path, body, length, "[ -~]{0,20}").prop_map(|(method, path, body, length, header)| {
        let length = match length.as_deref() {
            None => format!("content-length: {}", body.len()),
            Some("chunked") => "transfer-encoding: chunked".to_owned(),
            Some(wrong) => format!("content-length: {wrong}"),
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-type: application/json");
        format!("{head}\r\n{length}\r\n\r\n{body}").into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_are_answered_or_refused(bytes: Vec<u8>) {
        let answer = runtime().block_on(throw(&bytes));
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    }

    #[test]
    fn nearly_right_requests_are_answered_or_refused(
        requests in prop::collection::vec(request(), 1..4),
        flip: prop::sample::Index,
        byte: Option<u8>,
    ) {
        let mut bytes = requests.concat();
        if let Some(byte) = byte {
            let index = flip.index(bytes.len());
            bytes[index] = byte;
        }
        let answer = runtime().block_on(throw(&bytes));
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    }
}

#[tokio::test]
async fn the_server_survives_what_it_cannot_read() {
    let running = Running::new(Fake::default());
    let mut stream = running.unix().await;
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    running.client().status().await.unwrap();
    running.end().await;
}
