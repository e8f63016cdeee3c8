//! Workers and their commands, with real sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::{
    AcceptWhen, Accepted, Limit, ListenOptions, MakeService, SAMPLE_EVERY, Service, WorkerGone, bind_all,
    ensure_free,
};

/// Sends each client a line, then its own bytes back until it closes.
struct Greeter {
    greeting: fn(&tokio::net::TcpStream) -> String,
    log: Arc<Log>,
}

/// What happened to the services that a maker made.
#[derive(Default)]
struct Log {
    made: AtomicUsize,
    events: Mutex<Vec<&'static str>>,
}

fn greeter(greeting: fn(&tokio::net::TcpStream) -> String) -> (Arc<Greeter>, Arc<Log>) {
    let log = Arc::new(Log::default());
    (Arc::new(Greeter { greeting, log: Arc::clone(&log) }), log)
}

impl MakeService for Greeter {
    fn make(&self, _: &Rc<Worker>) -> Rc<dyn Service> {
        self.log.made.fetch_add(1, Ordering::SeqCst);
        Rc::new(Self { greeting: self.greeting, log: Arc::clone(&self.log) })
    }
}

impl Service for Greeter {
    fn serve(self: Rc<Self>, worker: &Rc<Worker>, accepted: Accepted) {
        self.log.events.lock().unwrap().push("serve");
        let Accepted { stream, permits, .. } = accepted;
        let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let greeting = (self.greeting)(&stream) + "\n";
        worker.spawn(async move {
            let _permits = permits;
            let _ = stream.write_all(greeting.as_bytes()).await;
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }

    fn closing(&self) {
        self.log.events.lock().unwrap().push("closing");
    }
}

/// A client, which fails rather than wait for ever.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn echo(&mut self, text: &str) -> String {
        self.0.get_mut().write_all(format!("{text}\n").as_bytes()).unwrap();
        self.line()
    }
}

const OPTIONS: ListenOptions = ListenOptions { keepalive: None, accept: AcceptWhen::Connected };

/// `sets` times a socket on an address that is free, and that no other test is given once it is free again.
fn sockets(sets: usize) -> (SocketAddr, Vec<Vec<TcpListener>>) {
    static NEXT: AtomicU8 = AtomicU8::new(1);

    let ip = [127, 0, 1, NEXT.fetch_add(1, Ordering::SeqCst)];
    let address = TcpListener::bind(SocketAddr::from((ip, 0))).unwrap().local_addr().unwrap();
    (address, bind_all(&[address], OPTIONS, sets).unwrap())
}

fn accepting(sockets: Vec<TcpListener>, limit: &Limit, service: &Arc<Greeter>) -> Accepting {
    let limits = [limit.clone(), Limit::new(None)];
    Accepting { listener: "l".into(), sockets, limits, service: Arc::clone(service) as _ }
}

fn changing(addresses: Vec<SocketAddr>, service: &Arc<Greeter>, keepalive: Option<Duration>) -> Changing {
    let limits = [Limit::new(None), Limit::new(None)];
    let options = ListenOptions { keepalive, accept: AcceptWhen::Connected };
    Changing { listener: "m".into(), addresses, limits, service: Arc::clone(service) as _, options }
}

/// A worker that listens on one address, with room for one client.
async fn worker_with_room_for_one(service: &Arc<Greeter>) -> (WorkerHandle, SocketAddr) {
    let worker = WorkerHandle::start(0, 0, Arc::new(())).unwrap();
    let (address, mut sockets) = sockets(1);
    let accepting = accepting(sockets.remove(0), &Limit::new(Some(1)), service);
    worker.commands().accept(accepting).await.unwrap();
    (worker, address)
}

#[tokio::test]
async fn a_change_serves_on_other_terms_whoever_waits_and_leaves_the_rest_alone() {
    let (one, _) = greeter(|_| "one".into());
    let (two, log) = greeter(|_| "two".into());
    let (worker, first) = worker_with_room_for_one(&one).await;
    let (second, mut added) = sockets(1);
    worker.commands().accept(accepting(added.remove(0), &Limit::new(None), &one)).await.unwrap();
    let mut inside = Client::connect(first);
    assert_eq!(inside.line(), "one");
    let mut waiting = Client::connect(first);

    let elsewhere = "127.0.0.1:1".parse().unwrap();
    let changing = changing(vec![first, elsewhere, second], &two, None);
    worker.commands().change(changing).await.unwrap();
    assert_eq!(waiting.line(), "two", "it was in the kernel's queue and the old limit kept it there");
    assert_eq!(Client::connect(second).line(), "two");
    assert_eq!(inside.echo("still here"), "still here");
    assert_eq!(log.made.load(Ordering::SeqCst), 1, "one service for all addresses of a command");
}

