//! What a real connection shows of its first bytes, and how it hears the last ones.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A client's end and the server's.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    (client, listener.accept().await.unwrap().0)
}

fn worker() -> Worker {
    Worker::new(0, 1, Arc::new(()))
}

/// A line, and how it was cut.
fn line(bytes: &[u8]) -> Result<Progress<String>, Infallible> {
    Ok(match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) => Progress::Done { value: String::from_utf8(bytes[..at].into()).unwrap(), length: at + 1 },
        None => Progress::NeedMore { at_most: MOST_PEEKED },
    })
}

#[tokio::test]
async fn what_comes_in_pieces_is_seen_whole_and_stays_until_it_is_discarded() {
    let (mut client, mut server) = connection().await;
    let write = async {
        for byte in b"hello\nrest" {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
    };
    let worker = worker();
    let (peeked, ()) = tokio::join!(peek(&worker, &server, line), write);
    assert_eq!(peeked.unwrap(), ("hello".into(), 6));
    assert_eq!(peek(&worker, &server, line).await.unwrap().1, 6, "still there");
    discard(&server, 6).unwrap();
    let mut rest = String::new();
    server.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "rest");
}

#[tokio::test]
async fn the_end_of_a_peer_that_says_too_little_is_noticed() {
    for words in ["", "hel"] {
        let (mut client, server) = connection().await;
        client.write_all(words.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let error = peek(&worker(), &server, line).await.unwrap_err();
        assert!(matches!(error, PeekError::Ended { seen } if seen == words.len()), "{error:?}");
    }
}

#[tokio::test]
async fn a_reset_is_noticed() {
    let (client, server) = connection().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(matches!(peek(&worker(), &server, line).await, Err(PeekError::Failed(_))));
}

#[tokio::test]
async fn last_words_arrive_whatever_the_peer_has_sent() {
    let (mut client, server) = connection().await;
    client.write_all(&[1; 100_000]).await.unwrap();
    let listen = async {
        let mut words = String::new();
        client.read_to_string(&mut words).await.unwrap();
        drop(client);
        words
    };
    let (closed, words) = tokio::join!(close_with(&server, b"no"), listen);
    closed.unwrap();
    assert_eq!(words, "no");
}
