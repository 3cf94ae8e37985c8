//! All runs of a sweep in one picture: held-out accuracy, drift and chosen answers on the way, and what the drift buys.

use eframe::egui::Ui;

use super::text;
use crate::app::charts::{Across, Chart, Hue, Series, Unit};
use crate::app::state::SweepState;
use crate::app::widgets::{columns, titled_card};
use crate::engine::protocol::{SweepPoint, short};

/// Smallest KL drawn, because the logarithm of zero has no place.
const LEAST_KL: f64 = 1e-4;

/// Draws the picture.
pub(super) fn figures_ui(ui: &mut Ui, sweep: &SweepState) {
    if sweep.tried.iter().all(|tried| tried.points.is_empty()) {
        return;
    }
    let of = |of: fn(&SweepPoint) -> [f64; 2]| -> Vec<Vec<[f64; 2]>> {
        sweep.tried.iter().map(|tried| tried.points.iter().map(of).collect()).collect()
    };
    let steps = sweep.tried.iter().map(|tried| tried.n_steps).max().unwrap_or(0);
    let draw = |ui: &mut Ui, chart: Chart<'_>, points: &[Vec<[f64; 2]>]| {
        let lines = sweep.tried.iter().zip(points).enumerate();
        let lines = lines.map(|(i, (tried, points))| Series::new(short(tried.value), points, Hue::of(i)));
        lines.fold(chart, Chart::line).show(ui);
    };
    let ends: Vec<Vec<[f64; 2]>> = sweep
        .tried
        .iter()
        .map(|tried| {
            let end = tried.points.last().filter(|point| point.step > 0);
            end.map(|point| [point.kl.max(LEAST_KL).log10(), point.pairs_won]).into_iter().collect()
        })
        .collect();
    let won = of(|point| [point.step as f64, point.pairs_won]);
    let drift = of(|point| [point.step as f64, point.kl]);
    let chosen = of(|point| [point.step as f64, point.chosen_change]);
    let kl = Across { name: text::KL_AXIS, log: true };
    let by_step = |title, help| Chart::new(title, help).until(steps);
    titled_card(ui, &text::picture(sweep.over), |ui| {
        columns(
            ui,
            380.0,
            &mut [
                &mut |ui| draw(ui, by_step(text::ACCURACY, text::ACCURACY_HELP).unit(Unit::Percent), &won),
                &mut |ui| {
                    let chart = Chart::new(text::BOUGHT, text::BOUGHT_HELP).across(kl).unit(Unit::Percent);
                    draw(ui, chart, &ends);
                },
                &mut |ui| draw(ui, by_step(text::DRIFT, text::DRIFT_HELP), &drift),
                &mut |ui| draw(ui, by_step(text::CHOSEN, text::CHOSEN_HELP), &chosen),
            ],
        );
    });
}
