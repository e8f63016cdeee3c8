//! The programs in the kernel.

use std::time::Duration;

use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use lb_common::{
    BackendIndex, Config, DropReason, Family, FlowEvent, ListenerId, LoadOrder, PassReason, Secret, Timeouts,
};

use crate::capacity::Capacity;
use crate::clock::{Clock, ClockError};
use crate::counters::{self, Counters, CountersError, Counts};
use crate::mapped::MapError;
use crate::memory::{Maps, Memory};
use crate::object::{OBJECT, TAKES};

/// How flows are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Room.
    pub capacity: Capacity,
    /// For TCP flows.
    pub tcp: FlowTimeouts,
    /// For UDP flows.
    pub udp: FlowTimeouts,
}

/// How long flows of one protocol are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowTimeouts {
    /// After their first packet.
    pub new: Duration,
    /// After their second.
    pub confirmed: Duration,
    /// After the client's FIN or RST.
    pub closing: Duration,
}

/// Why the programs are not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The object or its maps.
    #[error("cannot load the XDP programs; {}", TAKES)]
    Object(#[from] EbpfError),
    /// The verifier, most likely.
    #[error("this kernel does not take the XDP program {name}; {}", TAKES)]
    Program {
        /// Its name in the object.
        name: &'static str,
        #[source]
        /// What the kernel says.
        source: ProgramError,
    },
    /// A program that is not there.
    #[error("the XDP object has no program {name}: it was not built from this version's lb-ebpf")]
    NoProgram {
        /// Its name in the object.
        name: &'static str,
    },
    /// The maps.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The clock.
    #[error(transparent)]
    Clock(#[from] ClockError),
}

/// Why a packet could not be tried.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask or run the XDP program")]
pub struct RunError(#[from] ProgramError);

/// What became of a packet that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// XDP_DROP 1, XDP_PASS 2, XDP_TX 3, XDP_REDIRECT 4.
    pub action: u32,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
    /// Time of one run, if there were many.
    pub duration: Duration,
}

/// How large a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Instructions that the verifier looked at; kernels before 5.16 do not say.
    pub verified: Option<u32>,
    /// Bytes of machine code.
    pub jitted: u32,
}

/// The load balancer in the kernel, attached to nothing.
#[derive(Debug)]
pub struct Balancer {
    object: Ebpf,
    maps: Maps,
    clock: Clock,
    config: Config,
}

impl Balancer {
    const PROGRAM: &'static str = "balancer";

    /// Loads the program with empty maps. `random` has to be so: it decides where flows are in the flow table.
    pub fn load(settings: &Settings, random: &mut dyn FnMut() -> u64) -> Result<Self, LoadError> {
        let clock = Clock::new()?;
        let config = Global(config(settings, &clock, random));
        let capacity = &settings.capacity;
        let mut loader = EbpfLoader::new();
        loader
            .override_global("CONFIG", &config, true)
            .map_max_entries("LISTENERS_V4", capacity.listener_lines() * 2)
            .map_max_entries("LISTENERS_V6", capacity.listener_lines() * 2)
            .map_max_entries("POOLS", capacity.pools.into())
            .map_max_entries("RINGS", u32::from(capacity.pools) * 2 * lb_common::RingLine::LINES)
            .map_max_entries("BACKENDS", capacity.backends.into())
            .map_max_entries("FLOWS_V4", capacity.flow_lines(Family::V4))
            .map_max_entries("FLOWS_V6", capacity.flow_lines(Family::V6))
            // Ids of listeners begin at 1.
            .map_max_entries("LISTENER_STATS", u32::from(capacity.listeners) + 1)
            .map_max_entries("BACKEND_STATS", capacity.backends.into());
        let mut object = loader.load(OBJECT)?;
        let maps = Maps::new(&object)?;
        let name = Self::PROGRAM;
        let refused = |source| LoadError::Program { name, source };
        let program: &mut Xdp =
            object.program_mut(name).ok_or(LoadError::NoProgram { name })?.try_into().map_err(refused)?;
        program.load().map_err(refused)?;
        Ok(Self { object, maps, clock, config: config.0 })
    }

