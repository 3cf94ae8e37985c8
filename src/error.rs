//! The one error type of the library.
//!
//! Three kinds exist (design rule 14): bad input, trouble with the device, and a run that had to stop. A broken
//! invariant of our own is an `assert!`, never an `Error`.

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// Kind of a failure, for code that acts on it; words are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A file, a setting or a text cannot be used as it is.
    #[default]
    Input,
    /// A name does not exist; the command line then ends as it does for an unknown flag.
    Unknown,
    /// There is no space left to write to.
    StorageFull,
    /// A stored run was asked for, and its model is not at hand.
    OtherModel,
    /// [`Error::Device`].
    Device,
    /// [`Error::OutOfMemory`].
    OutOfMemory,
    /// [`Error::DeviceLost`].
    DeviceLost,
    /// [`Error::Diverged`].
    Diverged,
    /// [`Error::Cancelled`].
    Cancelled,
}

/// A fault of some input, and the three things that a message about it says, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The fault that was found.
    pub what: String,
    /// A change that would work.
    pub fix: String,
    /// The place: a path, with line, tensor or field; empty if there is no place.
    pub at: String,
    /// Kind of the fault.
    pub code: ErrorCode,
    /// Key of the setting that is at fault, if one is.
    pub setting: Option<String>,
}

impl Error {
    /// Bad input: `what` was found, `fix` would work, `at` says where.
    pub fn input(what: impl Into<String>, fix: impl Into<String>, at: impl Into<String>) -> Self {
        Self::coded(ErrorCode::Input, what, fix, at)
    }

    /// Bad input: `what` says which name does not exist.
    pub fn unknown(what: impl Into<String>, fix: impl Into<String>, at: impl Into<String>) -> Self {
        Self::coded(ErrorCode::Unknown, what, fix, at)
    }

    /// Bad input of a kind that some code acts on.
    pub fn coded(code: ErrorCode, what: impl Into<String>, fix: impl Into<String>, at: impl Into<String>) -> Self {
        Self::Input(Box::new(InputError { what: what.into(), fix: fix.into(), at: at.into(), code, setting: None }))
    }

    /// This error, which the setting of this key is the reason of.
    pub fn about_setting(mut self, key: &str) -> Self {
        if let Self::Input(e) = &mut self {
            e.setting = Some(key.to_owned());
        }
        self
    }

    /// Trouble with the device: `what` happened, `fix` may help.
    pub fn device(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Device { what: what.into(), fix: fix.into() }
    }

    /// The kind of this failure.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Input(e) => e.code,
            Self::Device { .. } => ErrorCode::Device,
            Self::OutOfMemory { .. } => ErrorCode::OutOfMemory,
            Self::DeviceLost { .. } => ErrorCode::DeviceLost,
            Self::Diverged { .. } => ErrorCode::Diverged,
            Self::Cancelled => ErrorCode::Cancelled,
        }
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
