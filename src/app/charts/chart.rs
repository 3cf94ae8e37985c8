//! A chart over steps: its parts, its title with the values under the cursor, and its summary in words.

use eframe::egui::{self, Align2, Id, Response, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use egui_plot::PlotPoint;

use super::parts::{legend_ui, mark_ui, tight};
use super::series::{Hue, Mark, Series, Unit, value_at};
use crate::app::text::chart;

/// Key under which egui keeps the step under the pointer.
const CURSOR: &str = "chart cursor";

/// Height of a chart without its title.
const HEIGHT: f32 = 164.0;

/// The step under the pointer, the pass in which it was there, and the chart's id.
type Hovered = (f64, u64, Id);

/// A chart over steps.
pub(crate) struct Chart<'a> {
    pub(super) id: Id,
    pub(super) title: &'a str,
    pub(super) help: &'a str,
    pub(super) series: Vec<Series<'a>>,
    pub(super) levels: Vec<(String, Hue, f64)>,
    pub(super) marks: Vec<Mark>,
    pub(super) unit: Unit,
    pub(super) titled: bool,
    pub(super) view: Option<[f64; 2]>,
    pub(super) end: Option<f64>,
    pub(super) bottom: f32,
    pub(super) across: Option<Across>,
}

/// Horizontal axis of a chart that is not over steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Across {
    /// Label of the axis.
    pub(crate) name: &'static str,
    /// True if the points hold the logarithm to base 10.
    pub(crate) log: bool,
}

impl Across {
    /// Text of an axis mark, with marks `step` apart.
    pub(super) fn text(self, x: f64, step: f64) -> String {
        if !self.log {
            return Unit::Plain.tick(x, step);
        }
        let text = Unit::Plain.text(10f64.powf(x));
        match text.contains('.') && !text.contains('e') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }
}

impl<'a> Chart<'a> {
    /// A chart; the name must be unique on the page.
    pub(crate) fn new(title: &'a str, help: &'a str) -> Self {
        Self {
            id: Id::unique(("chart", title)),
            title,
            help,
            series: Vec::new(),
            levels: Vec::new(),
            marks: Vec::new(),
            unit: Unit::Plain,
            titled: true,
            view: None,
            end: None,
            bottom: 0.0,
            across: None,
        }
    }

    /// Adds a line.
    pub(crate) fn line(mut self, series: Series<'a>) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a level to compare with.
    pub(crate) fn level(mut self, name: impl Into<String>, hue: Hue, value: f64) -> Self {
        self.levels.push((name.into(), hue, value));
        self
    }

    /// Adds marks.
    pub(crate) fn marks(mut self, marks: Vec<Mark>) -> Self {
        self.marks = marks;
        self
    }

    /// Says what the values are.
    pub(crate) fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Leaves out the title, because the caller draws it above the chart.
    pub(crate) fn untitled(mut self) -> Self {
        self.titled = false;
        self
    }

    /// Shows only these steps at first.
    pub(crate) fn view(mut self, steps: Option<[f64; 2]>) -> Self {
        self.view = steps;
        self
    }

    /// Sets the step at which the run will end, so that the line grows into its place.
    pub(crate) fn until(mut self, step: usize) -> Self {
        self.end = (step > 0).then_some(step as f64);
        self
    }

    /// Uses another horizontal axis than steps, and marks every point.
    pub(crate) fn across(mut self, across: Across) -> Self {
        self.across = Some(across);
        self
    }

    /// Fills the height down to `bottom`, so that charts side by side end alike.
    pub(crate) fn down_to(mut self, bottom: f32) -> Self {
        self.bottom = bottom;
        self
    }
}

impl Chart<'_> {
    /// Draws the chart.
    pub(crate) fn show(self, ui: &mut Ui) -> Response {
        let pass = ui.ctx().cumulative_pass_nr();
        let hovered = ui.data(|data| data.get_temp::<Hovered>(Id::unique(CURSOR)));
        let hovered = hovered.filter(|(_, at, _)| pass.saturating_sub(*at) <= 1 && self.across.is_none());
        let cursor = hovered.map(|(x, ..)| x);
        let columns = ui.available_width().max(50.0) as usize;
        let drawn: Vec<Vec<[f64; 2]>> = self.series.iter().map(|series| series.drawn(columns)).collect();
        self.title_ui(ui, &drawn, cursor);
        if self.series.iter().all(|series| series.points.is_empty()) {
            return self.empty_ui(ui);
        }

        let bounds = self.bounds(&drawn);
        let plot = self.plot(ui, bounds);
        let (levels, stops, bands) = (self.levels(ui, bounds), self.stops(ui), self.bands(ui));
        let lines = self.lines(ui, drawn, columns);
        let shown = plot.show(ui, move |plot| {
            for line in levels {
                plot.hline(line.allow_hover(false));
            }
            for line in stops {
                plot.vline(line.allow_hover(false));
            }
            for band in bands {
                plot.add(band.allow_hover(false));
            }
            for (line, dots) in lines {
                plot.line(line.allow_hover(false));
                if let Some(dots) = dots {
                    plot.points(dots.allow_hover(false));
                }
            }
        });

        let at = shown.response.hover_pos().map(|at| shown.transform.value_from_position(at).x);
        if self.across.is_none() {
            self.share_cursor(ui, hovered, at);
        }
        for (i, mark) in self.marks.iter().enumerate() {
            let frame = *shown.transform.frame();
            let at = shown.transform.position_from_point(&PlotPoint::new(mark.step, 0.0));
            if frame.x_range().contains(at.x) {
                mark_ui(ui, self.id.with(("mark", i)), pos2(at.x, frame.top() + 8.0), mark);
            }
        }
        let enabled = ui.is_enabled();
        shown.response.widget_info(|| WidgetInfo::labeled(Role::Figure, enabled, self.summary()));
        shown.response
    }

