//! Counters, one set for each CPU.

use crate::Word;

/// What a listener and a backend count.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counter {
    /// Packets of clients that were sent on.
    pub packets: Word,
    /// Bytes of them, from the IP header on.
    pub bytes: Word,
    /// Flows that were put into the flow table.
    pub flows: Word,
}

impl Counter {
    /// Counts a packet of `bytes`.
    #[inline(always)]
    pub(crate) fn packet(&self, bytes: u16) {
        self.packets.add_own(1);
        self.bytes.add_own(bytes.into());
    }
}

/// What happens to the flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum FlowEvent {
    /// A packet of a flow that was not known.
    Missed = 0,
    /// A flow was put into a way that was empty or whose flow had expired.
    Inserted = 1,
    /// A flow was put into a way whose flow was closing.
    ReplacedClosing = 2,
    /// A flow was put into a way whose flow had had one packet only.
    ReplacedNew = 3,
    /// A flow found no way: its packets go where Maglev says as long as the backends stay the same.
    NoRoom = 4,
    /// Two CPUs wanted one way: the flow of the later one stays untracked, as where there is no room.
    LostRace = 5,
    /// A known flow was found in the neighbour of its line.
    FoundInNeighbour = 6,
}

impl FlowEvent {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Missed,
        Self::Inserted,
        Self::ReplacedClosing,
        Self::ReplacedNew,
        Self::NoRoom,
        Self::LostRace,
        Self::FoundInNeighbour,
    ];

    /// The name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Inserted => "inserted",
            Self::ReplacedClosing => "replaced_closing",
            Self::ReplacedNew => "replaced_new",
            Self::NoRoom => "no_room",
            Self::LostRace => "lost_race",
            Self::FoundInNeighbour => "found_in_neighbour",
        }
    }
}
