//! What a relay tells while it runs, with real sockets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};

use super::*;

/// Everything it hears.
#[derive(Default)]
struct Heard {
    answered: RefCell<Vec<Duration>>,
    moved: RefCell<Vec<(u64, u64)>>,
}

impl Heard {
    fn total(&self) -> (u64, u64) {
        self.moved.borrow().iter().fold((0, 0), |(a, b), &(c, d)| (a + c, b + d))
    }
}

impl RelayObserver for Heard {
    fn answered(&self, after: Duration) {
        self.answered.borrow_mut().push(after);
    }

    fn moved(&self, to_backend: u64, to_client: u64) {
        self.moved.borrow_mut().push((to_backend, to_client));
    }
}

fn on_a_worker(test: impl AsyncFnOnce(Rc<Worker>)) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { test(Rc::new(Worker::new(0, 4, Arc::new(())))).await });
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

#[test]
fn an_answer_and_what_moves_are_told_when_it_happens() {
    on_a_worker(async |worker| {
        let (mut client, from_client) = pair().await;
        let (to_backend, mut backend) = pair().await;
        let (timer, counts, heard) = (worker.timers().timer(), Counts::default(), Heard::default());
        let relay = relay(&worker, from_client, to_backend, None, &timer, &counts, &heard);
        let talk = async {
            let mut buffer = [0; 6];
            client.write_all(b"ask").await.unwrap();
            backend.read_exact(&mut buffer[..3]).await.unwrap();
            assert_eq!(heard.total(), (3, 0));
            assert!(heard.answered.borrow().is_empty());
            for round in 1..=3 {
                backend.write_all(b"answer").await.unwrap();
                client.read_exact(&mut buffer).await.unwrap();
                assert_eq!(heard.total(), (3, 6 * round));
                assert_eq!(heard.answered.borrow().len(), 1, "the first answer, and only that");
            }
            drop((client, backend));
        };
        let (end, ()) = tokio::join!(relay, talk);
        assert_eq!(end, RelayEnd::Finished);
    });
}

#[test]
fn what_moves_in_the_last_turn_is_told_too() {
    on_a_worker(async |worker| {
        let (mut client, from_client) = pair().await;
        let (to_backend, mut backend) = pair().await;
        client.write_all(b"ask").await.unwrap();
        backend.write_all(b"answer").await.unwrap();
        client.shutdown().await.unwrap();
        backend.shutdown().await.unwrap();
        let (timer, counts, heard) = (worker.timers().timer(), Counts::default(), Heard::default());
        assert_eq!(
            relay(&worker, from_client, to_backend, None, &timer, &counts, &heard).await,
            RelayEnd::Finished
        );
        assert_eq!(heard.total(), (3, 6));
        assert_eq!(heard.answered.borrow().len(), 1);
    });
}

#[test]
fn what_is_spliced_is_told_as_it_is_counted() {
    const SIZE: usize = 3 << 20;

    on_a_worker(async |worker| {
        let (mut client, from_client) = pair().await;
        let (to_backend, mut backend) = pair().await;
        let (timer, counts, heard) = (worker.timers().timer(), Counts::default(), Heard::default());
        let relay = relay(&worker, from_client, to_backend, None, &timer, &counts, &heard);
        let send = async {
            backend.write_all(&vec![7; SIZE]).await.unwrap();
            backend.shutdown().await.unwrap();
        };
        let receive = async {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            drop(client);
            assert_eq!(all, vec![7; SIZE]);
        };
        let (end, ..) = tokio::join!(relay, send, receive);
        assert_eq!(end, RelayEnd::Finished);
        assert_eq!(heard.total(), (0, SIZE as u64));
        assert_eq!((counts.to_backend.get(), counts.to_client.get()), heard.total());
        assert!(heard.moved.borrow().iter().all(|&moved| moved != (0, 0)));
    });
}

#[test]
fn counts_that_go_on_hear_of_no_answer() {
    on_a_worker(async |worker| {
        let (client, from_client) = pair().await;
        let (to_backend, mut backend) = pair().await;
        backend.write_all(b"more").await.unwrap();
        drop((client, backend));
        let (timer, counts, heard) = (worker.timers().timer(), Counts::default(), Heard::default());
        counts.to_client.set(100);
        relay(&worker, from_client, to_backend, None, &timer, &counts, &heard).await;
        assert_eq!(heard.total(), (0, 4));
        assert!(heard.answered.borrow().is_empty());
    });
}

/// Most of what an idle connection costs beside its sockets. More may be worth it, but shall not happen unnoticed.
#[test]
fn an_idle_relay_is_small() {
    on_a_worker(async |worker| {
        let ((_client, from_client), (to_backend, _backend)) = (pair().await, pair().await);
        let (timer, counts) = (worker.timers().timer(), Counts::default());
        let relay = relay(&worker, from_client, to_backend, None, &timer, &counts, &());
        // 248 in a build of this crate alone: which features of tokio the rest of the workspace asks for shows in its streams.
        assert!(size_of_val(&relay) <= 264, "{} bytes", size_of_val(&relay));
    });
}
