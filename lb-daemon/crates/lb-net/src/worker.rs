//! A worker: one thread, one single-threaded runtime, and what its connections share.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::accept::{Accepting, accept_loop};
use crate::relay::Pipes;
use crate::timer::Timers;

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
    tasks: Tasks,
    phase: Cell<Phase>,
    phase_changed: Notify,
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
    /// Enough to take what a socket usually has ready in one call.
    const BUFFER: usize = 64 * 1024;

    fn new(index: usize, pipes: u32) -> Self {
        Self {
            index,
            timers: Rc::new(Timers::new()),
            buffer: RefCell::new(vec![0; Self::BUFFER].into()),
            pipes: Pipes::new(pipes as usize),
            tasks: Tasks::default(),
            phase: Cell::new(Phase::Accepting),
            phase_changed: Notify::new(),
        }
    }

    /// The worker's timers.
    pub fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// Runs a task on this worker, which drains only when all of its tasks have ended.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.tasks.running.set(self.tasks.running.get() + 1);
        let running = Running(Rc::clone(self));
        tokio::task::spawn_local(Tracked { task, _running: running });
    }

    /// Whether the tasks that are being dropped were cut off by the end of the process.
    pub fn is_cut(&self) -> bool {
        self.phase.get() == Phase::Cut
    }

    /// Returns once the worker drains.
    pub(crate) async fn draining(&self) {
        while self.phase.get() == Phase::Accepting {
            self.phase_changed.notified().await;
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.phase_changed.notify_waiters();
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
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    drained: Option<oneshot::Receiver<()>>,
}

enum Command {
    Accept(Accepting),
    Drain,
}

impl WorkerHandle {
    /// Starts worker `index`, which may keep `pipes` pipes for splicing.
    ///
    /// # Errors
    ///
    /// If the thread or its runtime cannot be made.
    pub fn start(index: usize, pipes: u32) -> io::Result<Self> {
        let (commands, received) = mpsc::channel(16);
        let (report, drained) = oneshot::channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let run =
            move || match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let worker = Rc::new(Worker::new(index, pipes));
                    runtime.block_on(main(Rc::clone(&worker), received));
                    let _ = report.send(());
                    worker.enter(Phase::Cut);
                    drop(runtime);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { commands: Some(commands), thread: Some(thread), drained: Some(drained) })
    }

    /// Accepts from a listener's sockets from now on.
    pub async fn accept(&self, accepting: Accepting) {
        self.send(Command::Accept(accepting)).await;
    }

    /// Stops accepting, once what the kernel has queued is accepted.
    pub async fn drain(&self) {
        self.send(Command::Drain).await;
    }

    /// After [`drain`](Self::drain): returns once every connection has ended.
    pub async fn drained(&mut self) {
        if let Some(drained) = self.drained.take() {
            let _ = drained.await;
        }
    }

    async fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Fails only if the worker's thread is gone, which `drained` tells.
            let _ = commands.send(command).await;
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            let panic = panic.downcast_ref::<&str>().copied().unwrap_or("no message");
            tracing::error!(panic, "a worker thread ended in a panic");
        }
    }
}

/// The worker's life. Ends when it has drained, or when its handle is dropped.
async fn main(worker: Rc<Worker>, mut commands: mpsc::Receiver<Command>) {
    let timers = Rc::clone(worker.timers());
    tokio::task::spawn_local(async move { timers.run().await });
    loop {
        match commands.recv().await {
            Some(Command::Accept(accepting)) => start_accepting(&worker, accepting),
            Some(Command::Drain) => break,
            None => return,
        }
    }
    worker.enter(Phase::Draining);
    tokio::select! {
        () = worker.idle() => {}
        _ = commands.recv() => {} // the handle was dropped: no more time
    }
}

fn start_accepting(worker: &Rc<Worker>, accepting: Accepting) {
    let service = accepting.service.make(worker);
    let listener: Rc<str> = accepting.listener.into();
    for socket in accepting.sockets {
        let (worker, service, limits) = (Rc::clone(worker), Rc::clone(&service), accepting.limits.clone());
        let listener = Rc::clone(&listener);
        let task = {
            let worker = Rc::clone(&worker);
            async move {
                if let Err(error) = accept_loop(worker, socket, Rc::clone(&listener), limits, service).await {
                    tracing::error!(%listener, %error, "a worker no longer accepts connections");
                }
            }
        };
        worker.spawn(task);
    }
}
