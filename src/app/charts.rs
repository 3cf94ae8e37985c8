//! Charts over steps: smoothing, thinning to the pixels at hand, one cursor that all charts share, marks where
//! something was noticed; and the small figures beside them (sparkline, scale with an interval, histogram).
//!
//! Every figure has a name and its values as text, which is what a screen reader says.

use eframe::egui::{
    self, Align2, Color32, CornerRadius, FontId, Id, Rect, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2,
};
use egui_plot::{
    AxisHints, FilledArea, GridInput, GridMark, HLine, Line, LineStyle, Plot, PlotPoint, PlotPoints, Points, VLine,
};

use crate::app::text::{chart, run, units};
use crate::app::theme;
use crate::engine::stats;

/// Height of a chart without its title.
pub(super) const HEIGHT: f32 = 164.0;
/// Letters of a name in a legend.
const LEGEND: usize = 28;
/// A scale is not wider than this.
const SCALE: f32 = 560.0;

/// What a value is, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Unit {
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
    pub(super) fn text(self, value: f64) -> String {
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

    /// A mark of the axis as text, `step` from the next one.
    fn tick(self, value: f64, step: f64) -> String {
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

/// Colours that stay apart for the colour-blind, on both backgrounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hue {
    /// Of the chosen side, and of a line alone.
    First,
    /// Of the rejected side.
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
    pub(super) fn of(index: usize) -> Self {
        [Self::First, Self::Second, Self::Third, Self::Fourth, Self::Quiet][index % 5]
    }

    /// The colour on the background at hand.
    pub(super) fn color(self, ui: &Ui) -> Color32 {
        let palette = theme::palette(ui);
        match self {
            Self::Quiet => palette.weak,
            hue => palette.series[hue as usize],
        }
    }
}

/// A line of a chart.
pub(super) struct Series<'a> {
    name: String,
    points: &'a [[f64; 2]],
    hue: Hue,
    dashed: bool,
    smoothing: f64,
    band: Vec<[f64; 2]>,
}

impl<'a> Series<'a> {
    /// A line through points `[step, value]`, by step.
    pub(super) fn new(name: impl Into<String>, points: &'a [[f64; 2]], hue: Hue) -> Self {
        Self { name: name.into(), points, hue, dashed: false, smoothing: 0.0, band: Vec::new() }
    }

    /// Draws it dashed.
    pub(super) fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// Draws how sure each point is, from low to high.
    pub(super) fn within(mut self, band: Vec<[f64; 2]>) -> Self {
        self.band = band;
        self
    }

    /// Draws the moving average of this weight, with the raw line faint behind it.
    pub(super) fn smoothed(mut self, weight: f64) -> Self {
        self.smoothing = weight;
        self
    }

    /// The points as they are drawn: smoothed, and thinned to `columns`.
    fn drawn(&self, columns: usize) -> Vec<[f64; 2]> {
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
fn value_at(points: &[[f64; 2]], x: f64) -> Option<[f64; 2]> {
    let after = points.partition_point(|point| point[0] <= x);
    points.get(after.saturating_sub(1)).copied()
}

/// Something that was noticed at a step.
pub(super) struct Mark {
    /// The step.
    pub(super) step: f64,
    /// What.
    pub(super) text: String,
}

/// A chart over steps.
pub(super) struct Chart<'a> {
    id: Id,
    title: &'a str,
    help: &'a str,
    series: Vec<Series<'a>>,
    levels: Vec<(String, Hue, f64)>,
    marks: Vec<Mark>,
    unit: Unit,
    titled: bool,
    view: Option<[f64; 2]>,
    end: Option<f64>,
    bottom: f32,
}

impl<'a> Chart<'a> {
    /// A chart; the name must be unique on the page.
    pub(super) fn new(title: &'a str, help: &'a str) -> Self {
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
        }
    }

