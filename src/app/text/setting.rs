//! Sentences about the value of a setting, and the settings as a link.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::units;
use crate::app::state::Blocked;
use crate::engine::protocol::Settings;

/// Label of the start button while something blocks the run.
pub(crate) fn blocked(blocked: &Blocked) -> String {
    match blocked {
        Blocked::Engine => "The engine is not ready".to_owned(),
        Blocked::OtherTab => "Another tab or window is using the GPU: see why".to_owned(),
        Blocked::NoGpu => "Training needs a GPU: see why".to_owned(),
        Blocked::Running => "A run is at work: show it".to_owned(),
        Blocked::Racing => "A race is at work: show it".to_owned(),
        Blocked::Sweeping => "A sweep is at work: show it".to_owned(),
        Blocked::Model => "Choose a model".to_owned(),
        Blocked::Pairs => "Choose a pairs file".to_owned(),
        Blocked::NoUsablePairs => "No pair can be used: see why".to_owned(),
        Blocked::PairProblems(1) => "1 row cannot be used: look at it".to_owned(),
        Blocked::PairProblems(n) => format!("{} rows cannot be used: look at them", units::count(*n)),
        Blocked::Settings(problem) => problem.what.clone(),
        Blocked::Rewards => "Say what answers are worth".to_owned(),
        Blocked::Planning => PLANNING.to_owned(),
        Blocked::NotPlanned => "Work out the plan".to_owned(),
    }
}

pub(crate) const PLANNING: &str = "Working out the plan";
pub(crate) const ABOVE_0: &str = "a number above 0";
pub(crate) const FRACTION: &str = "a number from 0 to below 1";
pub(crate) const PERCENT: &str = "a number from 0 to below 100";
/// Says what decides if a number of steps is empty.
pub(crate) const BY_EPOCHS: &str = "by epochs";
pub(crate) const BY_TIME: &str = "by time";
pub(crate) const A_WORD: &str = "at least one name";
pub(crate) const A_LIST: &str = "numbers with commas between them";

pub(crate) fn wants(range: &str) -> String {
    format!("Needs {range}")
}

pub(crate) fn between(from: f64, to: f64) -> String {
    if to >= 1e6 { format!("{from} or more") } else { format!("a number from {from} to {to}") }
}

pub(crate) fn whole_between(from: i64, to: i64) -> String {
    if to >= 1_000_000 {
        format!("a whole number, {from} or more")
    } else {
        format!("a whole number from {from} to {to}")
    }
}

/// Bytes of settings that are written as codes in an address.
const CODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b',');

/// Fragment of the address (after the `#`) for these settings.
pub(crate) fn settings_fragment(settings: &Settings) -> String {
    let json = serde_json::to_string(settings).unwrap_or_default();
    format!("s={}", utf8_percent_encode(&json, CODED))
}

/// Parses the settings in the fragment of an address.
pub(crate) fn fragment_settings(fragment: &str) -> Option<Settings> {
    let bytes: Vec<u8> = percent_decode_str(fragment.strip_prefix("s=")?).collect();
    serde_json::from_slice(&bytes).ok()
}
