//! The admin API, asked with curl: what any client of it would get.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Asks the admin API at one place.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    options: Vec<OsString>,
}

/// What the API has answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the header fields, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Api {
    /// On a unix socket.
    pub fn unix(socket: &Path) -> Self {
        Self { base: "http://sluice".into(), options: vec!["--unix-socket".into(), socket.into()] }
    }

    /// At a URL without a path: `https://127.0.0.1:9901`.
    pub fn at(base: &str) -> Self {
        Self { base: base.into(), options: vec![] }
    }

    /// With further options of curl.
    pub fn with<O: Into<OsString>>(mut self, options: impl IntoIterator<Item = O>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// `GET path`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.clone().answer(path)
    }

    /// `POST path` with a body that is declared to be JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.clone().with(["-H", "content-type: application/json", "--data-binary", body]).answer(path)
    }

    /// The answer to what the options say; panics if curl gets none.
    #[track_caller]
    pub fn answer(self, path: &str) -> Answer {
        let output = self.run(path);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let answer = text(&output.stdout);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("curl: {}{}\n{answer:?}", output.status, text(&output.stderr)));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status line"), head: head.to_lowercase(), body: body.into() }
    }

    /// What curl says, who may get no answer.
    pub fn run(self, path: &str) -> Output {
        let mut curl = Command::new("curl");
        // "Expect" would have curl wait for a permission to send a long body, and print that it got it.
        curl.args(["-sS", "-i", "--max-time", "30", "-H", "Expect:"]).args(self.options);
        curl.arg(format!("{}{path}", self.base)).output().expect("running curl")
    }
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