    /// Adds a line.
    pub(super) fn line(mut self, series: Series<'a>) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a level to compare with.
    pub(super) fn level(mut self, name: impl Into<String>, hue: Hue, value: f64) -> Self {
        self.levels.push((name.into(), hue, value));
        self
    }

    /// Adds marks.
    pub(super) fn marks(mut self, marks: Vec<Mark>) -> Self {
        self.marks = marks;
        self
    }

    /// Says what the values are.
    pub(super) fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Leaves its title out, which then stands above it.
    pub(super) fn untitled(mut self) -> Self {
        self.titled = false;
        self
    }

    /// Shows only these steps at first.
    pub(super) fn view(mut self, steps: Option<[f64; 2]>) -> Self {
        self.view = steps;
        self
    }

    /// The step at which the run will end, so that the line grows into its place.
    pub(super) fn until(mut self, step: usize) -> Self {
        self.end = (step > 0).then_some(step as f64);
        self
    }

    /// Fills the room down to there, so that charts side by side end alike.
    pub(super) fn down_to(mut self, bottom: f32) -> Self {
        self.bottom = bottom;
        self
    }

    /// Draws it.
    pub(super) fn show(self, ui: &mut Ui) -> Response {
        let cursor_id = Id::unique("chart cursor");
        let pass = ui.ctx().cumulative_pass_nr();
        let hovered = ui.data(|data| data.get_temp::<(f64, u64, Id)>(cursor_id));
        let hovered = hovered.filter(|(_, at, _)| pass.saturating_sub(*at) <= 1);
        let cursor = hovered.map(|(x, ..)| x);
        let columns = ui.available_width().max(50.0) as usize;
        let drawn: Vec<Vec<[f64; 2]>> = self.series.iter().map(|series| series.drawn(columns)).collect();
        self.title_ui(ui, &drawn, cursor);
        if self.series.iter().all(|series| series.points.is_empty()) {
            return self.empty_ui(ui);
        }

        let bounds = self.bounds(&drawn);
        let plot = self.plot(ui, bounds);
        let grid = ui.visuals().weak_text_color();
        let mut items: Vec<(Line<'static>, Option<Points<'static>>)> = Vec::new();
        let mut bands: Vec<FilledArea> = Vec::new();
        for (series, points) in self.series.iter().zip(drawn) {
            let color = series.hue.color(ui);
            if !series.band.is_empty() {
                let xs: Vec<f64> = series.points.iter().map(|point| point[0]).collect();
                let [low, high] = [0, 1].map(|i| series.band.iter().map(|band| band[i]).collect::<Vec<_>>());
                let band = FilledArea::new(format!("{} band", series.name), &xs, &low, &high);
                bands.push(band.fill_color(color.gamma_multiply(0.2)));
            }
            if series.smoothing > 0.0 {
                let raw = stats::decimate(series.points, 2 * columns);
                let line = Line::new(format!("{} raw", series.name), PlotPoints::from(raw));
                items.push((line.color(color.gamma_multiply(0.28)).width(1.0).allow_band(false), None));
            }
            let style = if series.dashed { LineStyle::dashed_dense() } else { LineStyle::Solid };
            let last = points.last().copied();
            let line = Line::new(series.name.clone(), PlotPoints::from(points))
                .color(color)
                .width(1.8)
                .style(style)
                .allow_band(false);
            let dot = last.map(|last| Points::new(format!("{} last", series.name), PlotPoints::from(vec![last])));
            items.push((line, dot.map(|dot| dot.color(color).radius(2.6))));
        }
        let levels: Vec<HLine> = self
            .levels
            .iter()
            .map(|(name, hue, y)| {
                let line = HLine::new(name.clone(), *y).color(hue.color(ui)).width(1.0);
                line.style(LineStyle::dotted_dense())
            })
            .collect();
        let zero = (bounds[2] < 0.0 && bounds[3] > 0.0)
            .then(|| HLine::new("zero", 0.0).color(grid.gamma_multiply(0.5)).width(1.0));
        let warn = ui.visuals().warn_fg_color;
        let stops: Vec<VLine> = self
            .marks
            .iter()
            .enumerate()
            .map(|(i, mark)| {
                let line = VLine::new(format!("mark {i}"), mark.step).color(warn.gamma_multiply(0.5)).width(1.0);
                line.style(LineStyle::dashed_loose())
            })
            .collect();
        let shown = plot.show(ui, move |plot| {
            for line in zero.into_iter().chain(levels) {
                plot.hline(line.allow_hover(false));
            }
            for line in stops {
                plot.vline(line.allow_hover(false));
            }
            for band in bands {
                plot.add(band.allow_hover(false));
            }
            for (line, dot) in items {
                plot.line(line.allow_hover(false));
                if let Some(dot) = dot {
                    plot.points(dot.allow_hover(false));
                }
            }
        });

        if let Some(at) = shown.response.hover_pos() {
            let x = shown.transform.value_from_position(at).x;
            ui.data_mut(|data| data.insert_temp(cursor_id, (x, pass, self.id)));
            // The charts above have drawn it where it was.
            if cursor != Some(x) {
                ui.ctx().request_repaint();
            }
        } else if hovered.is_some_and(|(.., id)| id == self.id) {
            ui.data_mut(|data| data.remove::<(f64, u64, Id)>(cursor_id));
            ui.ctx().request_repaint();
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

    /// Where a chart will be.
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

    /// `[x_min, x_max, y_min, y_max]` of what is to be seen at first.
    fn bounds(&self, drawn: &[Vec<[f64; 2]>]) -> [f64; 4] {
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
        let (x_flat, y_flat) = (bounds[1] - bounds[0] < 1.0, bounds[3] - bounds[2] < 1e-12);
        let x_pad = if x_flat { 1.0 } else { 0.01 * (bounds[1] - bounds[0]) };
        let y_pad = match (self.unit, y_flat) {
            (Unit::Percent, _) => 0.02,
            (_, true) => (0.1 * bounds[3].abs()).max(1e-9),
            (_, false) => 0.08 * (bounds[3] - bounds[2]),
        };
        [bounds[0] - x_pad, bounds[1] + x_pad, bounds[2] - y_pad, bounds[3] + y_pad]
    }

    fn plot(&self, ui: &Ui, bounds: [f64; 4]) -> Plot<'static> {
        let unit = self.unit;
        let weak = ui.visuals().weak_text_color();
        let font = egui::TextStyle::Small.resolve(ui.style());
        let x_axis = AxisHints::new_x()
            .formatter(|mark, _| format!("{:.0}", mark.value))
            .label(egui::RichText::new(chart::STEP).small().color(weak))
            .tick_label_color(weak)
            .tick_label_font(font.clone())
            .label_spacing(12.0..=13.0);
        let y_axis = AxisHints::new_y()
            .formatter(move |mark, _| unit.tick(mark.value, mark.step_size))
            .tick_label_color(weak)
            .tick_label_font(font)
            .label_spacing(9.0..=10.0)
            .min_thickness(34.0);
        let plot = Plot::new(self.id.with(self.view.map(|view| view.map(f64::to_bits))))
            .id(self.id.with(("plot", self.view.map(|view| view.map(f64::to_bits)))))
            .height(self.height(ui))
            .show_background(false)
            .show_crosshair(true)
            .show_y(false)
            .show_x(false)
            .label_formatter(|_| None)
            .cursor_color(weak.gamma_multiply(0.6))
            .grid_color(weak.gamma_multiply(0.2))
            .grid_fade(0.0)
            .show_grid([false, true])
            .set_margin_fraction(vec2(0.0, 0.0))
            .custom_x_axes(vec![x_axis])
            .custom_y_axes(vec![y_axis])
            .x_grid_spacer(|input| ticks(&input, 6, true))
            .y_grid_spacer(|input| ticks(&input, 5, false))
            .allow_drag(false)
            .allow_scroll(false)
            .allow_zoom(false)
            .allow_axis_zoom_drag(false)
            .boxed_zoom_pointer_button(egui::PointerButton::Primary)
            .link_cursor(Id::unique("chart cursors"), [true, false]);
        if self.view.is_some() {
            return plot
                .auto_bounds(false)
                .default_x_bounds(bounds[0], bounds[1])
                .default_y_bounds(bounds[2], bounds[3]);
        }
        plot.include_x(bounds[0]).include_x(bounds[1]).include_y(bounds[2]).include_y(bounds[3])
    }

    /// What is left down to its bottom, if that is enough.
    fn height(&self, ui: &Ui) -> f32 {
        HEIGHT.max(self.bottom - ui.cursor().top())
    }

    /// The chart in words.
    fn summary(&self) -> String {
        let mut sentence = self.title.to_owned();
        for series in &self.series {
            match (series.points.first(), series.points.last()) {
                (Some([from, a]), Some([to, b])) => {
                    let (a, b) = (self.unit.text(*a), self.unit.text(*b));
                    sentence += &chart::line(&series.name, [&a, &b], [*from, *to]);
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

/// About `most` marks at round values.
fn ticks(input: &GridInput, most: usize, whole: bool) -> Vec<GridMark> {
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

/// A row that wraps and is no higher than its text.
pub(super) fn tight<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    ui.scope(|ui| {
        ui.spacing_mut().interact_size.y = 0.0;
        ui.spacing_mut().item_spacing.y = 3.0;
        ui.horizontal_wrapped(add).inner
    })
    .inner
}

/// A piece of a line with its name and value; all of it stays on one row.
pub(super) fn legend_ui(ui: &mut Ui, hue: Hue, dashed: bool, name: &str, value: &str) {
    let (color, color_of_name) = (hue.color(ui), ui.visuals().text_color());
    let small = egui::TextStyle::Small.resolve(ui.style());
    let label = format!("{name} {value}").trim_end().to_owned();
    let short = units::shortened(name, LEGEND);
    let is_short = short != name;
    let name = ui.painter().layout_no_wrap(short, small.clone(), color_of_name);
    let value = ui.painter().layout_no_wrap(value.to_owned(), FontId::monospace(small.size), color);
    let (line, gap) = (14.0, 5.0);
    let width = line + gap + name.size().x + gap + value.size().x;
    let size = vec2(width, name.size().y.max(value.size().y));
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    let y = rect.center().y;
    let ends: &[(f32, f32)] = if dashed { &[(0.0, 5.0), (9.0, 14.0)] } else { &[(0.0, 14.0)] };
    for (from, to) in ends {
        ui.painter().hline(rect.left() + from..=rect.left() + to, y, Stroke::new(2.0, color));
    }
    let mut left = rect.left() + line + gap;
    for galley in [name, value] {
        let size = galley.size();
        ui.painter().galley(pos2(left, y - size.y / 2.0), galley, color_of_name);
        left += size.x + gap;
    }
    if is_short {
        response.on_hover_text(label);
    }
}

/// A triangle over the step at which something was noticed; its text shows on hover.
fn mark_ui(ui: &Ui, id: Id, at: egui::Pos2, mark: &Mark) {
    let color = ui.visuals().warn_fg_color;
    let (left, right) = (at + vec2(-6.0, 5.0), at + vec2(6.0, 5.0));
    let corners = vec![at + vec2(0.0, -6.0), right, left];
    ui.painter().add(egui::Shape::convex_polygon(corners, color, Stroke::NONE));
    let ink = ui.visuals().extreme_bg_color;
    ui.painter().text(at + vec2(0.0, 0.5), Align2::CENTER_CENTER, "!", FontId::proportional(9.0), ink);
    let response = ui.interact(Rect::from_center_size(at, vec2(18.0, 18.0)), id, Sense::hover());
    let label = run::warning(mark.step as usize, &mark.text);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    response.on_hover_text(label);
}

/// A small line without axes.
pub(super) fn sparkline(ui: &mut Ui, label: &str, values: &[f64], size: egui::Vec2, hue: Hue) -> Response {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let values = stats::sparkline(values, (size.x / 2.0).max(2.0) as usize);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() > 1 {
        let span = if high > low { high - low } else { 1.0 };
        let inner = rect.shrink2(vec2(1.0, 3.0));
        let step = inner.width() / (values.len() - 1) as f32;
        let point = |(i, value): (usize, &f64)| {
            let up = ((value - low) / span) as f32;
            pos2(inner.left() + i as f32 * step, inner.bottom() - up * inner.height())
        };
        let points: Vec<egui::Pos2> = values.iter().enumerate().map(point).collect();
        ui.painter().line(points, Stroke::new(1.5, hue.color(ui)));
    }
    let ends = values.first().zip(values.last());
    let text = ends
        .map_or_else(|| label.to_owned(), |(a, b)| chart::from_to(label, &Unit::Plain.text(*a), &Unit::Plain.text(*b)));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
    response.on_hover_text(text)
}

/// Hues of the shares that stand beside another, in their order.
pub(super) const OTHERS: [Hue; 3] = [Hue::Second, Hue::Quiet, Hue::Third];

/// A share with its interval on a line from 0 to 100 %, and other shares to compare it with.
pub(super) fn share_scale(
    ui: &mut Ui,
    label: &str,
    share: f64,
    interval: [f64; 2],
    others: &[(&str, f64)],
) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width().min(SCALE), 22.0), Sense::hover());
    let track = Rect::from_center_size(rect.center(), vec2(rect.width() - 8.0, 6.0));
    let x = |value: f64| egui::lerp(track.x_range(), value.clamp(0.0, 1.0) as f32);
    let painter = ui.painter();
    let round = CornerRadius::same(3);
    painter.rect_filled(track, round, ui.visuals().weak_text_color().gamma_multiply(0.25));
    let color = Hue::First.color(ui);
    let band = Rect::from_x_y_ranges(x(interval[0])..=x(interval[1]), track.y_range());
    painter.rect_filled(band, round, color.gamma_multiply(0.45));
    for (i, (_, other)) in others.iter().enumerate() {
        let tint = OTHERS[i % OTHERS.len()].color(ui);
        painter.vline(x(*other), rect.shrink(3.0).y_range(), Stroke::new(2.0, tint));
    }
    painter.circle_filled(pos2(x(share), track.center().y), 5.0, color);
    let [low, high] = interval.map(|bound| Unit::Percent.text(bound));
    let mut text = chart::share(label, &Unit::Percent.text(share), [&low, &high]);
    for (name, other) in others {
        text += &chart::other(name, &Unit::Percent.text(*other));
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
    response.on_hover_text(text)
}

/// How many values lie in each of equal parts of `range`, as bars.
pub(super) fn histogram(ui: &mut Ui, label: &str, values: &[f64], range: [f64; 2], bins: usize) -> Response {
    let counts = bin(values, range, bins);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 110.0), Sense::hover());
    let font = egui::TextStyle::Small.resolve(ui.style());
    let weak = ui.visuals().weak_text_color();
    let foot = rect.bottom() - 16.0;
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let width = rect.width() / bins.max(1) as f32;
    let painter = ui.painter();
    for (i, count) in counts.iter().enumerate() {
        let left = rect.left() + i as f32 * width;
        let height = (foot - rect.top() - 14.0) * *count as f32 / most as f32;
        let bar = Rect::from_min_max(pos2(left + 1.0, foot - height), pos2(left + width - 1.0, foot));
        painter.rect_filled(bar, CornerRadius { nw: 2, ne: 2, sw: 0, se: 0 }, Hue::First.color(ui));
        if *count > 0 {
            let at = pos2(bar.center().x, bar.top() - 1.0);
            painter.text(at, Align2::CENTER_BOTTOM, count.to_string(), font.clone(), weak);
        }
    }
    painter.hline(rect.x_range(), foot, Stroke::new(1.0, weak.gamma_multiply(0.5)));
    let middle = (range[0] + range[1]) / 2.0;
    let ends = [
        (rect.left(), Align2::LEFT_TOP, range[0]),
        (rect.center().x, Align2::CENTER_TOP, middle),
        (rect.right(), Align2::RIGHT_TOP, range[1]),
    ];
    for (x, align, value) in ends {
        painter.text(pos2(x, foot + 3.0), align, value.to_string(), font.clone(), weak);
    }
    let list: Vec<String> = counts.iter().map(usize::to_string).collect();
    let text = chart::counts(label, &list, range);
    response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &text));
    response
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

/// A colour from orange (lower) to blue (higher) for a change from -1 to 1; none for no change.
pub(super) fn diverging(ui: &Ui, change: f32) -> Color32 {
    let strength = change.abs().clamp(0.0, 1.0).sqrt();
    let hue = if change < 0.0 { Hue::Second } else { Hue::Third };
    hue.color(ui).gamma_multiply(0.75 * strength)
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

    #[test]
    fn a_value_is_the_last_one_before_the_cursor() {
        let points = [[1.0, 10.0], [5.0, 50.0]];
        assert_eq!(value_at(&points, 0.0), Some([1.0, 10.0]), "before the first");
        assert_eq!(value_at(&points, 4.9), Some([1.0, 10.0]));
        assert_eq!(value_at(&points, 5.0), Some([5.0, 50.0]));
        assert_eq!(value_at(&[], 5.0), None);
    }

    #[test]
    fn values_are_binned_within_the_range() {
        assert_eq!(bin(&[0.0, 0.49, 0.5, 1.0, 2.0, -1.0, f64::NAN], [0.0, 1.0], 2), [3, 3]);
        assert_eq!(bin(&[], [0.0, 1.0], 3), [0, 0, 0]);
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
