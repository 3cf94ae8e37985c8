//! Figures as SVG: panels with lines and points, one legend, and words for readers who do not see them.

use std::collections::HashMap;
use std::ops::Range;

use pairtune::{Error, Result};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Panels under one title and one legend.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Figure {
    /// Subject of the figure.
    pub(in crate::cli) title: String,
    /// The same in a sentence or two, for readers who do not see it; the last value of each line is added.
    pub(in crate::cli) description: String,
    /// Side by side, two in a row.
    pub(in crate::cli) panels: Vec<Panel>,
}

/// Axes with lines.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Panel {
    /// Subject of the panel.
    pub(in crate::cli) title: String,
    /// The horizontal axis, which grows to the right.
    pub(in crate::cli) x: Axis,
    /// The vertical axis, which grows upwards.
    pub(in crate::cli) y: Axis,
    /// Lines of one name have one colour and one mark in all panels.
    pub(in crate::cli) lines: Vec<Line>,
}

/// Quantity along one side of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Axis {
    name: String,
    unit: String,
    log: bool,
    within: Option<[f64; 2]>,
}

impl Axis {
    /// Creates an axis that is as wide as its values, without a unit if `unit` is empty.
    pub(in crate::cli) fn new(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), unit: unit.into(), log: false, within: None }
    }

    /// Makes the axis logarithmic; values that are not above 0 are left out.
    pub(in crate::cli) fn log(self) -> Self {
        Self { log: true, ..self }
    }

    /// Makes the axis reach from `low` to `high` at least.
    pub(in crate::cli) fn within(self, low: f64, high: f64) -> Self {
        Self { within: Some([low, high]), ..self }
    }

    fn label(&self) -> String {
        if self.unit.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, self.unit) }
    }

    /// Place of a value along the axis; none where it has none.
    fn place(&self, value: f64) -> Option<f64> {
        let place = if self.log { value.log10() } else { value };
        place.is_finite().then_some(place)
    }
}

/// Points under one name.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Line {
    name: String,
    points: Vec<[f64; 2]>,
    joined: bool,
}

impl Line {
    /// Points that are joined in their order; those that are not finite are left out.
    pub(in crate::cli) fn new(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, joined: true }
    }

    /// Points by themselves.
    pub(in crate::cli) fn points(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { joined: false, ..Self::new(name, points) }
    }
}

/// Pixels from left to right.
const WIDTH: u32 = 800;
/// Pixels of one or two rows of panels; every further row has half of that.
const HEIGHT: u32 = 500;
/// Pixels at the sides.
const MARGIN: i32 = 12;
/// Pixels of the title, and of a row of the legend.
const TITLE: i32 = 34;
const LEGEND_ROW: i32 = 20;
/// Sizes of text in pixels.
const LARGE: f64 = 17.0;
const MIDDLE: f64 = 13.0;
const SMALL: f64 = 11.5;
/// Marks of a line at the most; its last point has one in any case.
const MARKS: usize = 24;
const INK: RGBColor = RGBColor(34, 34, 34);
const GREY: RGBColor = RGBColor(90, 90, 90);
const GRID: RGBColor = RGBColor(225, 225, 225);
/// Told apart by people who see few colours (Okabe and Ito), and dark enough on white.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 133, 98),
    RGBColor(173, 75, 135),
    RGBColor(164, 118, 0),
    RGBColor(60, 150, 205),
    RGBColor(60, 60, 60),
    RGBColor(120, 80, 200),
];

