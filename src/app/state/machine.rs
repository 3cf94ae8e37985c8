//! The machine as the engine and the page tell of it: connection, GPU, storage, network, log, what is said aloud.

use super::fold::State;
use crate::app::text::{machine, notices};
use crate::engine::protocol::{BUILD, GpuInfo, Problem, Ready};
use crate::platform::NetworkEntry;

/// Lines that the log keeps.
const LOG_LINES: usize = 500;

/// The engine as seen from here.
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
    /// It is gone.
    Crashed(String),
}

/// How fast the GPU is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum BenchState {
    /// Not asked for.
    #[default]
    None,
    /// This is being measured.
    Running(String),
    /// Line by line.
    Done(String),
    /// Why it could not be measured.
    Failed(Problem),
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogLine {
    /// error, warn or info.
    pub(crate) level: String,
    /// What happened.
    pub(crate) text: String,
    /// When, on the clock of `now`.
    pub(crate) at: f64,
}

/// Something worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What.
    pub(crate) text: String,
    /// True if it deserves more than a word to a screen reader.
    pub(crate) toast: bool,
}

/// Every request of the page and of the engine: those for the app's own files, and all others.
pub(crate) fn network(state: &State) -> [Vec<&NetworkEntry>; 2] {
    let all = state.page_requests.iter().chain(&state.requests);
    let (own, others) = all.partition(|entry| machine::is_own(entry));
    [own, others]
}

impl State {
    /// The GPU, or why there is none; nothing before the engine has said so.
    pub(crate) fn gpu(&self) -> Option<&Result<GpuInfo, Problem>> {
        match &self.connection {
            Connection::Ready(ready) => Some(&ready.gpu),
            _ => None,
        }
    }

    /// The engine's first words.
    pub(crate) fn ready(&self) -> Option<&Ready> {
        match &self.connection {
            Connection::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// The engine has begun to talk; it must be of this build.
    pub(super) fn engine_ready(&mut self, ready: Box<Ready>) {
        if ready.build == BUILD {
            self.connection = Connection::Ready(ready);
            self.notice(notices::READY, false);
        } else {
            self.connection = Connection::VersionMismatch { engine: ready.build };
        }
    }

    /// The engine is gone. A second reason follows from the first one, which stays.
    pub(super) fn engine_crashed(&mut self, why: String, now: f64) {
        self.log_line("error", &why, now);
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

    /// Something worth saying aloud, and to show for a moment.
    pub(crate) fn notice(&mut self, text: &str, toast: bool) {
        self.notices.push(Notice { text: text.to_owned(), toast });
    }

    pub(super) fn log_line(&mut self, level: &str, text: &str, now: f64) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine { level: level.to_owned(), text: text.to_owned(), at: now });
    }
}