    /// Shares the step under the pointer with the other charts, if the pointer is over this one.
    fn share_cursor(&self, ui: &Ui, hovered: Option<Hovered>, at: Option<f64>) {
        let pass = ui.ctx().cumulative_pass_nr();
        if let Some(x) = at {
            ui.data_mut(|data| data.insert_temp(Id::unique(CURSOR), (x, pass, self.id)));
            // The charts above have already drawn the old cursor.
            if hovered.is_none_or(|(before, ..)| before != x) {
                ui.ctx().request_repaint();
            }
        } else if hovered.is_some_and(|(.., id)| id == self.id) {
            ui.data_mut(|data| data.remove::<Hovered>(Id::unique(CURSOR)));
            ui.ctx().request_repaint();
        }
    }

    fn title_ui(&self, ui: &mut Ui, drawn: &[Vec<[f64; 2]>], cursor: Option<f64>) {
        if self.titled {
            let title = ui.label(egui::RichText::new(self.title).strong());
            if !self.help.is_empty() {
                title.on_hover_text(self.help);
            }
        }
        tight(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 12.0;
            for (series, points) in self.series.iter().zip(drawn) {
                let point = cursor.map_or_else(|| points.last().copied(), |x| value_at(points, x));
                let value = point.map_or_else(String::new, |[_, y]| self.unit.text(y));
                legend_ui(ui, series.hue, series.dashed, &series.name, &value);
            }
            for (name, hue, y) in &self.levels {
                legend_ui(ui, *hue, true, name, &self.unit.text(*y));
            }
            let first = self.series.iter().find(|series| !series.points.is_empty());
            if let (Some(x), Some(series)) = (cursor, first) {
                let step = value_at(series.points, x).map_or(x, |point| point[0]);
                ui.label(egui::RichText::new(chart::at_step(step)).small().weak());
            }
        });
    }

    /// Draws the placeholder of a chart without points.
    fn empty_ui(&self, ui: &mut Ui) -> Response {
        let size = vec2(ui.available_width(), self.height(ui));
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        let color = ui.visuals().weak_text_color();
        let font = egui::TextStyle::Small.resolve(ui.style());
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, chart::NO_POINTS, font, color);
        let enabled = ui.is_enabled();
        response.widget_info(|| WidgetInfo::labeled(Role::Figure, enabled, self.summary()));
        response
    }

    /// Height left down to `bottom`, but at least `HEIGHT`.
    pub(super) fn height(&self, ui: &Ui) -> f32 {
        HEIGHT.max(self.bottom - ui.cursor().top())
    }

    /// Summary of the chart in words.
    fn summary(&self) -> String {
        let mut sentence = self.title.to_owned();
        for series in &self.series {
            match (series.points.first(), series.points.last()) {
                (Some([from, a]), Some([to, b])) => {
                    let (a, b) = (self.unit.text(*a), self.unit.text(*b));
                    sentence += &match self.across {
                        None => chart::line(&series.name, [&a, &b], [*from, *to]),
                        Some(across) => {
                            let [from, to] = [*from, *to].map(|x| across.text(x, 0.01));
                            chart::line_across(&series.name, [&a, &b], across.name, [&from, &to])
                        }
                    };
                    if let Some(band) = series.band.last() {
                        sentence += &chart::band(&band.map(|bound| self.unit.text(bound)));
                    }
                }
                _ => sentence += &chart::empty(&series.name),
            }
        }
        for (name, _, y) in &self.levels {
            sentence += &chart::level(name, &self.unit.text(*y));
        }
        for mark in &self.marks {
            sentence += &chart::warned(mark.step, &mark.text);
        }
        sentence
    }
}
