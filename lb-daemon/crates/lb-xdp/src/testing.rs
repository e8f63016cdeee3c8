//! Programs that measure and try the balancer: see lb-ebpf's `testing`.

use aya::maps::{MapError as AyaMapError, ProgramArray};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use lb_common::testing::Plan;
use lb_common::{Family, LoadOrder};

use crate::mapped::{MapError, MappedOne};
use crate::object::TESTING;
use crate::program::{Balancer, Global, Ran, RunError, run};

/// Runs a program on many packets, each made anew.
#[derive(Debug)]
pub struct Wrapper {
    object: Ebpf,
    plan: MappedOne<Plan>,
}

/// A program that is run.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The load balancer.
    Balancer(&'a Balancer),
    /// What every program costs.
    Drop,
    /// What every program costs that puts an IPv4 header before a packet.
    Grow20,
    /// What every program costs that puts an IPv6 header before a packet.
    Grow40,
    /// Reads a packet, looks a hash map up once and sends it back.
    Reference,
}

/// Why programs cannot be measured or tried.
#[derive(Debug, thiserror::Error)]
pub enum TestingError {
    /// The object.
    #[error("cannot load the testing programs")]
    Object(#[from] EbpfError),
    /// A program.
    #[error("cannot load or run a testing program")]
    Program(#[from] ProgramError),
    /// The descriptor of a program.
    #[error("cannot copy a program's descriptor")]
    Descriptor(#[from] std::io::Error),
    /// A run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A map of ours.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A map of programs.
    #[error("cannot put a program into a map")]
    ProgramMap(#[from] AyaMapError),
}

/// In which order flows have their packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One after the other.
    Sequential,
    /// Mixed up.
    Permuted,
}

impl Wrapper {
    const PROGRAMS: [&str; 6] = ["wrap4", "wrap6", "drop", "grow20", "grow40", "reference"];

    /// Loads the programs.
    pub fn load() -> Result<Self, TestingError> {
        let mut object = EbpfLoader::new()
            .override_global("LOAD_ORDER", &Global(LoadOrder::NATIVE), true)
            .load(TESTING)?;
        for name in Self::PROGRAMS {
            program_mut(&mut object, name)?.load()?;
        }
        let plan = MappedOne::new(&object, "PLAN")?;
        Ok(Self { object, plan })
    }

    /// Makes `target` the program that is run.
    pub fn aim(&mut self, target: Target<'_>) -> Result<(), TestingError> {
        let fd = match target {
            Target::Balancer(balancer) => balancer.program()?.fd()?.try_clone()?,
            Target::Drop => self.fd("drop")?,
            Target::Grow20 => self.fd("grow20")?,
            Target::Grow40 => self.fd("grow40")?,
            Target::Reference => self.fd("reference")?,
        };
        let map = self.object.map_mut("TARGET").ok_or(MapError::Missing { name: "TARGET" })?;
        ProgramArray::try_from(map)?.set(0, &fd, 0)?;
        Ok(())
    }

    /// Sets the packets: as `template`, of `flows` flows (a power of two, at most 2²⁴) that begin with the first.
    pub fn set_packets(&self, family: Family, template: &[u8], flows: u32, order: Order) {
        let (lead, source) = match family {
            Family::V4 => (Plan::LEAD_V4, Plan::SOURCE_V4),
            Family::V6 => (Plan::LEAD_V6, Plan::SOURCE_V6),
        };
        let mut padded = [0; 88];
        for (byte, given) in padded.iter_mut().skip(8 - lead).zip(template) {
            *byte = *given;
        }
        // The wrapper adds these.
        padded.iter_mut().skip(8 - lead + source).take(4).for_each(|byte| *byte = 0);
        let (words, _) = padded.as_chunks();
        for (word, bytes) in self.plan.template.iter().zip(words) {
            word.store(u64::from_ne_bytes(*bytes));
        }
        self.plan.count.store(0);
        self.plan.mask.store(u64::from(flows.saturating_sub(1)));
        self.plan.multiplier.store(if order == Order::Permuted { 0x9e37_79b1 } else { 1 });
    }

    /// Runs the program on `packets` packets; the duration is that of one.
    pub fn run(&self, family: Family, packets: u32) -> Result<Ran, TestingError> {
        let (name, length) = match family {
            Family::V4 => ("wrap4", Plan::LENGTH_V4),
            Family::V6 => ("wrap6", Plan::LENGTH_V6),
        };
        Ok(run(program(&self.object, name)?, &vec![0; length], packets)?)
    }

    fn fd(&self, name: &str) -> Result<aya::programs::ProgramFd, TestingError> {
        Ok(program(&self.object, name)?.fd()?.try_clone()?)
    }
}

fn program<'a>(object: &'a Ebpf, name: &str) -> Result<&'a Xdp, ProgramError> {
    object.program(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn program_mut<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, ProgramError> {
    object.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

#[cfg(test)]
mod tests;
