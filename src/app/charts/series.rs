//! Parts of a chart: units, hues, lines of points, marks.

use eframe::egui::{Color32, Ui};

use crate::app::theme;
use crate::engine::stats;

/// Unit of a value, which decides how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unit {
    /// A number.
    #[default]
    Plain,
    /// A share, as percent; the axis goes from 0 to 100 %.
    Percent,
    /// A small number, with an exponent.
    Small,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The value as text.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "–".to_owned(),
            Self::Plain if value == 0.0 => "0".to_owned(),
            Self::Plain if value.abs() >= 1e4 || value.abs() < 1e-3 => format!("{value:.1e}"),
            Self::Plain if value.abs() >= 100.0 => format!("{value:.0}"),
            Self::Plain if value.abs() >= 10.0 => format!("{value:.1}"),
            Self::Plain => format!("{value:.3}"),
            Self::Percent => format!("{:.0} %", value * 100.0),
            Self::Small => format!("{value:.1e}"),
            Self::Seconds if value < 10.0 => format!("{value:.2} s"),
            Self::Seconds => format!("{value:.0} s"),
        }
    }

    /// Room above and below values from `low` to `high`. Values that differ by no more than rounding does are the same,
    /// and get the room of a value that could be seen.
    pub(super) fn room(self, low: f64, high: f64) -> f64 {
        let (rounding, least) = match self {
            Self::Percent => return 0.02,
            Self::Plain => (1e-5, 0.1),
            Self::Small => (1e-12, 1e-6),
            Self::Seconds => (1e-3, 1.0),
        };
        if high - low < rounding { (0.1 * high.abs()).max(least) } else { 0.08 * (high - low) }
    }

    /// Text of an axis mark, with marks `step` apart.
    pub(super) fn tick(self, value: f64, step: f64) -> String {
        match self {
            Self::Plain if value == 0.0 => "0".to_owned(),
            Self::Plain if value.abs() >= 1e5 || step < 1e-4 => format!("{value:.0e}"),
            Self::Plain => format!("{value:.*}", (-step.log10()).ceil().clamp(0.0, 4.0) as usize),
            Self::Small if value == 0.0 => "0".to_owned(),
            Self::Small => format!("{value:.0e}"),
            Self::Percent => format!("{:.0} %", value * 100.0),
            Self::Seconds => self.text(value),
        }
    }
}

/// Colours that colour-blind users can tell apart, on both backgrounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hue {
    /// Colour of the chosen side, and of a single line.
    First,
    /// Colour of the rejected side.
    Second,
    /// Blue.
    Third,
    /// Purple.
    Fourth,
    /// Grey.
    Quiet,
}

impl Hue {
    /// The hue of the series with this index.
    pub(crate) fn of(index: usize) -> Self {
        [Self::First, Self::Second, Self::Third, Self::Fourth, Self::Quiet][index % 5]
    }

    /// The colour on the current background.
    pub(crate) fn color(self, ui: &Ui) -> Color32 {
        let palette = theme::palette(ui);
        match self {
            Self::Quiet => palette.weak,
            hue => palette.series[hue as usize],
        }
    }
}

/// A line of a chart.
pub(crate) struct Series<'a> {
    pub(super) name: String,
    pub(super) points: &'a [[f64; 2]],
    pub(super) hue: Hue,
    pub(super) dashed: bool,
    pub(super) smoothing: f64,
    pub(super) band: Vec<[f64; 2]>,
}

impl<'a> Series<'a> {
    /// A line through points `[step, value]`, by step.
    pub(crate) fn new(name: impl Into<String>, points: &'a [[f64; 2]], hue: Hue) -> Self {
        Self { name: name.into(), points, hue, dashed: false, smoothing: 0.0, band: Vec::new() }
    }

    /// Draws it dashed.
    pub(crate) fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// Draws the uncertainty of each point, from low to high.
    pub(crate) fn within(mut self, band: Vec<[f64; 2]>) -> Self {
        self.band = band;
        self
    }

    /// Draws the moving average of this weight, with the raw line faint behind it.
    pub(crate) fn smoothed(mut self, weight: f64) -> Self {
        self.smoothing = weight;
        self
    }

    /// The points as they are drawn: smoothed, and thinned to `columns`.
    pub(super) fn drawn(&self, columns: usize) -> Vec<[f64; 2]> {
        if self.smoothing <= 0.0 {
            return stats::decimate(self.points, 2 * columns);
        }
        let values: Vec<f64> = self.points.iter().map(|point| point[1]).collect();
        let smooth = stats::smoothed(&values, self.smoothing);
        let points: Vec<[f64; 2]> = self.points.iter().zip(smooth).map(|(point, y)| [point[0], y]).collect();
        stats::decimate(&points, 2 * columns)
    }
}

/// The value of a line at or before `x`, or its first.
pub(super) fn value_at(points: &[[f64; 2]], x: f64) -> Option<[f64; 2]> {
    let after = points.partition_point(|point| point[0] <= x);
    points.get(after.saturating_sub(1)).copied()
}

/// A mark at a step at which something was noticed.
pub(crate) struct Mark {
    /// The step.
    pub(crate) step: f64,
    /// Text shown on hover.
    pub(crate) text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_get_an_axis_that_can_be_read() {
        let axis = |unit: Unit, low: f64, high: f64| {
            let room = unit.room(low, high);
            [unit.tick(low - room, room), unit.tick(high + room, room)]
        };
        assert_eq!(axis(Unit::Plain, 0.0, 0.0), ["-0.1", "0.1"], "a margin of 0");
        assert_eq!(axis(Unit::Plain, -2e-8, 1e-8), ["-0.1", "0.1"], "a margin of 0 but for rounding");
        assert_eq!(axis(Unit::Plain, 0.693, 0.693), ["0.6", "0.8"], "a loss");
        assert_eq!(axis(Unit::Seconds, 0.0, 0.0), ["-1.00 s", "1.00 s"], "seconds");
        let rate = Unit::Small.room(5e-5, 5e-5);
        assert!((rate - 5e-6).abs() < 1e-9, "a tenth of a learning rate, not {rate}");
    }

    #[test]
    fn a_value_is_the_last_one_before_the_cursor() {
        let points = [[1.0, 10.0], [5.0, 50.0]];
        assert_eq!(value_at(&points, 0.0), Some([1.0, 10.0]), "before the first");
        assert_eq!(value_at(&points, 4.9), Some([1.0, 10.0]));
        assert_eq!(value_at(&points, 5.0), Some([5.0, 50.0]));
        assert_eq!(value_at(&[], 5.0), None);
    }

    #[test]
    fn values_are_short() {
        assert_eq!(Unit::Plain.text(0.4211), "0.421");
        assert_eq!(Unit::Plain.text(f64::NAN), "–");
        assert_eq!(Unit::Percent.text(0.713), "71 %");
        assert_eq!(Unit::Small.text(5e-5), "5.0e-5");
        assert_eq!(Unit::Seconds.text(1.234), "1.23 s");
    }
}
