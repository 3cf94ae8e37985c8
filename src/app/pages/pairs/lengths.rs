//! Lengths of the pairs, compared with max length.

use eframe::egui::Ui;

use super::rows::raise_ui;
use super::text;
use crate::app::actions::Action;
use crate::app::charts::Histogram;
use crate::app::state::State;
use crate::app::widgets;

/// A limit of at most so many times the longest pair is shown beside it.
const NEAR: f64 = 1.5;
/// Maximum number of bars in the histogram.
const BARS: u32 = 40;

pub(super) fn lengths_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(plan) = state.plan_info().filter(|plan| !plan.lengths.is_empty()) else {
        widgets::weak(ui, text::NO_LENGTHS);
        return;
    };
    let limit = plan.full_settings.get("max_length").and_then(serde_json::Value::as_f64).unwrap_or(1024.0);
    let longest = plan.lengths.iter().copied().max().unwrap_or(1);
    ui.horizontal_wrapped(|ui| {
        ui.label(text::lengths(plan, longest));
        raise_ui(ui, state, actions);
        if widgets::link_button(ui, text::CHANGE_MAX_LENGTH).clicked() {
            actions.push(Action::GoToField("max_length"));
        }
    });
    let is_near = limit <= NEAR * f64::from(longest);
    let most = if is_near { longest.max(limit as u32) } else { longest };
    let width = most.div_ceil(BARS).max(1);
    let bars = most / width + 1;
    let values: Vec<f64> = plan.lengths.iter().map(|length| f64::from(*length)).collect();
    let range = [0.0, f64::from(bars * width)];
    let histogram = Histogram::new(text::PAIRS_BY_LENGTH, &values, range, bars as usize);
    let histogram = if is_near { histogram.limit(text::MAX_LENGTH, limit) } else { histogram };
    histogram.across(text::TOKENS).height(260.0).show(ui);
}
