//! Real sockets on loopback, one worker's buffer, one task.

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use super::*;

fn worker() -> Worker {
    Worker::new(0, 0, Arc::new(()))
}

/// A wire that was accepted, and its peer.
fn accepted() -> (Wire, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    (Wire::accepted(stream), peer)
}

async fn read(wire: &mut Wire, worker: &Worker) -> Vec<u8> {
    poll_fn(|cx| wire.poll_read(cx, worker, |bytes| bytes.to_vec())).await.unwrap()
}

#[tokio::test]
async fn what_comes_is_read_whether_it_was_there_or_not() {
    let (worker, (mut wire, mut peer)) = (worker(), accepted());
    peer.write_all(b"first").unwrap();
    assert_eq!(read(&mut wire, &worker).await, b"first");
    let (second, ()) = tokio::join!(read(&mut wire, &worker), async { peer.write_all(b"second").unwrap() });
    assert_eq!(second, b"second");
    drop(peer);
    assert_eq!(read(&mut wire, &worker).await, b"");
}

#[tokio::test]
async fn what_the_socket_does_not_take_follows_in_order() {
    let (mut wire, mut peer) = accepted();
    let sent: Vec<u8> = (0..8_000_000_u32).map(|i| (i % 251) as u8).collect();
    let (head, body) = sent.split_at(1000);
    wire.write(&[IoSlice::new(head), IoSlice::new(body)]).unwrap();
    assert!(!wire.is_flushed() && wire.unsent() > 0);
    wire.write(&[IoSlice::new(b"the"), IoSlice::new(b" end")]).unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    });
    poll_fn(|cx| wire.poll_flush(cx)).await.unwrap();
    assert!(wire.is_flushed());
    drop(wire);
    assert!(reader.join().unwrap() == [&sent[..], b"the end"].concat());
}

#[tokio::test]
async fn an_end_is_noticed_and_a_pipelined_request_is_none() {
    let (worker, (mut wire, mut peer)) = (worker(), accepted());
    peer.write_all(b"one").unwrap();
    read(&mut wire, &worker).await;
    wire.watch().unwrap();
    assert!(poll_fn(|cx| Poll::Ready(wire.poll_gone(cx))).await.is_pending());
    peer.write_all(b"two").unwrap();
    assert!(
        tokio::select! { biased; _ = poll_fn(|cx| wire.poll_gone(cx)) => false, () = std::future::ready(()) => true }
    );
    assert_eq!(read(&mut wire, &worker).await, b"two");
    drop(peer);
    poll_fn(|cx| wire.poll_gone(cx)).await;
    assert!(!wire.is_quiet());
}

#[tokio::test]
async fn a_reset_is_one_for_the_peer() {
    let (wire, mut peer) = accepted();
    wire.reset();
    drop(wire);
    assert_eq!(peer.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
