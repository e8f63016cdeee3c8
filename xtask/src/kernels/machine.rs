//! The emulated machine.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::step::command_line;

/// What it is made of.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
}

/// What the tests are told.
const TESTS: [&str; 5] = [
    // Those that load programs: the others are the same on every kernel.
    "program::",
    "testing::",
    // Many seconds where every packet is emulated, and another kernel's flow table is no other.
    "--skip=ten_thousand_flows_survive_ten_million_forged_ones_and_a_change",
    // Waits for a race to be lost, which says something about the test beside it, nothing about a kernel; and
    // emulated processors, which may take turns, need not lose it.
    "--skip=without_the_second_read_they_do",
    // The name of a test that hangs is on the console.
    "--test-threads=1",
];

/// The longest that it may run: several times what it takes.
const DEADLINE: Duration = Duration::from_secs(300);

impl Machine<'_> {
    /// Runs the tests; fails unless all pass.
    pub(super) fn run_tests(&self) -> Result<()> {
        let mut command = self.command();
        let line = command_line(&command);
        let qemu = command
            .spawn()
            .with_context(|| format!("cannot run {line}: `cargo xtask setup` installs qemu-system-x86"))?;
        let (console, ending) = watch(qemu)?;
        let Err(wrong) = ending.and_then(|()| judge(&console)) else {
            for line in console.lines().filter(|line| line.starts_with("Linux ") || is_result(line)) {
                eprintln!("   {line}");
            }
            return Ok(());
        };
        eprintln!("{console}");
        Err(wrong.context(format!("the machine was {line}; all that it said is above")))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        command.args([
            "-no-user-config",
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ]);
        // Emulated even where there is a /dev/kvm: in a virtual machine, as CI's is one, KVM may be there and
        // hang. Tests of races want two processors.
        command.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "2G"]);
        // A panic ends the machine. What is behind the dashes goes to the tests.
        let arguments = format!("console=ttyS0 quiet panic=-1 -- {}", TESTS.join(" "));
        command.arg("-kernel").arg(self.kernel).arg("-initrd").arg(self.initramfs);
        command.args(["-append", &arguments]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// What the machine has said when it has ended by itself, or was ended at the deadline, which is the error.
fn watch(mut qemu: Child) -> Result<(String, Result<()>)> {
    let mut console = qemu.stdout.take().context("qemu has no standard output")?;
    let (sender, said) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = console.read_to_end(&mut bytes).map(|_| bytes);
        // If nobody waits for it, it is not wanted.
        let _ = sender.send(read);
    });
    let (said, ending) = match said.recv_timeout(DEADLINE) {
        Ok(said) => (said, Ok(())),
        Err(_) => {
            qemu.kill().context("cannot end qemu")?;
            let late = Err(anyhow!("the machine has not ended within {DEADLINE:?}, so it was ended"));
            (said.recv()?, late)
        }
    };
    qemu.wait().context("cannot wait for qemu")?;
    Ok((String::from_utf8_lossy(&said.context("cannot read the console")?).replace('\r', ""), ending))
}

/// Whether all tests passed, by what the machine has said.
fn judge(console: &str) -> Result<()> {
    let Some(ending) = console.lines().find_map(|line| line.strip_prefix("the tests ended: ")) else {
        bail!("the machine ended before the tests did");
    };
    ensure!(ending == "exit status: 0", "tests failed on this kernel ({ending})");
    let passed = console.lines().any(|line| is_result(line) && !line.contains(" 0 passed"));
    ensure!(passed, "no test was run on this kernel");
    Ok(())
}

/// A line with which the tests sum up.
fn is_result(line: &str) -> bool {
    line.starts_with("test result: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_passed_if_they_ran_and_ended_well() {
        let console = |result: &str, ending: &str| format!("Linux 6.1\ntest result: {result}\n{ending}\n");
        let well = "the tests ended: exit status: 0";
        assert!(judge(&console("ok. 7 passed; 0 failed", well)).is_ok());
        let wrong = [
            (console("ok. 0 passed; 0 failed", well), "no test was run"),
            (console("FAILED. 6 passed; 1 failed", "the tests ended: exit status: 101"), "tests failed"),
            (console("ok. 7 passed; 0 failed", "Kernel panic - not syncing"), "ended before"),
        ];
        for (console, expected) in wrong {
            let said = judge(&console).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