#[tokio::test]
async fn a_port_is_free_once_closed_and_the_queued_are_served() {
    let (one, log) = greeter(|_| "one".into());
    let (worker, address) = worker_with_room_for_one(&one).await;
    let mut inside = Client::connect(address);
    assert_eq!(inside.line(), "one");
    let mut queued = Client::connect(address);

    worker.commands().close(vec![address]).await.unwrap();
    ensure_free(address, &[]).unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(*log.events.lock().unwrap(), ["serve", "closing"]);
    assert_eq!(inside.echo("still here"), "still here");
    drop(inside);
    assert_eq!(queued.line(), "one");
    assert_eq!(*log.events.lock().unwrap(), ["serve", "closing", "serve"]);

    let (two, _) = greeter(|_| "two".into());
    let sockets = bind_all(&[address], OPTIONS, 1).unwrap().remove(0);
    worker.commands().accept(accepting(sockets, &Limit::new(None), &two)).await.unwrap();
    assert_eq!(Client::connect(address).line(), "two");
    assert_eq!(queued.echo("still here"), "still here");
}

#[tokio::test]
async fn a_second_socket_on_an_address_takes_over() {
    let (one, log) = greeter(|_| "one".into());
    let (two, _) = greeter(|_| "two".into());
    let worker = WorkerHandle::start(0, 0, Arc::new(())).unwrap();
    let (address, sockets) = sockets(2);
    for (sockets, service) in sockets.into_iter().zip([&one, &two]) {
        worker.commands().accept(accepting(sockets, &Limit::new(None), service)).await.unwrap();
    }
    assert_eq!(*log.events.lock().unwrap(), ["closing"]);
    // The kernel spreads clients over the sockets that there are.
    for _ in 0..16 {
        assert_eq!(Client::connect(address).line(), "two");
    }
}

#[tokio::test]
async fn keepalive_can_be_changed_where_a_port_listens() {
    let (service, _) = greeter(|stream| {
        let socket = SockRef::from(stream);
        let time = socket.keepalive().unwrap().then(|| socket.tcp_keepalive_time().unwrap());
        format!("{time:?}")
    });
    let worker = WorkerHandle::start(0, 0, Arc::new(())).unwrap();
    let (address, mut sockets) = sockets(1);
    worker.commands().accept(accepting(sockets.remove(0), &Limit::new(None), &service)).await.unwrap();
    assert_eq!(Client::connect(address).line(), "None");
    for keepalive in [Some(Duration::from_secs(77)), None, Some(Duration::from_secs(5))] {
        worker.commands().change(changing(vec![address], &service, keepalive)).await.unwrap();
        assert_eq!(Client::connect(address).line(), format!("{keepalive:?}"));
    }
}

#[tokio::test]
async fn a_draining_worker_answers_takes_no_more_and_ends_with_its_last_connection() {
    let (service, log) = greeter(|_| "one".into());
    let (mut worker, address) = worker_with_room_for_one(&service).await;
    let commands = worker.commands().clone();
    let mut inside = Client::connect(address);
    assert_eq!(inside.line(), "one");
    let mut queued = Client::connect(address);

    commands.drain().await.unwrap();
    ensure_free(address, &[]).unwrap();
    commands.ping().await.unwrap();
    let (refused, mut late) = sockets(1);
    commands.accept(accepting(late.remove(0), &Limit::new(None), &service)).await.unwrap();
    assert!(TcpStream::connect(refused).is_err());

    drop(inside);
    assert_eq!(queued.line(), "one");
    assert_eq!(*log.events.lock().unwrap(), ["serve", "closing", "serve"]);
    drop(queued);
    worker.drained().await;
    assert_eq!(commands.ping().await, Err(WorkerGone { worker: 0 }));
}

