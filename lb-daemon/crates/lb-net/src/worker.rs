//! A worker: one thread, one single-threaded runtime, and what its connections share.

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::accept::{Port, Terms};
use crate::commands::{Accepting, Changing, Command, Receiving, Request, WorkerCommands};
use crate::observer::{WorkerObserver, sample};
use crate::relay::Pipes;
use crate::timer::Timers;
use crate::udp::{UdpBuffers, UdpPort, UdpService};

/// One worker per core that this process may use: affinity and cgroup `cpu.max` are honoured.
pub fn auto_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the connections of one worker share. Never leaves its thread.
#[derive(Debug)]
pub struct Worker {
    /// Which worker it is, from 0.
    pub index: usize,
    timers: Rc<Timers>,
    /// Bytes on their way from one socket to another: filled and emptied within one poll.
    pub(crate) buffer: RefCell<Box<[u8]>>,
    pub(crate) pipes: Pipes,
    /// Made when the first datagrams come.
    udp_buffers: RefCell<Option<Box<UdpBuffers>>>,
    locals: RefCell<Vec<Rc<dyn Any>>>,
    tasks: Tasks,
    phase: Cell<Phase>,
    pub(crate) observer: Arc<dyn WorkerObserver>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Accepting,
    Draining,
    /// Whatever is left is being dropped.
    Cut,
}

#[derive(Debug, Default)]
struct Tasks {
    running: Cell<usize>,
    none_left: Notify,
}

impl Worker {
    /// Enough to take a response of 64 KiB and its head in one call. Pages that are never used cost nothing.
    const BUFFER: usize = 256 * 1024;

    pub(crate) fn new(index: usize, pipes: u32, observer: Arc<dyn WorkerObserver>) -> Self {
        Self {
            index,
            timers: Rc::new(Timers::new()),
            buffer: RefCell::new(vec![0; Self::BUFFER].into()),
            pipes: Pipes::new(pipes as usize, Arc::clone(&observer)),
            udp_buffers: RefCell::default(),
            locals: RefCell::default(),
            tasks: Tasks::default(),
            phase: Cell::new(Phase::Accepting),
            observer,
        }
    }

    /// The worker's timers.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// What its ports and flows of datagrams receive into and send with. Not to be held over an await.
    pub fn udp_buffers(&self) -> RefMut<'_, UdpBuffers> {
        RefMut::map(self.udp_buffers.borrow_mut(), |buffers| &mut **buffers.get_or_insert_default())
    }

    /// What all services of one data path share on this worker: made by who asks first, dropped with the worker.
    pub fn local<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let mut locals = self.locals.borrow_mut();
        if let Some(local) = locals.iter().find_map(|local| Rc::clone(local).downcast().ok()) {
            return local;
        }
        let local = Rc::new(make());
        locals.push(Rc::clone(&local) as Rc<dyn Any>);
        local
    }

    /// Runs a task on this worker beside its connections: it ends with the worker, which does not wait for it.
    pub fn run_beside(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }

    /// Runs a task on this worker, which drains only when all of its tasks have ended.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.tasks.running.set(self.tasks.running.get() + 1);
        let running = Running(Rc::clone(self));
        tokio::task::spawn_local(Tracked { task, _running: running });
    }

    /// Whether it accepts no more and waits for its tasks to end. Who waits with a timer is woken when that begins.
    pub fn is_draining(&self) -> bool {
        self.phase.get() != Phase::Accepting
    }

    /// Whether the tasks that are being dropped were cut off by the end of the process.
    pub fn is_cut(&self) -> bool {
        self.phase.get() == Phase::Cut
    }

    async fn idle(&self) {
        while self.tasks.running.get() > 0 {
            self.tasks.none_left.notified().await;
        }
    }
}

pin_project! {
    /// A task that counts. Not an async block: that would hold the task twice, before and while it awaits it.
    struct Tracked<T> {
        #[pin]
        task: T,
        _running: Running,
    }
}

impl<T: Future<Output = ()>> Future for Tracked<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

/// Counts a task out when it ends or is dropped.
struct Running(Rc<Worker>);

impl Drop for Running {
    fn drop(&mut self) {
        let tasks = &self.0.tasks;
        tasks.running.set(tasks.running.get().saturating_sub(1));
        if tasks.running.get() == 0 {
            tasks.none_left.notify_one();
        }
    }
}

/// A worker as the rest of the process sees it. Dropping it cuts the worker's connections and waits for its thread.
#[derive(Debug)]
pub struct WorkerHandle {
    commands: WorkerCommands,
    /// Dropped to stop the worker.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    drained: Option<oneshot::Receiver<()>>,
}

