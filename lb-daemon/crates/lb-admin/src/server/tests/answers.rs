//! What is asked and what is answered.

use serde_json::{Value, json};

use super::*;
use crate::fake::{plan, status};
use crate::{BackendState, ClientError, ControlError, ErrorCode, NewWeight, Readiness, Target};

fn status_code(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn json_body(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap()
}

/// The code and the message of an error.
fn error(answer: &str) -> (u16, String, String) {
    let error = &json_body(answer)["error"];
    let text = |key: &str| error[key].as_str().unwrap().to_owned();
    (status_code(answer), text("code"), text("message"))
}

fn web(backend: Option<&str>) -> Target {
    Target { pool: "web".into(), backend: backend.map(Into::into) }
}

#[tokio::test]
async fn the_client_gets_the_whole_status() {
    let running = Running::new(Fake::default());
    assert_eq!(running.client().status().await.unwrap(), status());
    assert!(running.client().metrics().await.unwrap().starts_with("sluice_build_info"));
    let overrides = running.client().overrides().await.unwrap();
    assert_eq!(overrides, status().overrides);
    running.end().await;
}

#[tokio::test]
async fn parts_of_the_status_have_paths() {
    let running = Running::new(Fake::default());
    let whole = json_body(&running.ask(&get("/v1/status")).await);
    assert_eq!(json_body(&running.ask(&get("/v1/listeners")).await), whole["listeners"]);
    assert_eq!(json_body(&running.ask(&get("/v1/pools")).await), whole["pools"]);
    assert_eq!(json_body(&running.ask(&get("/v1/pools/web")).await), whole["pools"][1]);
    assert_eq!(json_body(&running.ask(&get("/v1/pools/w%65b")).await), whole["pools"][1], "escaped");
    assert_eq!(whole["pools"][1]["backends"][0]["state"], "active");
    assert!(whole["pools"][1]["backends"][0].get("override").is_none(), "absent, not null");
    let document = json_body(&running.ask(&get("/v1/openapi.json")).await);
    assert_eq!(document["openapi"], "3.1.0");
    running.end().await;
}

#[tokio::test]
async fn commands_answer_with_what_they_changed() {
    let running = Running::new(Fake::default());
    let client = running.client();
    let drained = client.drain(&web(Some("web1"))).await.unwrap();
    assert_eq!(drained.backends.len(), 1);
    assert_eq!((drained.backends[0].state, drained.backends[0].connections), (BackendState::Draining, 3));
    assert!(!drained.persisted);
    let all = client.undrain(&web(None)).await.unwrap();
    assert!(all.backends.iter().all(|backend| backend.state == BackendState::Active));
    assert_eq!(all.backends.len(), 4);
    let weight = |weight| NewWeight { pool: "web".into(), backend: Some("web1".into()), weight };
    assert_eq!(client.set_weight(&weight(Some(0))).await.unwrap().backends[0].weight, 0);
    assert_eq!(client.set_weight(&weight(None)).await.unwrap().backends[0].weight, 10);
    assert_eq!(client.plan().await.unwrap(), plan());
    let reloaded = client.reload().await.unwrap();
    assert_eq!((reloaded.generation, reloaded.changed, reloaded.plan), (8, true, plan()));
    running.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let running = Running::new(Fake::default());
    let (status, code, message) = error(&running.ask(&get("/v1/pools/wbe")).await);
    assert_eq!((status, code.as_str()), (404, "not_found"));
    assert_eq!(message, "there is no pool \"wbe\"; there are: api, web");
    let (status, _, message) = error(&running.ask(&get("/v1/nothing")).await);
    assert!(status == 404 && message.contains("/v1/openapi.json"), "{message}");
    let target = Target { pool: "wbe".into(), backend: None };
    let ClientError::Refused(error) = running.client().drain(&target).await.unwrap_err() else {
        unreachable!()
    };
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::NotFound, "there is no pool \"wbe\""));
    running.end().await;
}