#[tokio::test]
async fn an_idle_worker_ends_as_soon_as_it_drains() {
    let (service, _) = greeter(|_| "one".into());
    let (mut worker, _) = worker_with_room_for_one(&service).await;
    worker.commands().ping().await.unwrap();
    worker.commands().drain().await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), worker.drained()).await.unwrap();
}

#[tokio::test]
async fn commands_fail_when_the_worker_is_gone() {
    /// Takes its worker down.
    struct Broken;

    impl MakeService for Broken {
        fn make(&self, _: &Rc<Worker>) -> Rc<dyn Service> {
            panic!("of this test");
        }
    }

    let dropped = WorkerHandle::start(0, 0, Arc::new(())).unwrap();
    let commands = dropped.commands().clone();
    commands.ping().await.unwrap();
    drop(dropped);
    assert_eq!(commands.ping().await, Err(WorkerGone { worker: 0 }));

    let crashed = WorkerHandle::start(1, 0, Arc::new(())).unwrap();
    let limits = [Limit::new(None), Limit::new(None)];
    let accepting = Accepting { listener: "l".into(), sockets: vec![], limits, service: Arc::new(Broken) };
    assert_eq!(crashed.commands().accept(accepting).await, Err(WorkerGone { worker: 1 }));
    assert_eq!(crashed.commands().close(vec![]).await, Err(WorkerGone { worker: 1 }));
}

#[tokio::test]
async fn a_limit_that_is_raised_lets_in_those_who_wait() {
    let (service, _) = greeter(|_| "one".into());
    let limit = Limit::new(Some(1));
    let workers = [0, 1].map(|index| WorkerHandle::start(index, 0, Arc::new(())).unwrap());
    let mut addresses = Vec::new();
    for worker in &workers {
        let (address, mut sockets) = sockets(1);
        worker.commands().accept(accepting(sockets.remove(0), &limit, &service)).await.unwrap();
        addresses.push(address);
    }
    let mut inside = Client::connect(addresses[0]);
    assert_eq!(inside.line(), "one");
    let mut waiting: Vec<_> =
        addresses.iter().cycle().take(3).map(|&address| Client::connect(address)).collect();
    assert_eq!(limit.in_use(), 1);
    limit.resize(None);
    for client in &mut waiting {
        assert_eq!(client.line(), "one");
    }
    assert_eq!(limit.in_use(), 4);
}

/// Adds up what it hears.
#[derive(Default)]
struct Heard {
    accepted: AtomicUsize,
    lags: Mutex<Vec<Duration>>,
    pipes: Mutex<Vec<usize>>,
}

impl WorkerObserver for Heard {
    fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
    }

    fn loop_lag(&self, late: Duration) {
        self.lags.lock().unwrap().push(late);
    }

    fn pipes(&self, in_use: usize) {
        self.pipes.lock().unwrap().push(in_use);
    }

    fn pipe_refused(&self) {}
}

#[tokio::test]
async fn accepted_connections_are_told() {
    let (service, _) = greeter(|_| "one".into());
    let heard = Arc::new(Heard::default());
    let worker = WorkerHandle::start(0, 0, Arc::clone(&heard) as _).unwrap();
    let (address, mut sockets) = sockets(1);
    worker.commands().accept(accepting(sockets.remove(0), &Limit::new(None), &service)).await.unwrap();
    for n in 1..=3 {
        assert_eq!(Client::connect(address).line(), "one");
        assert_eq!(heard.accepted.load(Ordering::SeqCst), n);
    }
}

#[test]
fn a_loop_that_was_held_up_says_for_how_long() {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build_local(LocalOptions::default()).unwrap();
    let heard = Arc::new(Heard::default());
    let worker = Rc::new(Worker::new(0, 0, Arc::clone(&heard) as _));
    runtime.block_on(async {
        tokio::task::spawn_local(sample(worker));
        tokio::task::yield_now().await;
        let held_up = Duration::from_millis(300);
        for late in [held_up, Duration::ZERO] {
            tokio::time::advance(SAMPLE_EVERY + late).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(*heard.lags.lock().unwrap(), [held_up, Duration::ZERO]);
        assert_eq!(*heard.pipes.lock().unwrap(), [0, 0]);
    });
}
