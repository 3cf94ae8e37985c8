//! The bounds of a chart, its axes and its grid.

use eframe::egui::{self, Id, Ui, vec2};
use egui_plot::{AxisHints, GridInput, GridMark, Plot};

use super::chart::Chart;
use super::series::Unit;
use crate::app::text::chart;

impl Chart<'_> {
    /// `[x_min, x_max, y_min, y_max]` of the initial view.
    pub(super) fn bounds(&self, drawn: &[Vec<[f64; 2]>]) -> [f64; 4] {
        let [from, to] = self.view.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let raw = self.series.iter().flat_map(|series| series.points.iter().copied());
        let banded = self.series.iter().flat_map(|series| {
            let ends = |(point, band): (&[f64; 2], &[f64; 2])| band.map(|y| [point[0], y]);
            series.points.iter().zip(&series.band).flat_map(ends)
        });
        let all =
            raw.chain(banded).chain(drawn.iter().flatten().copied()).filter(|[x, y]| x.is_finite() && y.is_finite());
        let mut bounds = [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY];
        for [x, y] in all.filter(|[x, _]| (from..=to).contains(x)) {
            bounds = [bounds[0].min(x), bounds[1].max(x), bounds[2].min(y), bounds[3].max(y)];
        }
        for (.., y) in &self.levels {
            bounds = [bounds[0], bounds[1], bounds[2].min(*y), bounds[3].max(*y)];
        }
        if self.unit == Unit::Percent {
            bounds = [bounds[0], bounds[1], bounds[2].min(0.0), bounds[3].max(1.0)];
        }
        match (self.view, self.end) {
            (Some([from, to]), _) => bounds = [from, to, bounds[2], bounds[3]],
            (None, Some(end)) => bounds = [bounds[0].min(0.0), bounds[1].max(end), bounds[2], bounds[3]],
            (None, None) => {}
        }
        if !bounds.iter().all(|bound| bound.is_finite()) {
            return [0.0, 1.0, 0.0, 1.0];
        }
        let width = bounds[1] - bounds[0];
        let x_pad = match self.across {
            Some(_) if width > 1e-9 => 0.05 * width,
            Some(_) => 0.5,
            None if width < 1.0 => 1.0,
            None => 0.01 * width,
        };
        let y_pad = self.unit.room(bounds[2], bounds[3]);
        [bounds[0] - x_pad, bounds[1] + x_pad, bounds[2] - y_pad, bounds[3] + y_pad]
    }

    pub(super) fn plot(&self, ui: &Ui, bounds: [f64; 4]) -> Plot<'static> {
        let (unit, across) = (self.unit, self.across);
        let weak = ui.visuals().weak_text_color();
        let x_axis = axis(ui, AxisHints::new_x())
            .formatter(move |mark, _| match across {
                None => format!("{:.0}", mark.value),
                Some(across) => across.text(mark.value, mark.step_size),
            })
            .label(egui::RichText::new(across.map_or(chart::STEP, |across| across.name)).small().color(weak))
            .label_spacing(12.0..=13.0);
        let y_axis = axis(ui, AxisHints::new_y())
            .formatter(move |mark, _| unit.tick(mark.value, mark.step_size))
            .label_spacing(9.0..=10.0)
            .min_thickness(34.0);
        let plot = in_style(ui, Plot::new(self.id.with(self.view.map(|view| view.map(f64::to_bits)))))
            .id(self.id.with(("plot", self.view.map(|view| view.map(f64::to_bits)))))
            .height(self.height(ui))
            .custom_x_axes(vec![x_axis])
            .custom_y_axes(vec![y_axis])
            .x_grid_spacer(move |input| ticks(&input, 6, across.is_none()))
            .y_grid_spacer(|input| ticks(&input, 5, false))
            .boxed_zoom_pointer_button(egui::PointerButton::Primary)
            .show_crosshair(across.is_none());
        // Link the cursors of charts over steps only: elsewhere the same place means another value.
        let plot = match across {
            None => plot.link_cursor(Id::unique("chart cursors"), [true, false]),
            Some(_) => plot,
        };
        if self.view.is_some() {
            return plot
                .auto_bounds(false)
                .default_x_bounds(bounds[0], bounds[1])
                .default_y_bounds(bounds[2], bounds[3]);
        }
        plot.include_x(bounds[0]).include_x(bounds[1]).include_y(bounds[2]).include_y(bounds[3])
    }
}

/// An axis with the small and faint marks of all charts.
pub(super) fn axis<'a>(ui: &Ui, hints: AxisHints<'a>) -> AxisHints<'a> {
    let font = egui::TextStyle::Small.resolve(ui.style());
    hints.tick_label_color(ui.visuals().weak_text_color()).tick_label_font(font)
}

/// A plot in the look of all charts: no background, faint lines from left to right, nothing that moves by itself.
pub(super) fn in_style<'a>(ui: &Ui, plot: Plot<'a>) -> Plot<'a> {
    let weak = ui.visuals().weak_text_color();
    plot.show_background(false)
        .show_y(false)
        .show_x(false)
        .label_formatter(|_| None)
        .cursor_color(weak.gamma_multiply(0.6))
        .grid_color(weak.gamma_multiply(0.2))
        .grid_fade(0.0)
        .show_grid([false, true])
        .set_margin_fraction(vec2(0.0, 0.0))
        .allow_drag(false)
        .allow_scroll(false)
        .allow_zoom(false)
        .allow_axis_zoom_drag(false)
}

/// About `most` marks at round values.
pub(super) fn ticks(input: &GridInput, most: usize, whole: bool) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return Vec::new();
    }
    let rough = span / most as f64;
    let power = 10f64.powf(rough.log10().floor());
    let mut step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough).unwrap_or(rough);
    if whole {
        step = step.max(1.0);
    }
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last.min(first + 50)).map(|i| GridMark { value: i as f64 * step, step_size: step }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let marks = |low, high, most, whole| -> Vec<f64> {
            let input = GridInput { bounds: (low, high), base_step_size: 1e-3 };
            ticks(&input, most, whole).into_iter().map(|mark| mark.value).collect()
        };
        assert_eq!(marks(0.0, 300.0, 6, true), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]);
        assert_eq!(marks(0.0, 2.0, 6, true), [0.0, 1.0, 2.0], "steps are whole");
        assert_eq!(marks(-0.1, 1.1, 4, false), [0.0, 0.5, 1.0]);
        assert!(marks(0.0, 0.0, 4, false).is_empty(), "nothing to divide");
        assert!(marks(f64::NAN, 1.0, 4, false).is_empty(), "no range");
    }
}
