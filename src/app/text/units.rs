//! Numbers, sizes, times and pieces of text, as the app writes them.

use crate::engine::protocol::Progress;
pub(crate) use crate::engine::protocol::{count, counted};
use crate::platform::civil_date;

/// Text on one line, for a table.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// The beginning of a text, on one line, if it is longer than `most` letters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let short: String = one_line(text).chars().take(most).collect();
    if short.chars().count() < text.chars().count() { format!("{}…", short.trim_end()) } else { short }
}

/// Things a second below which the seconds of one are told.
const SLOW_RATE: f64 = 0.1;

/// Unit of a progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes.
    Bytes,
    /// Something with a name, in plural.
    Things(&'static str),
}

/// Bytes in the unit that suits them.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Bytes so far of all bytes, in one unit: `0.9/1.5 GB`.
pub(super) fn bytes_of(done: u64, total: u64) -> String {
    let (unit, name) = match total {
        0..1_000 => (1.0, "B"),
        1_000..1_000_000 => (1e3, "kB"),
        1_000_000..999_500_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1}/{:.1} {name}", done as f64 / unit, total as f64 / unit)
}

/// Seconds as a clock shows them: `6:12`, `1:06:12`.
pub(crate) fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// Seconds in words: `8 s`, `14 min`, `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

/// A share of 1 in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A number with as many digits as it deserves.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "not a number".to_owned(),
        0.0 => "0".to_owned(),
        v if v < 1e-3 => format!("{value:.1e}"),
        v if v < 1.0 => format!("{value:.3}"),
        v if v < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// A number of parameters: `494 M`.
pub(crate) fn parameters(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{:.0} k", n as f64 / 1e3),
        1_000_000..999_500_000 => format!("{:.0} M", n as f64 / 1e6),
        _ => format!("{:.2} B", n as f64 / 1e9),
    }
}

/// Seconds that are left of some work; none before its speed is known.
pub(crate) fn seconds_left(progress: &Progress) -> Option<f64> {
    let Progress { done, total, seconds, .. } = progress;
    let is_known = *seconds >= 0.5 && *done > 0 && *total > 0;
    is_known.then(|| total.saturating_sub(*done) as f64 * seconds / *done as f64)
}

/// Amount, speed and time left of some work.
pub(crate) fn progress(progress: &Progress, unit: Unit) -> String {
    let Progress { done, total, seconds, .. } = progress;
    let amount = match (unit, total) {
        (Unit::Bytes, 0) => bytes(*done),
        (Unit::Bytes, total) => bytes_of(*done, *total),
        (Unit::Things(name), 0) => format!("{} {name}", count(*done as usize)),
        (Unit::Things(name), total) => format!("{}/{} {name}", count(*done as usize), count(*total as usize)),
    };
    if *seconds < 0.5 || *done == 0 {
        return amount;
    }
    let rate = *done as f64 / seconds;
    let speed = match unit {
        Unit::Bytes => format!("{}/s", bytes(rate as u64)),
        // A speed below that is easier to read the other way round.
        Unit::Things(_) if rate < SLOW_RATE => format!("{} each", duration(1.0 / rate)),
        Unit::Things(_) => format!("{}/s", number(rate)),
    };
    match total.saturating_sub(*done) {
        0 => format!("{amount}, {speed}"),
        left => format!("{amount}, {speed}, {} left", duration(left as f64 / rate)),
    }
}

/// Converts the first letter to lower case.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + chars.as_str())
}

/// Converts the first letter to upper case.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

/// The day of seconds since 1970, in universal time: `2026-03-14`.
pub(crate) fn date(seconds: f64) -> String {
    let (year, month, day) = civil_date((seconds / 86_400.0).floor() as i64);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_speed_is_told_by_the_time_of_one() {
        let of = |done: u64, seconds: f64| {
            let total = 10;
            progress(&Progress { what: String::new(), done, total, seconds }, Unit::Things("pairs"))
        };
        assert_eq!(of(2, 80.0), "2/10 pairs, 40 s each, 5 min left");
        assert_eq!(of(2, 4.0), "2/10 pairs, 0.500/s, 16 s left");
    }
}
