//! The kernel's clock of jiffies, which the program counts time in (reading it costs nothing) and userspace
//! cannot read.

use std::thread;
use std::time::Duration;

use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError};
use lb_common::Tick;

use crate::object::{OBJECT, TAKES};

/// Reads jiffies by running a program that does.
#[derive(Debug)]
pub struct Clock {
    object: Ebpf,
    hertz: u32,
}

/// Why the time cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The object.
    #[error("cannot load the XDP programs; {}", TAKES)]
    Object(#[from] EbpfError),
    /// The program.
    #[error("cannot run the XDP program that reads the kernel's clock; {}", TAKES)]
    Program(#[from] ProgramError),
    /// It is not in the object.
    #[error("the XDP object has no program clock: it was not built from this version's lb-ebpf")]
    Missing,
    /// No frequency explains what the clock says.
    #[error("{jiffies} jiffies at an uptime of {uptime:?} fit none of 100, 250, 300 and 1000 Hz")]
    NoHertz {
        /// What it says.
        jiffies: u64,
        /// Time since the boot.
        uptime: Duration,
    },
}

/// What the program says.
#[derive(Debug, Clone, Copy)]
struct Moment {
    jiffies: u64,
    uptime: Duration,
}

impl Clock {
    const PROGRAM: &str = "clock";

    /// Finds out how fast the clock goes.
    pub fn new() -> Result<Self, ClockError> {
        let mut object = Ebpf::load(OBJECT)?;
        program(&mut object)?.load()?;
        loop {
            let moment = moment(&mut object)?;
            if !moment.is_ambiguous() {
                return Ok(Self { object, hertz: moment.hertz()? });
            }
            // Only where the program is loaded just five minutes after the boot.
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Logarithm of the jiffies in a tick, which is a second or a little more.
    pub fn tick_shift(&self) -> u32 {
        self.hertz.next_power_of_two().trailing_zeros()
    }

    /// A time in ticks, rounded up, as far as ticks reach: half of what can be told apart, the other half is for
    /// the sweeper.
    pub fn ticks(&self, time: Duration) -> u16 {
        let jiffies = time.as_millis() * u128::from(self.hertz) / 1000;
        let ticks = jiffies.div_ceil(1 << self.tick_shift());
        u16::try_from(ticks).unwrap_or(u16::MAX).clamp(1, Tick::MOST / 2)
    }

    /// The present.
    pub fn now(&mut self) -> Result<Tick, ClockError> {
        Ok(Tick::of_jiffies(moment(&mut self.object)?.jiffies, self.tick_shift()))
    }
}

impl Moment {
    /// The clock is set so that its lower half overflows after this time (INITIAL_JIFFIES in linux/jiffies.h).
    const OVERFLOW: Duration = Duration::from_secs(300);

    /// Jiffies that the clock would be at now if it had this frequency.
    fn expected(self, hertz: u32) -> u64 {
        let jiffies = |time: Duration| {
            u64::try_from(time.as_micros() * u128::from(hertz) / 1_000_000).unwrap_or(u64::MAX)
        };
        (1_u64 << 32).wrapping_sub(jiffies(Self::OVERFLOW)).wrapping_add(jiffies(self.uptime))
    }

    /// Whether all frequencies would be at nearly the same place.
    fn is_ambiguous(self) -> bool {
        self.uptime.abs_diff(Self::OVERFLOW) < Duration::from_secs(10)
    }

    fn hertz(self) -> Result<u32, ClockError> {
        let off = |hertz: &u32| self.expected(*hertz).abs_diff(self.jiffies);
        let nearest = [100, 250, 300, 1000].into_iter().min_by_key(off);
        // The first ticks of a boot are lost, a quarter of a second's or so.
        nearest
            .filter(|hertz| off(hertz) <= u64::from(*hertz))
            .ok_or(ClockError::NoHertz { jiffies: self.jiffies, uptime: self.uptime })
    }
}

fn program(object: &mut Ebpf) -> Result<&mut Xdp, ClockError> {
    let program = object.program_mut(Clock::PROGRAM).ok_or(ClockError::Missing)?;
    Ok(program.try_into()?)
}

fn moment(object: &mut Ebpf) -> Result<Moment, ClockError> {
    // As long as the shortest Ethernet frame.
    let mut frame = [0; 64];
    program(object)?.test_run(TestRunOptions {
        data_in: Some(&[0; 64]),
        data_out: Some(&mut frame),
        ..TestRunOptions::new()
    })?;
    let (words, _) = frame.as_chunks();
    let [jiffies, nanoseconds, ..] = words else { return Err(ClockError::Missing) };
    let uptime = Duration::from_nanos(u64::from_ne_bytes(*nanoseconds));
    Ok(Moment { jiffies: u64::from_ne_bytes(*jiffies), uptime })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frequency_is_told_from_the_others() {
        for hertz in [100, 250, 300, 1000_u32] {
            for millis in [5, 289_000, 311_000, 86_400_000_u64] {
                let uptime = Duration::from_millis(millis);
                let counted = (millis * u64::from(hertz) / 1000).saturating_sub(u64::from(hertz) / 4);
                let jiffies = (1 << 32) - 300 * u64::from(hertz) + counted;
                let moment = Moment { jiffies, uptime };
                assert!(!moment.is_ambiguous());
                assert_eq!(moment.hertz().ok(), Some(hertz), "{moment:?}");
            }
        }
        let moment = Moment { jiffies: 7, uptime: Duration::from_secs(1) };
        assert!(matches!(moment.hertz(), Err(ClockError::NoHertz { .. })));
    }
}