impl Figure {
    /// A whole SVG file.
    pub(in crate::cli) fn to_svg(&self) -> Result<String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|e| Error::input(format!("The figure cannot be drawn: {e}"), "Report this", ""))?;
        let (opening, rest) = svg.split_once(">\n").unwrap_or((&svg, ""));
        Ok(format!(
            "{opening} role=\"img\" aria-labelledby=\"title description\">\n<title id=\"title\">{}</title>\n\
             <desc id=\"description\">{}</desc>\n{rest}",
            escaped(&self.title),
            escaped(&self.told())
        ))
    }

    /// The description with the last value of each line.
    fn told(&self) -> String {
        let mut text = self.description.clone();
        for panel in &self.panels {
            let lines = panel.lines.iter().filter_map(|line| {
                let [x, y] = *panel.seen(line).last()?;
                Some(format!("{} {} at {}", line.name, number(y), number(x)))
            });
            let lines: Vec<String> = lines.collect();
            let what = format!("{}, {} by {}", panel.title, panel.y.label(), panel.x.label());
            let values = if lines.is_empty() { "no values".to_owned() } else { lines.join("; ") };
            text += &format!(" {what}: {values}.");
        }
        text
    }

    /// Each name once, in the order in which they come.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for line in self.panels.iter().flat_map(|panel| &panel.lines) {
            if !names.contains(&line.name.as_str()) {
                names.push(&line.name);
            }
        }
        names
    }

    fn draw(&self, svg: &mut String) -> Drawn<()> {
        let columns = self.panels.len().clamp(1, 2);
        let rows = self.panels.len().div_ceil(columns).max(1);
        let height = (HEIGHT / 2 * rows as u32).max(HEIGHT);
        let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        root.draw_text(&self.title, &bold(LARGE), (MARGIN, MARGIN + 8))?;
        let names = self.names();
        let places = legend(&names);
        for (i, (name, (x, y))) in names.iter().zip(&places).enumerate() {
            root.draw(&mark(i, (x + 6, *y)))?;
            root.draw_text(name, &text(MIDDLE, INK, HPos::Left), (x + 16, *y))?;
        }
        let top = places.last().map_or(TITLE, |(_, y)| y + LEGEND_ROW / 2 + 2);
        let (_, below) = root.split_vertically(top);
        let styles: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
        for (panel, area) in self.panels.iter().zip(below.split_evenly((rows, columns))) {
            panel.draw(&area, &styles)?;
        }
        root.present()?;
        Ok(())
    }
}

impl Panel {
    /// The points of a line that have a place.
    fn seen(&self, line: &Line) -> Vec<[f64; 2]> {
        let has_place = |point: &&[f64; 2]| self.x.place(point[0]).is_some() && self.y.place(point[1]).is_some();
        line.points.iter().filter(has_place).copied().collect()
    }

    fn draw(&self, area: &Area<'_>, styles: &HashMap<&str, usize>) -> Drawn<()> {
        let places = |line: &Line| -> Vec<(f64, f64)> {
            let place = |point: &[f64; 2]| Some((self.x.place(point[0])?, self.y.place(point[1])?));
            line.points.iter().filter_map(place).collect()
        };
        type Placed = (usize, bool, Vec<(f64, f64)>);
        let lines: Vec<Placed> =
            self.lines.iter().map(|line| (styles[line.name.as_str()], line.joined, places(line))).collect();
        let points = || lines.iter().flat_map(|(_, _, points)| points);
        let x = Scale::of(&self.x, points().map(|point| point.0));
        let y = Scale::of(&self.y, points().map(|point| point.1));
        let widest = y.ticks.iter().map(|tick| y.format_ext(tick).chars().count()).max().unwrap_or(1);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, bold(MIDDLE + 1.0))
            .margin_top(6)
            .margin_bottom(6)
            .margin_left(MARGIN)
            .margin_right(MARGIN + 6)
            .x_label_area_size(40)
            .y_label_area_size(30 + 7 * widest as i32)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x.label())
            .y_desc(self.y.label())
            .axis_desc_style(text(MIDDLE, INK, HPos::Left))
            .label_style(text(SMALL, GREY, HPos::Left))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GREY)
            .draw()?;
        for (style, joined, points) in &lines {
            if *joined {
                chart.draw_series(LineSeries::new(points.iter().copied(), colour(*style).stroke_width(2)))?;
            }
            let every = if *joined { points.len().div_ceil(MARKS).max(1) } else { 1 };
            let last = points.len().saturating_sub(1);
            let marked = points.iter().enumerate().filter(|(i, _)| (last - i).is_multiple_of(every));
            for (_, point) in marked {
                chart.plotting_area().draw(&mark(*style, *point))?;
            }
        }
        if lines.iter().all(|(_, _, points)| points.is_empty()) {
            let (width, height) = area.dim_in_pixel();
            area.draw_text("no values", &text(MIDDLE, GREY, HPos::Center), (width as i32 / 2, height as i32 / 2))?;
        }
        Ok(())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<T> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

fn text(pixels: f64, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    // The backend writes its sizes divided by this.
    ("sans-serif", 1.24 * pixels).into_font().color(&colour).pos(Pos::new(at, VPos::Center))
}

fn bold(pixels: f64) -> TextStyle<'static> {
    let font = ("sans-serif", 1.24 * pixels, FontStyle::Bold).into_font();
    font.color(&INK).pos(Pos::new(HPos::Left, VPos::Center))
}