    /// The maps that userspace writes.
    pub fn memory(&self) -> Memory<'_> {
        self.maps.memory()
    }

    /// What the program was loaded with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The clock that the program goes by.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Runs the program on a packet that is on no wire.
    pub fn run(&self, packet: &[u8]) -> Result<Ran, RunError> {
        run(self.program()?, packet, 1)
    }

    /// How large the program is.
    pub fn size(&self) -> Result<Size, RunError> {
        let info = self.program()?.info()?;
        Ok(Size { verified: info.verified_instruction_count(), jitted: info.size_jitted() })
    }

    pub(crate) fn program(&self) -> Result<&Xdp, ProgramError> {
        self.object.program(Self::PROGRAM).ok_or(ProgramError::NotLoaded)?.try_into()
    }
}

impl Counters for Balancer {
    fn listener(&self, id: ListenerId) -> Result<Counts, CountersError> {
        counters::counts(&self.object, "LISTENER_STATS", id.0)
    }

    fn backend(&self, index: BackendIndex) -> Result<Counts, CountersError> {
        counters::counts(&self.object, "BACKEND_STATS", index.0)
    }

    fn passed(&self, reason: PassReason) -> Result<u64, CountersError> {
        counters::count(&self.object, "PASSED", reason as u32)
    }

    fn dropped(&self, reason: DropReason) -> Result<u64, CountersError> {
        counters::count(&self.object, "DROPPED", reason as u32)
    }

    fn flow_event(&self, event: FlowEvent) -> Result<u64, CountersError> {
        counters::count(&self.object, "FLOW_EVENTS", event as u32)
    }
}

/// Runs a program `repeat` times on a packet that is on no wire. From the second time on it gets what it made
/// the time before.
pub(crate) fn run(program: &Xdp, packet: &[u8], repeat: u32) -> Result<Ran, RunError> {
    // Room for an outer header.
    let mut out = vec![0; packet.len() + 64];
    let options =
        TestRunOptions { data_in: Some(packet), data_out: Some(&mut out), repeat, ..TestRunOptions::new() };
    let result = program.test_run(options)?;
    out.truncate(result.data_size_out as usize);
    Ok(Ran { action: result.return_value, packet: out, duration: result.duration })
}

fn config(settings: &Settings, clock: &Clock, random: &mut dyn FnMut() -> u64) -> Config {
    let timeouts = |timeouts: &FlowTimeouts| Timeouts {
        new: clock.ticks(timeouts.new),
        confirmed: clock.ticks(timeouts.confirmed),
        closing: clock.ticks(timeouts.closing),
        _pad: 0,
    };
    let shift = |lines: u32| u64::BITS - lines.trailing_zeros();
    let mut secret = || Secret::new(std::array::from_fn(|_| random()));
    let capacity = &settings.capacity;
    Config {
        line_secret: secret(),
        key_secret: secret(),
        flow_shift: [Family::V4, Family::V6].map(|family| shift(capacity.flow_lines(family))),
        listener_shift: shift(capacity.listener_lines() * 2),
        tick_shift: clock.tick_shift(),
        load_order: LoadOrder::NATIVE,
        timeouts: [timeouts(&settings.tcp), timeouts(&settings.udp)],
    }
}

/// What a program is loaded with, as bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Global<T>(pub(crate) T);

#[expect(unsafe_code, reason = "aya takes bytes of such types only")]
// SAFETY: integers without padding: the size of a `Config` is asserted to be the sum of theirs.
unsafe impl aya::Pod for Global<Config> {}

#[expect(unsafe_code, reason = "aya takes bytes of such types only")]
// SAFETY: an integer.
unsafe impl aya::Pod for Global<LoadOrder> {}

#[cfg(test)]
pub(crate) mod tests;
