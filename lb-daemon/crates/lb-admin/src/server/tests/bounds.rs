//! What a client cannot drag out, and how the server ends.

use super::audit::Lines;
use super::*;

async fn read_to_end(stream: &mut UnixStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

/// Has a request answered on a connection that goes on.
async fn ask_and_keep(stream: &mut UnixStream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"alive\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_comes_is_closed() {
    let running = Running::new(Fake::default());
    for start in ["", "GET /healthz HTTP/1.1\r\nhost:"] {
        let mut stream = running.unix().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        assert!(!read_to_end(&mut stream).await.contains("200 OK"));
    }
    let mut idle = running.unix().await;
    ask_and_keep(&mut idle).await;
    assert_eq!(read_to_end(&mut idle).await, "");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let running = Running::new(Fake::default());
    let request = post("/v1/drain", "{\"pool\": \"web\"}");
    let answer = running.ask(&request[..request.len() - 1]).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"timeout\""), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn a_long_head_is_refused() {
    let running = Running::new(Fake::default());
    let mut stream = running.unix().await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(100_000));
    // The server may close before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    running.client().status().await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let running = Running::new(Fake::default());
    let mut served = Vec::new();
    for _ in 0..Server::MAX_CONNECTIONS {
        let mut stream = running.unix().await;
        ask_and_keep(&mut stream).await;
        served.push(stream);
    }
    let mut waiting = running.unix().await;
    waiting.write_all(get("/healthz").as_bytes()).await.unwrap();
    // Those that are served are answered again, so the server has had its chance to answer the one that waits.
    for stream in &mut served {
        ask_and_keep(stream).await;
    }
    let nothing = waiting.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    drop(served.pop());
    assert!(read_to_end(&mut waiting).await.ends_with("alive\n"));
    running.end().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_cuts_no_command_short() {
    let lines = Lines::collect();
    let running = Running::new(Fake::slow());
    let mut stream = running.unix().await;
    // Kept alive: the server watches for the client's end only where another request may come.
    let reload = post("/v1/reload", "{}").replace("connection: close\r\n", "");
    stream.write_all(reload.as_bytes()).await.unwrap();
    running.fake.reloading.notified().await;
    drop(stream);
    // The server has seen it when it has answered somebody who came later.
    running.client().status().await.unwrap();
    running.fake.let_reload_end();
    // Commands are carried out one after the other: this is answered after the reload has ended.
    running.client().plan().await.unwrap();
    let audit = lines.audit();
    assert!(audit[0].contains("operation=\"reload\" result=\"done\""), "{audit:?}");
    running.end().await;
}

#[tokio::test]
async fn too_many_commands_at_once_are_told_to_come_again() {
    let running = Running::new(Fake::slow());
    let mut reloads = JoinSet::new();
    reloads.spawn(exchange(running.unix().await, post("/v1/reload", "{}")));
    running.fake.reloading.notified().await;
    for _ in 0..=command::QUEUE {
        reloads.spawn(exchange(running.unix().await, post("/v1/reload", "{}")));
    }
    let first = reloads.join_next().await.unwrap().unwrap();
    assert!(first.starts_with("HTTP/1.1 409 ") && first.contains("\"busy\""), "{first}");
    while !reloads.is_empty() {
        running.fake.let_reload_end();
        assert!(reloads.join_next().await.unwrap().unwrap().starts_with("HTTP/1.1 200 "));
    }
    running.end().await;
}

#[tokio::test]
async fn the_end_closes_idle_connections_and_finishes_answers() {
    let running = Running::new(Fake::slow());
    let mut idle = running.unix().await;
    ask_and_keep(&mut idle).await;
    let mut busy = running.unix().await;
    busy.write_all(post("/v1/reload", "{}").as_bytes()).await.unwrap();
    let Running { fake, end, mut server, folder: _kept, .. } = running;
    fake.reloading.notified().await;
    end.send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    fake.let_reload_end();
    assert!(read_to_end(&mut busy).await.starts_with("HTTP/1.1 200 "));
    server.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let running = Running::new(Fake::default());
    let mut stream = running.unix().await;
    // Far more answers than the socket's buffers have room for.
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    stream.write_all(request.as_bytes()).await.unwrap();
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_cannot_stay() {
    let running = Running::new(Fake::default());
    let mut stream = running.unix().await;
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(400)).await;
    let mut answers = String::new();
    let _ = stream.read_to_string(&mut answers).await;
    let count = answers.matches("HTTP/1.1 200 OK").count();
    assert!((1..100).contains(&count), "{count}");
    running.end().await;
}
