//! The held-out pairs under another beta.

use eframe::egui::{self, Slider, Ui};
use serde_json::json;

use super::held_out::score_ui;
use super::page::CompareView;
use super::text;
use crate::app::actions::{Action, Step};
use crate::app::charts::Histogram;
use crate::app::records::{beta, resumed};
use crate::app::state::{RunState, State};
use crate::app::text::{run, units};
use crate::app::widgets::{Tone, card, chip, heading, mono, slider, small, weak};
use crate::engine::protocol::{HeldOutPair, Settings};
use crate::engine::stats;

/// Log-ratios of tuned to base, chosen and rejected.
fn log_ratios(pairs: &[HeldOutPair]) -> Vec<[f64; 2]> {
    pairs.iter().map(|pair| [pair.tuned[0] - pair.base[0], pair.tuned[1] - pair.base[1]]).collect()
}

pub(super) fn what_if_ui(
    ui: &mut Ui,
    state: &State,
    run: &RunState,
    view: &mut CompareView,
    actions: &mut Vec<Action>,
) {
    let record = &run.info.record;
    let own = beta(record);
    card(ui, |ui| {
        heading(ui, text::WHAT_IF_TITLE);
        weak(ui, text::WHAT_IF_TEXT);
        chip(ui, Tone::Warn, text::NOT_A_RUN);
        let Some(pairs) = state.held_out_at(1.0) else {
            score_ui(ui, state, run, 1.0, actions);
            return;
        };
        let ratios = log_ratios(pairs);
        let mut beta = view.beta.unwrap_or(own);
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(run::BETA).id;
            ui.spacing_mut().slider_width = 280.0;
            let beta_slider = Slider::new(&mut beta, 0.01..=1.0).logarithmic(true).max_decimals(3);
            if slider(ui, beta_slider).labelled_by(label).changed() {
                view.beta = Some(beta);
            }
            if view.beta.is_some() && ui.button(text::OWN_BETA).clicked() {
                view.beta = None;
            }
        });
        let (here, there) = (stats::what_if(own, &ratios), stats::what_if(beta, &ratios));
        egui::Grid::new("what if").num_columns(3).min_row_height(0.0).spacing([32.0, 6.0]).show(ui, |ui| {
            ui.label("");
            weak(ui, text::at_run_beta(own));
            weak(ui, text::at_beta(beta));
            ui.end_row();
            for (name, a, b) in [
                (text::LOSS, units::number(here.loss), units::number(there.loss)),
                (text::MARGIN, units::number(here.margin), units::number(there.margin)),
                (text::ACCURACY, units::percent(here.accuracy), units::percent(there.accuracy)),
                (text::WEIGHT, units::number(here.mean_gradient_weight), units::number(there.mean_gradient_weight)),
            ] {
                ui.label(name);
                mono(ui, a);
                mono(ui, b);
                ui.end_row();
            }
        });
        small(ui, text::WEIGHTS_HELP);
        Histogram::new(text::WEIGHTS, &there.weights, [0.0, 1.0], 20).show(ui);
        ui.horizontal_wrapped(|ui| {
            let why_not = match () {
                () if record.checkpoint.is_none() => Some(text::NOT_SAVED),
                () if (beta - own).abs() < 1e-9 => Some(text::SAME_BETA),
                () => None,
            };
            let go = ui.add_enabled(why_not.is_none(), egui::Button::new(text::NEW_RUN));
            if let Some(why) = why_not {
                weak(ui, why);
            }
            if go.clicked() {
                let beta = format!("{beta:.3}").parse().unwrap_or(beta);
                let settings = Settings::from_iter([("beta".to_owned(), json!(beta))]);
                actions.push(Action::Send(resumed(record, settings)));
                actions.push(Action::Go(Step::Run));
            }
            small(ui, text::pairs(ratios.len()));
        });
    });
}
