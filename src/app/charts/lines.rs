//! Shapes in the plot of a chart: lines, bands, levels, stops.

use eframe::egui::Ui;
use egui_plot::{FilledArea, HLine, Line, LineStyle, PlotPoints, Points, VLine};

use super::chart::Chart;
use super::series::{Hue, Mark, Series};
use crate::engine::stats;

/// Least share of the height of a chart between two levels.
const BETWEEN_LEVELS: f64 = 0.02;

/// A line, and the dots on it.
pub(super) type LineAndDots = (Line<'static>, Option<Points<'static>>);

impl Chart<'_> {
    /// The lines, each with its raw values faint behind it and a dot at its end, or at each point if the chart is not
    /// over steps.
    pub(super) fn lines(&self, ui: &Ui, drawn: Vec<Vec<[f64; 2]>>, columns: usize) -> Vec<LineAndDots> {
        let mut lines = Vec::new();
        for (series, points) in self.series.iter().zip(drawn) {
            let color = series.hue.color(ui);
            if series.smoothing > 0.0 {
                let raw = stats::decimate(series.points, 2 * columns);
                let line = Line::new(format!("{} raw", series.name), PlotPoints::from(raw));
                lines.push((line.color(color.gamma_multiply(0.28)).width(1.0).allow_band(false), None));
            }
            let style = if series.dashed { LineStyle::dashed_dense() } else { LineStyle::Solid };
            let (dotted, radius) = match self.across {
                None => (points.last().copied().into_iter().collect(), 2.6),
                Some(_) => (points.clone(), 3.6),
            };
            let line = Line::new(series.name.clone(), PlotPoints::from(points))
                .color(color)
                .width(1.8)
                .style(style)
                .allow_band(false);
            let dots = (!dotted.is_empty()).then(|| {
                Points::new(format!("{} last", series.name), PlotPoints::from(dotted)).color(color).radius(radius)
            });
            lines.push((line, dots));
        }
        lines
    }

    /// Uncertainty bands of the lines that have one.
    pub(super) fn bands(&self, ui: &Ui) -> Vec<FilledArea> {
        let banded = self.series.iter().filter(|series| !series.band.is_empty());
        let area = |series: &Series<'_>| {
            let xs: Vec<f64> = series.points.iter().map(|point| point[0]).collect();
            let [low, high] = [0, 1].map(|i| series.band.iter().map(|band| band[i]).collect::<Vec<_>>());
            let band = FilledArea::new(format!("{} band", series.name), &xs, &low, &high);
            band.fill_color(series.hue.color(ui).gamma_multiply(0.2))
        };
        banded.map(area).collect()
    }

    /// Zero, if it lies within the bounds, and the levels to compare with.
    pub(super) fn levels(&self, ui: &Ui, bounds: [f64; 4]) -> Vec<HLine> {
        let grid = ui.visuals().weak_text_color();
        let zero = (bounds[2] < 0.0 && bounds[3] > 0.0)
            .then(|| HLine::new("zero", 0.0).color(grid.gamma_multiply(0.5)).width(1.0));
        let places = apart(self.levels.iter().map(|(.., y)| *y), BETWEEN_LEVELS * (bounds[3] - bounds[2]));
        let level = |((name, hue, _), y): (&(String, Hue, f64), f64)| {
            let line = HLine::new(name.clone(), y).color(hue.color(ui)).width(1.0);
            line.style(LineStyle::dotted_dense())
        };
        zero.into_iter().chain(self.levels.iter().zip(places).map(level)).collect()
    }

    /// A line at each step at which something was noticed.
    pub(super) fn stops(&self, ui: &Ui) -> Vec<VLine> {
        let warn = ui.visuals().warn_fg_color;
        let stop = |(i, mark): (usize, &Mark)| {
            let line = VLine::new(format!("mark {i}"), mark.step).color(warn.gamma_multiply(0.5)).width(1.0);
            line.style(LineStyle::dashed_loose())
        };
        self.marks.iter().enumerate().map(stop).collect()
    }
}

/// Places of levels on an axis: one that would lie on another is drawn above it, so that both are seen.
fn apart(levels: impl Iterator<Item = f64>, gap: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::new();
    for mut y in levels {
        while places.iter().any(|other| (other - y).abs() < gap) {
            y += gap;
        }
        places.push(y);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_coincide_are_drawn_side_by_side() {
        assert_eq!(apart([0.5, 0.75, 0.5].into_iter(), 0.125), [0.5, 0.75, 0.625], "one above the other");
        assert_eq!(apart([0.5, 0.625, 0.5].into_iter(), 0.125), [0.5, 0.625, 0.75], "above both");
        assert_eq!(apart([0.5, 0.62].into_iter(), 0.02), [0.5, 0.62], "apart by themselves");
        assert_eq!(apart([0.5, 0.5].into_iter(), 0.0), [0.5, 0.5], "in a chart without height");
    }
}