fn colour(style: usize) -> RGBColor {
    COLOURS[style % COLOURS.len()]
}

/// The mark of a line's points, which tells it from others without its colour.
fn mark<'a, DB: DrawingBackend + 'a, C: Clone + 'a>(style: usize, at: C) -> DynElement<'a, DB, C> {
    let (centre, fill) = (EmptyElement::at(at), colour(style).filled());
    match style % 5 {
        0 => (centre + Circle::new((0, 0), 4, fill)).into_dyn(),
        1 => (centre + Rectangle::new([(-4, -4), (4, 4)], fill)).into_dyn(),
        2 => (centre + TriangleMarker::new((0, 0), 6, fill)).into_dyn(),
        3 => (centre + Polygon::new(vec![(-5, 0), (0, 5), (5, 0), (0, -5)], fill)).into_dyn(),
        _ => (centre + Cross::new((0, 0), 4, colour(style).stroke_width(2))).into_dyn(),
    }
}

/// Start of each name of the legend, in as many rows as the names need; empty without names.
fn legend(names: &[&str]) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (MARGIN, TITLE + LEGEND_ROW / 2);
    let place = |name: &&str| {
        // Mark, gap, and a little more than letters take.
        let width = 16 + 20 + (0.6 * MIDDLE * name.chars().count() as f64) as i32;
        if x > MARGIN && x + width > WIDTH as i32 - MARGIN {
            (x, y) = (MARGIN, y + LEGEND_ROW);
        }
        x += width;
        (x - width, y)
    };
    names.iter().map(place).collect()
}

/// An axis as it is drawn: the places at its ends, and those that are written at it.
struct Scale {
    log: bool,
    places: Range<f64>,
    ticks: Vec<f64>,
}

impl Scale {
    fn of(axis: &Axis, places: impl Iterator<Item = f64>) -> Self {
        let within = axis.within.into_iter().flatten().filter_map(|value| axis.place(value));
        let [low, high] = places
            .chain(within.clone())
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], place| [low.min(place), high.max(place)]);
        let [mut low, mut high] = if low > high { [0.0, 1.0] } else { [low, high] };
        let width = high - low;
        // A little room, so that no mark is cut; one value alone stands in the middle.
        let room = if width > 0.0 { 0.05 * width } else { (0.1 * low.abs()).max(if axis.log { 0.3 } else { 1e-6 }) };
        let [least, most] =
            within.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], place| [low.min(place), high.max(place)]);
        low -= if low == least { 0.2 * room } else { room };
        high += if high == most { 0.2 * room } else { room };
        let ticks = if axis.log { log_ticks(low, high) } else { ticks(low, high) };
        Self { log: axis.log, places: low..high, ticks }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.places.clone()).map(value, limit)
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        // The second, finer mesh has no lines of its own.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.places.clone()
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, place: &f64) -> String {
        number(if self.log { 10f64.powf(*place) } else { *place })
    }
}

/// Round numbers between two places, three to seven or so.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 7.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|round| round * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let [first, last] = [(low / step).ceil() as i64, (high / step).floor() as i64];
    (first..=last).map(|i| i as f64 * step).collect()
}

/// The same for logarithms: powers of ten, with their twofold and fivefold where there are few of them.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = || low.floor() as i32..=high.ceil() as i32;
    let places = |rounds: &[f64]| -> Vec<f64> {
        let places = decades().flat_map(|power| rounds.iter().map(move |round| round.log10() + f64::from(power)));
        places.filter(|place| (low..=high).contains(place)).collect()
    };
    [&[1.0][..], &[1.0, 2.0, 5.0]]
        .into_iter()
        .map(places)
        .find(|places| places.len() >= 3)
        .unwrap_or_else(|| ticks(low, high))
}

/// A number in a few characters.
pub(in crate::cli) fn number(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => return "0".to_owned(),
        _ if !(1e-3..1e6).contains(&size) => return format!("{:e}", rounded(value)),
        _ => rounded(value).to_string(),
    };
    if text == "-0" { "0".to_owned() } else { text }
}

