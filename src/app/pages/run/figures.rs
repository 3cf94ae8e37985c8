//! The three figures that decide, depending on the method of the run.

use eframe::egui::{self, RichText, Ui};

use super::page::RunView;
use super::text;
use crate::app::charts::{Chart, Hue, Mark, Series, Unit, tight};
use crate::app::methods::{self, Figure, method_of};
use crate::app::records::beta;
use crate::app::state::{RunPhase, RunState, accuracy_of};
use crate::app::text::{run, units};
use crate::app::theme;
use crate::app::widgets::{card, columns, small, weak};
use crate::engine::protocol::{Failure, Status, step_of};
use crate::engine::run::warnings::{FEW_HELD_OUT, Warning, rough_estimate};
use crate::engine::stats;

/// Weight of the moving average of training curves.
pub(super) const SMOOTHING: f64 = 0.6;
/// Height of the three figures.
const FIGURE_HEIGHT: f32 = 288.0;

/// The three figures that decide.
pub(super) fn figures_ui(ui: &mut Ui, run: &RunState, view: &mut RunView) {
    let smoothing = view.smoothing.unwrap_or(SMOOTHING);
    let figures = &methods::row(method_of(&run.info.record.settings)).figures;
    let figure = |figure: &'static Figure| {
        move |ui: &mut Ui| {
            card(ui, |ui| {
                let bottom = ui.cursor().top() + FIGURE_HEIGHT;
                ui.set_min_height(FIGURE_HEIGHT);
                figure_ui(ui, run, figure, smoothing, bottom);
            });
        }
    };
    let [mut first, mut second, mut third] = figures.each_ref().map(figure);
    columns(ui, 300.0, &mut [&mut first, &mut second, &mut third]);
}

fn figure_ui(ui: &mut Ui, run: &RunState, figure: &Figure, smoothing: f64, bottom: f32) {
    let hues = [Hue::First, Hue::Second, Hue::Third];
    match figure {
        Figure::Won => won_ui(ui, run, end(run), bottom),
        Figure::Change => {
            let beta = beta(&run.info.record);
            let over_beta = |name| -> Vec<[f64; 2]> { run.series(name).iter().map(|[x, y]| [*x, y / beta]).collect() };
            let (chosen, rejected) = (over_beta("rewards/chosen"), over_beta("rewards/rejected"));
            Chart::new(text::CHANGE, text::CHANGE_HELP)
                .line(Series::new(run::CHOSEN, &chosen, Hue::First).smoothed(smoothing))
                .line(Series::new(run::REJECTED, &rejected, Hue::Second).smoothed(smoothing))
                .marks(marks(run))
                .until(end(run))
                .down_to(bottom)
                .show(ui);
        }
        Figure::Lines { title, help, lines } => {
            let evaluations: Vec<_> = lines.iter().map(|(_, metric)| run.eval_series(metric)).collect();
            let mut chart = Chart::new(title, help).marks(marks(run)).until(end(run)).down_to(bottom);
            for (((name, metric), held_out), hue) in lines.iter().zip(&evaluations).zip(hues) {
                chart = match held_out.as_slice() {
                    [] => chart.line(Series::new(*name, run.series(metric), hue).smoothed(smoothing)),
                    points => chart.line(Series::new(*name, points, Hue::Third).dashed()),
                };
            }
            chart.show(ui);
        }
    }
}

/// Last step of the charts: the planned last step, or the step at which the run ended if it is over.
pub(super) fn end(run: &RunState) -> usize {
    let is_over = match run.phase {
        RunPhase::Finished(_) => true,
        RunPhase::Opened => matches!(run.info.record.status, Status::Finished | Status::Stopped),
        _ => false,
    };
    if is_over { run.step() } else { run.n_steps() }
}

/// Marks of the warnings, and of the step that broke the run.
pub(super) fn marks(run: &RunState) -> Vec<Mark> {
    let shown = run.warnings.iter().filter(|warning| !warning.dismissed && warning.warning.step > 0);
    let mark = |warning: &Warning| Mark { step: warning.step as f64, text: warning.text.clone() };
    let broken = match &run.phase {
        RunPhase::Failed { failure: Failure::Diverged { step, .. }, .. } => {
            Some(Mark { step: *step as f64, text: text::diverged(*step) })
        }
        _ => None,
    };
    shown.map(|warning| mark(&warning.warning)).chain(broken).collect()
}

fn won_ui(ui: &mut Ui, run: &RunState, end: usize, bottom: f32) {
    let record = &run.info.record;
    ui.label(RichText::new(text::WON).strong()).on_hover_text(text::WON_HELP);
    if record.n_held_out == 0 {
        weak(ui, run::NO_HELD_OUT);
        return;
    }
    let Some([before, now]) = record.won else {
        weak(ui, text::NOT_EVALUATED);
        return;
    };
    let n = record.n_held_out;
    let interval_of = |share: f64| stats::wilson_interval((share * n as f64).round() as u64, n as u64);
    let interval = interval_of(now);
    // There is no change to show before a second evaluation.
    let is_first = run.evaluations.len() == 1;
    tight(ui, |ui| {
        let palette = theme::palette(ui);
        if !is_first {
            ui.label(RichText::new(units::percent(before)).text_style(theme::figure()).color(palette.weak));
            arrow(ui, palette.weak);
        }
        ui.label(RichText::new(units::percent(now)).text_style(theme::figure()).strong());
    });
    small(ui, text::of_pairs(n, interval));
    if n < FEW_HELD_OUT {
        small(ui, rough_estimate(n));
    }
    let point = |metrics| Some([step_of(metrics) as f64, accuracy_of(metrics)?]);
    let points: Vec<[f64; 2]> = run.evaluations.iter().filter_map(point).collect();
    let band = points.iter().map(|[_, share]| interval_of(*share)).collect();
    let chart = Chart::new(text::WON, text::WON_HELP)
        .untitled()
        .unit(Unit::Percent)
        .line(Series::new(run::HELD_OUT, &points, Hue::First).within(band))
        .level(run::LONGER, Hue::Second, record.longer_wins)
        .marks(marks(run))
        .until(end)
        .down_to(bottom);
    let chart = if is_first { chart } else { chart.level(text::BEFORE, Hue::Quiet, before) };
    let chart = match record.likelier_wins {
        Some(share) => chart.level(text::LIKELIER, Hue::Third, share),
        None => chart,
    };
    chart.show(ui);
}

/// An arrow between two figures, drawn because not every font has one.
fn arrow(ui: &mut Ui, color: egui::Color32) {
    let size = egui::vec2(22.0, ui.text_style_height(&theme::figure()));
    let (rect, _) = ui.allocate_exact_size(size, egui::Sense::hover());
    let from = rect.left_center() + egui::vec2(1.0, 2.0);
    ui.painter().arrow(from, egui::vec2(rect.width() - 3.0, 0.0), egui::Stroke::new(2.0, color));
}
