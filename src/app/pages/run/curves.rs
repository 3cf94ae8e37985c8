//! Curves to look at when something is odd.

use eframe::egui::{self, RichText, Slider, Ui};
use serde_json::json;

use super::figures::{SMOOTHING, end, marks};
use super::page::RunView;
use super::text;
use crate::app::charts::{Chart, Hue, Series, Unit};
use crate::app::state::RunState;
use crate::app::text::{run, units};
use crate::app::widgets::{card, key_value, slider};

/// Draws the curves to look at when something is odd.
pub(super) fn curves_ui(ui: &mut Ui, run: &RunState, view: &mut RunView) {
    let smoothing = view.smoothing.unwrap_or(SMOOTHING);
    let end = end(run);
    card(ui, |ui| {
        let chart = |ui: &mut Ui, title: &str, body: &dyn Fn(&mut Ui)| {
            egui::CollapsingHeader::new(title).id_salt(("curve", title)).show_unindented(ui, |ui| body(ui));
        };
        chart(ui, run::LOSS, &|ui| {
            let (train, held_out) = (run.series("loss"), run.eval_series("eval_loss"));
            let chart = Chart::new(run::LOSS, run::LOSS_HELP)
                .untitled()
                .line(Series::new(run::TRAIN, train, Hue::First).smoothed(smoothing))
                .line(Series::new(run::HELD_OUT, &held_out, Hue::Third).dashed())
                .marks(marks(run))
                .until(end);
            let usual = run
                .info
                .record
                .settings
                .get("loss_type")
                .is_none_or(|loss| *loss == json!("sigmoid") || *loss == json!(["sigmoid"]));
            let level = std::f64::consts::LN_2;
            let chart = if usual { chart.level(text::AT_START, Hue::Quiet, level) } else { chart };
            chart.show(ui);
        });
        chart(ui, text::LEARNING_RATE, &|ui| {
            let rate = run.series("learning_rate");
            Chart::new(text::LEARNING_RATE, "")
                .untitled()
                .line(Series::new(text::LEARNING_RATE, rate, Hue::First))
                .unit(Unit::Small)
                .until(end)
                .show(ui);
        });
        chart(ui, text::GRADIENT, &|ui| {
            let norm = run.series("grad_norm");
            Chart::new(text::GRADIENT, text::GRADIENT_HELP)
                .untitled()
                .line(Series::new(run::TRAIN, norm, Hue::First).smoothed(smoothing))
                .marks(marks(run))
                .until(end)
                .show(ui);
        });
        chart(ui, text::SPEED, &|ui| {
            Chart::new(text::STEP_TIME, "")
                .untitled()
                .line(Series::new(text::STEP_TIME, &run.step_seconds, Hue::First))
                .unit(Unit::Seconds)
                .until(end)
                .show(ui);
            let (planned, used) = (run.info.planned_bytes, run.info.device_bytes);
            if planned > 0 {
                key_value(ui, text::PLANNED, units::bytes(planned));
            }
            if used > 0 {
                key_value(ui, text::USED, units::bytes(used));
            }
        });
        ui.horizontal(|ui| {
            let mut weight = smoothing;
            let label = ui.label(RichText::new(text::SMOOTHING).small()).id;
            if slider(ui, Slider::new(&mut weight, 0.0..=0.99).max_decimals(2)).labelled_by(label).changed() {
                view.smoothing = Some(weight);
            }
        });
    });
}