/// Rounds to four digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// Text as it stands between tags.
fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let line = |name: &str, end: f64| Line::new(name, vec![[0.0, 0.0], [1.0, f64::NAN], [2.0, end]]);
        let panel = |title: &str, y: Axis, lines: Vec<Line>| Panel {
            title: title.to_owned(),
            x: Axis::new("Step", ""),
            y,
            lines,
        };
        Figure {
            title: "β < 1 & others".to_owned(),
            description: "Two values.".to_owned(),
            panels: vec![
                panel("Drift", Axis::new("KL", "nats per token"), vec![line("β 0.1", 0.25), line("β 0.01", 1.5)]),
                panel("Accuracy", Axis::new("Held-out accuracy", "%").within(0.0, 100.0), vec![line("β 0.1", 61.0)]),
                panel("None", Axis::new("Log", "").log(), vec![Line::points("β 0.1", vec![[1.0, 0.0]])]),
            ],
        }
    }

    #[test]
    fn a_figure_is_one_svg_that_says_what_it_shows() {
        let svg = figure().to_svg().expect("it can be drawn");
        let document = roxmltree::Document::parse(&svg).expect("it is well-formed");
        let root = document.root_element();
        assert!(root.has_tag_name(("http://www.w3.org/2000/svg", "svg")), "its name: {root:?}");
        assert_eq!(root.attribute("viewBox"), Some("0 0 800 500"), "its size");
        assert_eq!(root.attribute("role"), Some("img"), "one image for screen readers");
        let text = |name: &str| {
            let node = root.children().find(|node| node.tag_name().name() == name);
            node.and_then(|node| node.text()).unwrap_or_default().to_owned()
        };
        assert_eq!(text("title"), "β < 1 & others", "the title");
        assert_eq!(
            text("desc"),
            "Two values. Drift, KL (nats per token) by Step: β 0.1 0.25 at 2; β 0.01 1.5 at 2. \
             Accuracy, Held-out accuracy (%) by Step: β 0.1 61 at 2. None, Log by Step: no values.",
            "and the values"
        );
        let written: Vec<&str> =
            root.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).map(str::trim).collect();
        for word in ["Drift", "KL (nats per token)", "Step", "β 0.1", "β 0.01", "100", "no values"] {
            assert!(written.contains(&word), "{word} is not written: {written:?}");
        }
        assert_eq!(written.iter().filter(|word| **word == "β 0.1").count(), 1, "one legend for all panels");
        let lines = root.descendants().filter(|node| node.attribute("stroke-width") == Some("2")).count();
        assert_eq!(lines, 3, "a joined line each");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "no number that is none");
    }

    #[test]
    fn a_figure_without_panels_or_values_is_still_one() {
        for panels in [Vec::new(), vec![Panel { lines: Vec::new(), ..figure().panels[0].clone() }]] {
            let svg = Figure { panels, ..figure() }.to_svg().expect("it can be drawn");
            roxmltree::Document::parse(&svg).expect("it is well-formed");
        }
    }

    #[test]
    fn many_panels_make_it_higher_and_many_names_take_more_rows() {
        let lines: Vec<Line> = (0..12).map(|i| Line::new(format!("a method of name {i}"), vec![[0.0, 1.0]])).collect();
        let panel = Panel { lines, ..figure().panels[0].clone() };
        let svg = Figure { panels: vec![panel; 5], ..figure() }.to_svg().expect("it can be drawn");
        let document = roxmltree::Document::parse(&svg).expect("it is well-formed");
        assert_eq!(document.root_element().attribute("height"), Some("750"), "three rows");
        let places = legend(&["a method of name 0"; 12]);
        assert!(places.iter().all(|(x, _)| *x < WIDTH as i32 - 120), "none is cut off: {places:?}");
        assert_eq!(places.iter().map(|(_, y)| y).collect::<std::collections::BTreeSet<_>>().len(), 3, "{places:?}");
    }

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(ticks(0.0, 1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0], "one");
        assert_eq!(ticks(-3.0, 12.0), [0.0, 5.0, 10.0], "below 0");
        let at = |low: f64, high: f64| -> Vec<String> {
            log_ticks(low.log10(), high.log10()).iter().map(|place| number(10f64.powf(*place))).collect()
        };
        assert_eq!(at(0.009, 1.2), ["0.01", "0.1", "1"], "decades");
        assert_eq!(at(4e-6, 1.2e-4), ["5e-6", "1e-5", "2e-5", "5e-5", "1e-4"], "less than two decades");
    }

    #[test]
    fn numbers_are_short() {
        let wanted = [(0.0, "0"), (0.1 + 0.2, "0.3"), (2e-5, "2e-5"), (12345.6, "12350"), (-0.5, "-0.5"), (3e7, "3e7")];
        for (value, text) in wanted {
            assert_eq!(number(value), text, "{value}");
        }
    }
}
