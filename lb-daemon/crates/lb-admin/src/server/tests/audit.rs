//! Who did what, as the log has it.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use super::*;
use crate::{ControlError, NewWeight, Target};

thread_local! {
    /// What has been logged on this thread, which is one test's.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is logged on this thread. One subscriber for the whole process: `tracing` remembers for each place in the code
/// whether somebody listens, and with a subscriber per thread another thread may answer that.
pub(super) struct Lines;

impl Lines {
    pub(super) fn collect() -> Self {
        static INSTALLED: Once = Once::new();

        INSTALLED.call_once(|| {
            let subscriber =
                tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(|| LogWriter);
            tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
            tracing::callsite::rebuild_interest_cache();
        });
        LOG.take();
        Self
    }

    /// The audit lines.
    pub(super) fn audit(&self) -> Vec<String> {
        let text = LOG.with_borrow(|log| String::from_utf8(log.clone()).unwrap());
        let lines = text.lines().filter_map(|line| line.split_once(" audit: "));
        lines.map(|(_, line)| line.to_owned()).collect()
    }
}

struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_command_leaves_one_line_that_says_who_and_what() {
    let lines = Lines::collect();
    let running = Running::new(Fake::failing(ControlError::Refused("one\ntwo".into())));
    let client = running.client();
    let who = {
        let (one, _other) = UnixStream::pair().unwrap();
        let me = one.peer_cred().unwrap();
        format!("client=uid={} gid={} pid={}", me.uid(), me.gid(), std::process::id())
    };
    client.status().await.unwrap();
    client.drain(&Target { pool: "web".into(), backend: Some("web1".into()) }).await.unwrap();
    client.set_weight(&NewWeight { pool: "web".into(), backend: None, weight: Some(7) }).await.unwrap();
    client.set_weight(&NewWeight { pool: "web".into(), backend: None, weight: None }).await.unwrap();
    client.undrain(&Target { pool: "x\nforged".into(), backend: None }).await.unwrap_err();
    client.reload().await.unwrap_err();
    assert_eq!(
        lines.audit(),
        [
            format!("command {who} operation=\"drain\" pool=\"web\" backend=\"web1\" result=\"done\""),
            format!("command {who} operation=\"weight\" pool=\"web\" weight=\"7\" result=\"done\""),
            format!("command {who} operation=\"weight\" pool=\"web\" weight=\"configured\" result=\"done\""),
            format!(
                "command {who} operation=\"undrain\" pool=\"x\\nforged\" result=\"refused\" \
                 error=\"there is no pool \\\"x\\\\nforged\\\"\""
            ),
            format!(
                "command {who} operation=\"reload\" result=\"refused\" \
                 error=\"one\\ntwo\\n\\nthe old configuration stays\""
            ),
        ]
    );
    running.end().await;
}
