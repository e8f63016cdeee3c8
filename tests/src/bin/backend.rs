//! Backends in a process of their own, for [`lb_tests::BackendProcess`]: `backend ADDRESS BEHAVIOUR…`, until the end of
//! standard input.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use lb_tests::{Backend, BackendProcess, process};

fn main() -> Result<()> {
    process::raise_fd_limit();
    let mut words = std::env::args().skip(1);
    let mut backends = Vec::new();
    while let Some(address) = words.next() {
        let behaviour = words.next().context("each address is followed by a behaviour")?.parse()?;
        backends.push(Backend::start(BackendProcess::NAME, address.parse()?, behaviour));
    }
    io::stdout().write_all(b"ready\n")?;
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