impl WorkerHandle {
    /// Starts worker `index`, which may keep `pipes` pipes for splicing and tells `observer` how it is.
    ///
    /// # Errors
    ///
    /// If the thread or its runtime cannot be made.
    pub fn start(index: usize, pipes: u32, observer: Arc<dyn WorkerObserver>) -> io::Result<Self> {
        let (commands, requests) = WorkerCommands::channel(index);
        let (stop, stopped) = oneshot::channel();
        let (report, drained) = oneshot::channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let run =
            move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let worker = Rc::new(Worker::new(index, pipes, observer));
                    runtime.block_on(main(Rc::clone(&worker), requests, stopped));
                    let _ = report.send(());
                    worker.phase.set(Phase::Cut);
                    drop(runtime);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { commands, stop: Some(stop), thread: Some(thread), drained: Some(drained) })
    }

    /// What to send commands with, from any task; clones do not keep the worker running.
    pub fn commands(&self) -> &WorkerCommands {
        &self.commands
    }

    /// After [`drain`](WorkerCommands::drain): returns once every connection has ended.
    pub async fn drained(&mut self) {
        if let Some(drained) = self.drained.take() {
            let _ = drained.await;
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            let panic = panic.downcast_ref::<&str>().copied().unwrap_or("no message");
            tracing::error!(panic, "a worker thread ended in a panic");
        }
    }
}

/// The worker's life. Ends when it has drained, or when its handle is dropped.
async fn main(worker: Rc<Worker>, mut requests: mpsc::Receiver<Request>, mut stopped: oneshot::Receiver<()>) {
    let timers = Rc::clone(worker.timers());
    tokio::task::spawn_local(async move { timers.run().await });
    tokio::task::spawn_local(sample(Rc::clone(&worker)));
    let mut ports = Ports::default();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            Some(Request { command, done }) = requests.recv() => {
                ports.obey(&worker, command);
                // Fails if the caller has given up waiting.
                let _ = done.send(());
            }
            () = worker.idle(), if worker.phase.get() == Phase::Draining => return,
        }
    }
}

/// What a worker listens on.
#[derive(Default)]
struct Ports {
    tcp: HashMap<SocketAddr, Rc<Port>>,
    /// Those that were closed are among them: flows may be left.
    udp: HashMap<SocketAddr, Rc<dyn UdpService>>,
}

impl Ports {
    fn obey(&mut self, worker: &Rc<Worker>, command: Command) {
        match command {
            Command::Accept(accepting) => self.accept(worker, accepting),
            Command::Change(changing) => self.change(worker, changing),
            Command::Close(addresses) => self.close(worker, &addresses),
            Command::Drain => {
                worker.phase.set(Phase::Draining);
                self.tcp.drain().for_each(|(_, port)| port.close(worker));
                self.udp.values().for_each(|service| service.close());
                worker.timers.wake_all();
            }
            Command::Receive(receiving) => self.receive(worker, receiving),
            Command::RefreshUdp => self.udp.values().for_each(|service| service.refresh()),
            Command::CloseUdp(addresses) => {
                addresses
                    .iter()
                    .filter_map(|address| self.udp.get(address))
                    .for_each(|service| service.close());
            }
            Command::Ping => {}
        }
    }

    fn receive(&mut self, worker: &Rc<Worker>, Receiving { listener, sockets, service }: Receiving) {
        if worker.phase.get() != Phase::Accepting {
            return;
        }
        for socket in sockets {
            match UdpPort::new(socket) {
                Ok(port) => {
                    let address = port.address();
                    if let Some(before) = self.udp.insert(address, service.open(worker, port)) {
                        before.end();
                    }
                }
                Err(error) => tracing::error!(%listener, %error, "a worker cannot receive datagrams"),
            }
        }
    }

    fn accept(&mut self, worker: &Rc<Worker>, accepting: Accepting) {
        let Accepting { listener, sockets, limits, service } = accepting;
        if worker.phase.get() != Phase::Accepting {
            return;
        }
        let terms = Terms::new(worker, listener, limits, &*service);
        for socket in sockets {
            match Port::open(worker, socket, Rc::clone(&terms)) {
                Ok(port) => {
                    if let Some(before) = self.tcp.insert(port.address, port) {
                        before.close(worker);
                    }
                }
                Err(error) => {
                    let listener = &terms.listener;
                    tracing::error!(%listener, %error, "a worker cannot accept connections");
                }
            }
        }
    }

    fn change(&self, worker: &Rc<Worker>, changing: Changing) {
        let Changing { listener, addresses, limits, service, options } = changing;
        let terms = Terms::new(worker, listener, limits, &*service);
        for port in addresses.iter().filter_map(|address| self.tcp.get(address)) {
            if let Err(error) = port.change(Rc::clone(&terms), options) {
                let (listener, address) = (&terms.listener, port.address);
                tracing::error!(%listener, %address, %error, "cannot change what connections inherit from their listening socket");
            }
        }
    }

    fn close(&mut self, worker: &Rc<Worker>, addresses: &[SocketAddr]) {
        addresses.iter().filter_map(|address| self.tcp.remove(address)).for_each(|port| port.close(worker));
    }
}

#[cfg(test)]
mod tests;
