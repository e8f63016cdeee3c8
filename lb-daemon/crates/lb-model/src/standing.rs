//! Where a backend stands, and what its health checks say: closed sets that views, metrics and the API have in common.

use std::fmt;

/// Whether a backend gets new connections and, if not, why: the first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It does.
    Active,
    /// It could, but better tiers or zones take them all: it gets those that no other backend takes.
    Standby,
    /// An operator has taken it out; its connections go on.
    Draining,
    /// Its weight is 0.
    Disabled,
    /// Its health checks fail.
    Unhealthy,
    /// It did not accept connections and is left alone for a while.
    BackingOff,
}

impl Standing {
    /// All of them, in documentation order.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Standby, Self::Draining, Self::Disabled, Self::Unhealthy, Self::BackingOff];

    /// The stable snake_case label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
            Self::Unhealthy => "unhealthy",
            Self::BackingOff => "backing_off",
        }
    }
}

/// The verdict of health checks on a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Health {
    /// Not checked yet. Gets traffic, as a backend without checks does: a start must not wait for the first results.
    #[default]
    Unknown,
    /// Gets traffic.
    Healthy,
    /// Gets no new traffic.
    Unhealthy,
}

impl Health {
    /// The stable snake_case label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
