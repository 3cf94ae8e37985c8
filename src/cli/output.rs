//! Output of a command while it works: bars and notes on stderr, JSON lines on stdout.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// The voice of a command.
pub(super) struct Output {
    json: bool,
    bar: ProgressBar,
    /// When the last plain line was written, for a stderr that shows no bars.
    last_line: Instant,
    lines_at: u64,
}

/// Without a terminal a line is written after this time, or after `LINE_STEPS` steps.
const LINE_TIME: Duration = Duration::from_secs(5);
const LINE_STEPS: u64 = 10;

impl Output {
    /// Notes on stderr and, with `json`, events on stdout.
    pub(super) fn new(json: bool) -> Self {
        Self { json, bar: ProgressBar::hidden(), last_line: Instant::now(), lines_at: 0 }
    }

    /// A sentence on stderr.
    pub(super) fn note(&self, text: impl Display) {
        // A closed stderr must not end a run.
        self.bar.suspend(|| drop(writeln!(stderr(), "{text}")));
    }

    /// A sentence on stderr about something that was not as it should be.
    pub(super) fn warn(&self, text: impl Display) {
        self.note(format_args!("warning: {text}"));
    }

    /// The command's result: a sentence on stdout, unless stdout has the JSON events.
    pub(super) fn result(&self, text: impl Display) {
        if self.json {
            self.note(text);
        } else {
            self.bar.suspend(|| drop(writeln!(stdout(), "{text}")));
        }
    }

    /// One line of JSON on stdout, if that was asked for.
    pub(super) fn event(&self, event: &Value) {
        if self.json {
            self.bar.suspend(|| drop(writeln!(stdout(), "{event}").and_then(|()| stdout().flush())));
        }
    }

    /// Begins a phase of `total` bytes.
    pub(super) fn begin_bytes(&mut self, phase: &str, total: u64) {
        self.begin(phase, total, "{prefix:10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    }

    /// Begins a phase of `total` steps or pairs.
    pub(super) fn begin_steps(&mut self, phase: &str, total: u64) {
        self.begin(phase, total, "{prefix:10} {bar:30} {pos}/{len} {msg} {elapsed} elapsed, {eta} left");
    }

    fn begin(&mut self, phase: &str, total: u64, template: &str) {
        self.end();
        self.event(&json!({"event": "phase", "phase": phase, "total": total}));
        if stderr().is_terminal() {
            self.bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            self.bar.set_prefix(phase.to_owned());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            self.note(format_args!("{phase} ..."));
        }
        self.last_line = Instant::now();
        self.lines_at = 0;
    }

    /// A phase that was begun at `done` of its steps, for an honest time left.
    pub(super) fn skip_to(&mut self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
        self.lines_at = done;
    }

    /// Moves the bar to `done` of `total`, with `text` about the phase.
    pub(super) fn advance(&mut self, done: u64, total: u64, text: &str) {
        self.bar.set_message(text.to_owned());
        self.bar.set_length(total);
        self.bar.set_position(done);
        let due = done >= self.lines_at + LINE_STEPS || self.last_line.elapsed() >= LINE_TIME || done == total;
        if self.bar.is_hidden() && due && !text.is_empty() {
            self.note(format_args!("{done}/{total} {text}"));
            self.last_line = Instant::now();
            self.lines_at = done;
        }
    }

    /// Ends the phase and takes its bar away.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }
}