#[tokio::test]
async fn reading_changes_nothing_and_changing_is_post() {
    let running = Running::new(Fake::default());
    for (request, allow) in [(get("/v1/drain"), "POST"), (post("/v1/status", "{}"), "GET,HEAD")] {
        let answer = running.ask(&request).await;
        let (status, code, _) = error(&answer);
        assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
        assert!(answer.contains(&format!("\r\nallow: {allow}\r\n")), "{answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn bodies_that_are_not_as_expected_change_nothing() {
    let running = Running::new(Fake::default());
    let cases = [
        ("/v1/drain", "{\"pool\": \"web\"", 400, "EOF"),
        ("/v1/drain", "{}", 400, "missing field `pool`"),
        ("/v1/drain", "{\"pool\": \"web\", \"backends\": \"web1\"}", 400, "unknown field `backends`"),
        ("/v1/weight", "{\"pool\": \"web\"}", 400, "missing field `weight`"),
        ("/v1/weight", "{\"pool\": \"web\", \"weight\": 65536}", 400, "65536"),
        ("/v1/reload", "{\"force\": true}", 400, "unknown field `force`"),
        ("/v1/reload", "", 400, "EOF"),
    ];
    for (path, body, status, text) in cases {
        let (got, _, message) = error(&running.ask(&post(path, body)).await);
        assert!(got == status && message.contains(text), "{path} {body}: {got} {message}");
    }
    let form = running.ask(&post_as("application/x-www-form-urlencoded", "/v1/reload", "{}")).await;
    assert_eq!(error(&form).1, "unsupported_media_type");
    let charset = running.ask(&post_as("application/json; charset=utf-8", "/v1/plan", "{}")).await;
    assert_eq!(status_code(&charset), 200);
    running.end().await;
}

#[tokio::test]
async fn a_long_body_is_refused_whether_or_not_it_says_how_long() {
    let running = Running::new(Fake::default());
    let long = format!("{{\"pool\": \"{}\"}}", "x".repeat(64 * 1024));
    assert_eq!(error(&running.ask(&post("/v1/drain", &long)).await).1, "too_large");
    let chunk = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let head =
        "POST /v1/drain HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}");
    assert_eq!(error(&running.ask(&chunked).await).1, "too_large");
    running.end().await;
}

#[tokio::test]
async fn a_refused_configuration_is_told_line_by_line_and_the_old_one_stays() {
    let errors = "sluice.toml:1:1: one\n\nsluice.toml:2:1: two";
    let running = Running::new(Fake::failing(ControlError::Refused(errors.into())));
    let (status, code, message) = error(&running.ask(&post("/v1/reload", "{}")).await);
    assert_eq!((status, code.as_str()), (422, "invalid"));
    assert_eq!(message, format!("{errors}\n\nthe old configuration stays"));
    let told = running.client().reload().await;
    assert_eq!(running.client().reload().await.unwrap_err().to_string(), told.unwrap_err().to_string());
    running.end().await;
}

#[tokio::test]
async fn errors_of_the_daemon_have_their_status() {
    let cases = [
        (ControlError::Invalid("no".into()), 422, "invalid", ""),
        (ControlError::Busy, 409, "busy", ""),
        (ControlError::Failed("disk full".into()), 500, "failed", "; the old configuration stays"),
    ];
    for (cause, status, code, rest) in cases {
        let running = Running::new(Fake::failing(cause.clone()));
        let answer = error(&running.ask(&post("/v1/reload", "{}")).await);
        assert_eq!(answer, (status, code.to_owned(), format!("{cause}{rest}")));
        running.end().await;
    }
}

#[tokio::test]
async fn readiness_follows_the_process_and_health_does_not() {
    let running = Running::new(Fake::default());
    for (readiness, status, text) in [
        (Readiness::Starting, 503, "starting\n"),
        (Readiness::Ready, 200, "ready\n"),
        (Readiness::Draining, 503, "draining\n"),
    ] {
        *running.fake.readiness.lock().unwrap() = readiness;
        let answer = running.ask(&get("/readyz")).await;
        assert_eq!((status_code(&answer), body(&answer)), (status, text));
        assert_eq!(status_code(&running.ask(&get("/healthz")).await), 200);
    }
    running.end().await;
}

#[tokio::test]
async fn curl_speaks_it_too() {
    let running = Running::new(Fake::default());
    let curl = tokio::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--json",
            "{\"pool\": \"web\", \"backend\": \"web1\"}",
            "--unix-socket",
        ])
        .arg(running.socket())
        .arg("http://sluice/v1/drain")
        .output();
    match curl.await {
        Ok(output) => {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["backends"][0]["state"], json!("draining"));
        }
        Err(error) => eprintln!("skipped: no curl here ({error})"),
    }
    running.end().await;
}

#[tokio::test]
async fn the_client_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    let missing = Client::unix(&path).status().await.unwrap_err();
    assert!(matches!(&missing, ClientError::NotRunning(at) if *at == path), "{missing}");
    assert!(missing.to_string().starts_with("is Sluice running?"), "{missing}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let stale = Client::unix(&path).status().await.unwrap_err();
    assert!(matches!(stale, ClientError::NotRunning(_)), "{stale}");
}

#[tokio::test]
async fn the_client_knows_a_stranger() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    let client = Client::unix(&path);
    let stranger = tokio::net::UnixListener::bind(&path).unwrap();
    for (answer, text) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "missing field"),
        ("HTTP/1.1 418 Teapot\r\ncontent-length: 0\r\n\r\n", "418"),
        ("SSH-2.0-x\r\n", "admin.sock: "),
        ("", "admin.sock: "),
    ] {
        let serve = async {
            let (mut stream, _) = stranger.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (error, ()) = tokio::join!(client.status(), serve);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(text), "{answer:?}: {error}");
    }
}
