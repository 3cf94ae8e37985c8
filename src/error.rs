//! The one error type of the library.
//!
//! Three kinds exist (design rule 14): bad input, trouble with the device, and a run that had to stop. A broken
//! invariant of our own is an `assert!`, never an `Error`.

use std::fmt;

/// Result of every fallible function of the library.
pub type Result<T> = std::result::Result<T, Error>;

/// Something the user, or their machine, must know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A file, a setting or a text that cannot be used as it is.
    Input(Box<InputError>),
    /// The GPU or its driver is missing, too small, or refuses a command.
    Device {
        /// The failure.
        what: String,
        /// Advice for the user.
        fix: String,
    },
    /// The GPU has no memory left for what was asked of it.
    OutOfMemory {
        /// The request that failed.
        what: String,
        /// A change that would make it fit.
        fix: String,
    },
    /// The device is gone: the driver reset, or the GPU was taken away.
    DeviceLost {
        /// The reason, as far as the driver gives one.
        what: String,
        /// Advice for the user.
        fix: String,
    },
    /// A training step produced a value that is not finite; nothing of it reached the adapter.
    Diverged {
        /// Optimiser step (from 1) that was refused.
        step: usize,
        /// The values that were found.
        what: String,
    },
    /// The user asked to stop.
    Cancelled,
}

/// The three things a message about bad input says, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The fault that was found.
    pub what: String,
    /// A change that would work.
    pub fix: String,
    /// The place: a path, with line, tensor or field; empty if there is no place.
    pub at: String,
    /// True if a name does not exist; the command line then ends as it does for an unknown flag.
    pub is_unknown: bool,
}

impl Error {
    /// Bad input: `what` was found, `fix` would work, `at` says where.
    pub fn input(what: impl Into<String>, fix: impl Into<String>, at: impl Into<String>) -> Self {
        Self::Input(Box::new(InputError { what: what.into(), fix: fix.into(), at: at.into(), is_unknown: false }))
    }

    /// Bad input: `what` says which name does not exist.
    pub fn unknown(what: impl Into<String>, fix: impl Into<String>, at: impl Into<String>) -> Self {
        Self::Input(Box::new(InputError { what: what.into(), fix: fix.into(), at: at.into(), is_unknown: true }))
    }

    /// Trouble with the device: `what` happened, `fix` may help.
    pub fn device(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Device { what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(e) if e.at.is_empty() => write!(f, "{}. {}.", e.what, e.fix),
            Self::Input(e) => write!(f, "{}. {}. [{}]", e.what, e.fix, e.at),
            Self::Device { what, fix } | Self::OutOfMemory { what, fix } | Self::DeviceLost { what, fix } => {
                write!(f, "{what}. {fix}.")
            }
            Self::Diverged { step, what } => write!(
                f,
                "Step {step} was not finite ({what}). The adapter of the last good step is kept. \
                 Lower learning_rate or raise beta, and look at the pairs of this step."
            ),
            Self::Cancelled => write!(f, "Stopped on request."),
        }
    }
}

impl std::error::Error for Error {}
