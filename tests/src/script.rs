//! What a server of a test answers, in the hands of the test.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Notify;

use crate::Watched;

/// Answers to come, and the questions so far.
#[derive(Debug)]
pub(crate) struct Script<Q, A> {
    state: Watched<State<Q, A>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<Q, A> {
    asked: Vec<Q>,
    waiting: usize,
    next: VecDeque<A>,
    /// The answer when there is none in line; without it a question waits.
    always: Option<A>,
}

impl<Q: Clone, A: Clone> Script<Q, A> {
    pub(crate) fn new(always: Option<A>) -> Self {
        let state = State { asked: vec![], waiting: 0, next: VecDeque::new(), always };
        Self { state: Watched::new(state), changed: Notify::new() }
    }

    /// Gives each question this answer, those that wait included.
    pub(crate) fn always(&self, answer: A) {
        self.state.change(|state| {
            state.next.clear();
            state.always = Some(answer);
        });
        self.changed.notify_waiters();
    }

    /// Gives the next questions these answers, one each. The one after them waits.
    pub(crate) fn then(&self, answers: impl IntoIterator<Item = A>) {
        self.state.change(|state| {
            state.always = None;
            state.next.extend(answers);
        });
        self.changed.notify_waiters();
    }

    pub(crate) fn asked(&self) -> Vec<Q> {
        self.state.read(|state| state.asked.clone())
    }

    /// Waits until there were so many questions.
    #[track_caller]
    pub(crate) fn wait_asked(&self, count: usize) -> Vec<Q> {
        let asked =
            self.state.wait(PATIENCE, |state| (state.asked.len() >= count).then(|| state.asked.clone()));
        asked.unwrap_or_else(|| panic!("asked {} times, not {count} times", self.asked().len()))
    }

    /// Waits until all answers are given and exactly so many questions wait for another.
    #[track_caller]
    pub(crate) fn wait_waiting(&self, count: usize) {
        let reached = self
            .state
            .wait(PATIENCE, |state| (state.next.is_empty() && state.waiting == count).then_some(()));
        assert!(reached.is_some(), "{} questions wait, not {count}", self.state.read(|state| state.waiting));
    }

    /// The answer to a question. Whoever asked is given up on when this is dropped.
    pub(crate) async fn answer(&self, question: Q) -> A {
        let mut waiting = Waiting::begin(self, question);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = waiting.take() {
                return answer;
            }
            changed.await;
        }
    }
}

/// A question that waits for its answer.
struct Waiting<'a, Q, A> {
    script: &'a Script<Q, A>,
    answered: bool,
}

impl<'a, Q, A: Clone> Waiting<'a, Q, A> {
    fn begin(script: &'a Script<Q, A>, question: Q) -> Self {
        script.state.change(|state| {
            state.asked.push(question);
            state.waiting += 1;
        });
        Self { script, answered: false }
    }

    /// Takes an answer, if there is one. With it the waiting is over, in one step for those who look on.
    fn take(&mut self) -> Option<A> {
        let answer = self.script.state.change(|state| {
            let answer = state.next.pop_front().or_else(|| state.always.clone())?;
            state.waiting -= 1;
            Some(answer)
        });
        self.answered = answer.is_some();
        answer
    }
}

impl<Q, A> Drop for Waiting<'_, Q, A> {
    fn drop(&mut self) {
        if !self.answered {
            self.script.state.change(|state| state.waiting -= 1);
        }
    }
}

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
