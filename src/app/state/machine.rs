//! The machine, as the engine and the page report it: connection, GPU, storage, network, log, notices.

use super::fold::State;
use crate::app::text::{machine, notices};
use crate::engine::protocol::{BUILD, GpuInfo, Level, Problem, Ready};
use crate::platform::NetworkEntry;

/// Maximum number of lines in the log.
const LOG_LINES: usize = 500;

/// Connection to the engine, as seen from here.
#[derive(Debug, Default)]
pub(crate) enum Connection {
    /// It has not said anything yet.
    #[default]
    Starting,
    /// It listens.
    Ready(Box<Ready>),
    /// It is of another build.
    VersionMismatch {
        /// Its build.
        engine: String,
    },
    /// It has ended, for this reason.
    Crashed(String),
}

/// Measurement of the GPU's speed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum BenchState {
    /// Not asked for.
    #[default]
    None,
    /// Under way, with the part that is being measured.
    Running(String),
    /// The result, line by line.
    Done(String),
    /// Why it could not be measured.
    Failed(Problem),
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogLine {
    /// error, warn or info.
    pub(crate) level: Level,
    /// Text of the line.
    pub(crate) text: String,
    /// Time of the line, on the clock of `now`.
    pub(crate) at: f64,
}

/// Something worth announcing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Text to announce.
    pub(crate) text: String,
    /// True if it is also shown as a message, not only announced to a screen reader.
    pub(crate) toast: bool,
}

/// Every request of the page and of the engine: first those for the app's own files, then all others.
pub(crate) fn network(state: &State) -> [Vec<&NetworkEntry>; 2] {
    let all = state.page_requests.iter().chain(&state.requests);
    let (own, others) = all.partition(|entry| machine::is_own(entry));
    [own, others]
}

impl State {
    /// The GPU, or why there is none; none before the engine has said so.
    pub(crate) fn gpu(&self) -> Option<&Result<GpuInfo, Problem>> {
        match &self.connection {
            Connection::Ready(ready) => Some(&ready.gpu),
            _ => None,
        }
    }

    /// The first message of the engine.
    pub(crate) fn ready(&self) -> Option<&Ready> {
        match &self.connection {
            Connection::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// Takes in the engine's first message; the engine must be of this build.
    pub(super) fn engine_ready(&mut self, ready: Box<Ready>) {
        if ready.build == BUILD {
            self.connection = Connection::Ready(ready);
            self.notice(notices::READY, false);
        } else {
            self.connection = Connection::VersionMismatch { engine: ready.build };
        }
    }

    /// Takes in that the engine is gone. A second reason follows from the first one, so the first one stays.
    pub(super) fn engine_crashed(&mut self, why: String, now: f64) {
        self.log_line(Level::Error, &why, now);
        if matches!(self.connection, Connection::Crashed(_)) {
            return;
        }
        self.forget_pending();
        if let Some(run) = &mut self.run
            && run.is_active()
        {
            run.rest(now);
        }
        self.connection = Connection::Crashed(why);
        self.notice(notices::CRASHED, false);
    }

    pub(super) fn gpu_measured(&mut self, report: String) {
        self.bench = BenchState::Done(report);
        self.notice(notices::GPU_MEASURED, false);
    }

    /// Adds a notice to announce, and to show for a moment if `toast`.
    pub(crate) fn notice(&mut self, text: &str, toast: bool) {
        self.notices.push(Notice { text: text.to_owned(), toast });
    }

    pub(super) fn log_line(&mut self, level: Level, text: impl Into<String>, now: f64) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine { level, text: text.into(), at: now });
    }
}
