//! A histogram: how many values lie in each of equal parts of a range.

use eframe::egui::{self, Align2, Id, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2};
use egui_plot::{AxisHints, Bar, BarChart, LineStyle, Plot, PlotPoint, VLine};

use super::axes::{axis, in_style, ticks};
use super::series::{Hue, Unit};
use crate::app::text::chart;

/// Height of a histogram.
const HEIGHT: f32 = 150.0;

/// A histogram in the look of the charts.
pub(crate) struct Histogram<'a> {
    title: &'a str,
    values: &'a [f64],
    range: [f64; 2],
    bins: usize,
    across: &'a str,
    height: f32,
    limit: Option<(&'a str, f64)>,
}

impl<'a> Histogram<'a> {
    /// The number of values in each of `bins` equal parts of `range`; the title must be unique on the page.
    pub(crate) fn new(title: &'a str, values: &'a [f64], range: [f64; 2], bins: usize) -> Self {
        Self { title, values, range, bins, across: "", height: HEIGHT, limit: None }
    }

    /// Names the values below the axis.
    pub(crate) fn across(mut self, name: &'a str) -> Self {
        self.across = name;
        self
    }

    /// Sets the height.
    pub(crate) fn height(mut self, height: f32) -> Self {
        self.height = height;
        self
    }

    /// Marks a limit, and what lies above it.
    pub(crate) fn limit(mut self, name: &'a str, value: f64) -> Self {
        self.limit = Some((name, value));
        self
    }

    /// Draws the histogram.
    pub(crate) fn show(self, ui: &mut Ui) -> Response {
        let counts = bin(self.values, self.range, self.bins);
        let width = (self.range[1] - self.range[0]) / counts.len() as f64;
        let warn = ui.visuals().warn_fg_color;
        let bars = counts.iter().enumerate().map(|(i, count)| {
            let from = self.range[0] + i as f64 * width;
            let is_above = self.limit.is_some_and(|(_, limit)| from + width > limit);
            let color = if is_above { warn } else { Hue::First.color(ui) };
            let bar = Bar::new(from + width / 2.0, *count as f64).width(0.86 * width);
            bar.fill(color).stroke(Stroke::NONE)
        });
        let bars = BarChart::new(self.title, bars.collect()).allow_hover(false);
        let limit = self.limit.map(|(name, value)| {
            VLine::new(name, value).color(warn).width(1.0).style(LineStyle::dashed_loose()).allow_hover(false)
        });
        let shown = self.plot(ui, &counts).show(ui, move |plot| {
            plot.bar_chart(bars);
            if let Some(limit) = limit {
                plot.vline(limit);
            }
        });
        if let Some((name, value)) = self.limit {
            let (frame, font) = (*shown.transform.frame(), egui::TextStyle::Small.resolve(ui.style()));
            let at = pos2(shown.transform.position_from_point(&PlotPoint::new(value, 0.0)).x, frame.top());
            let (align, beside) = match at.x < frame.center().x {
                true => (Align2::LEFT_TOP, 5.0),
                false => (Align2::RIGHT_TOP, -5.0),
            };
            ui.painter().text(at + egui::vec2(beside, 0.0), align, name, font, ui.visuals().weak_text_color());
        }
        let list: Vec<String> = counts.iter().map(usize::to_string).collect();
        let text = chart::counts(self.title, &list, self.range);
        shown.response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &text));
        let at = shown.response.hover_pos().map(|at| shown.transform.value_from_position(at).x);
        match at.map(|x| ((x - self.range[0]) / width).floor()) {
            Some(i) if (0.0..counts.len() as f64).contains(&i) => {
                let [from, to] = [i, i + 1.0].map(|i| number(self.range[0] + i * width, width));
                shown.response.on_hover_text_at_pointer(chart::bin([&from, &to], counts[i as usize]))
            }
            _ => shown.response,
        }
    }

    fn plot(&self, ui: &Ui, counts: &[usize]) -> Plot<'static> {
        let weak = ui.visuals().weak_text_color();
        let x_axis = axis(ui, AxisHints::new_x())
            .formatter(|mark, _| number(mark.value, mark.step_size))
            .label(egui::RichText::new(self.across).small().color(weak))
            .label_spacing(12.0..=13.0);
        let y_axis = axis(ui, AxisHints::new_y())
            .formatter(|mark, _| format!("{:.0}", mark.value))
            .label_spacing(9.0..=10.0)
            .min_thickness(34.0);
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let room = 0.01 * (self.range[1] - self.range[0]);
        in_style(ui, Plot::new(Id::unique(("histogram", self.title))))
            .id(Id::unique(("histogram plot", self.title)))
            .height(self.height)
            .sense(Sense::hover())
            .custom_x_axes(vec![x_axis])
            .custom_y_axes(vec![y_axis])
            .x_grid_spacer(|input| ticks(&input, 8, false))
            .y_grid_spacer(|input| ticks(&input, 4, true))
            .include_x(self.range[0] - room)
            .include_x(self.range[1] + room)
            .include_y(0.0)
            .include_y(1.06 * most as f64)
    }
}

/// A value of the axis, with marks `step` apart.
fn number(value: f64, step: f64) -> String {
    if step >= 1.0 { format!("{value:.0}") } else { Unit::Plain.tick(value, step) }
}

fn bin(values: &[f64], range: [f64; 2], bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins.max(1)];
    let width = (range[1] - range[0]) / counts.len() as f64;
    for value in values.iter().filter(|value| value.is_finite()) {
        let at = ((value - range[0]) / width).max(0.0) as usize;
        let last = counts.len() - 1;
        counts[at.min(last)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_binned_within_the_range() {
        assert_eq!(bin(&[0.0, 0.49, 0.5, 1.0, 2.0, -1.0, f64::NAN], [0.0, 1.0], 2), [3, 3]);
        assert_eq!(bin(&[], [0.0, 1.0], 3), [0, 0, 0]);
    }
}
