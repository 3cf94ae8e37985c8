//! Lengths of the pairs, compared with max length.

use eframe::egui::{self, Stroke, Ui};
use egui_plot::{Bar, BarChart, Plot, VLine};

use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::{theme, widgets};

/// Maximum number of bars in the histogram.
const BARS: u32 = 40;

pub(super) fn lengths_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(plan) = state.plan_info().filter(|plan| !plan.lengths.is_empty()) else {
        widgets::weak(ui, text::NO_LENGTHS);
        return;
    };
    let palette = theme::palette(ui);
    let limit = plan.full_settings.get("max_length").and_then(serde_json::Value::as_f64).unwrap_or(1024.0);
    let longest = plan.lengths.iter().copied().max().unwrap_or(1);
    ui.horizontal_wrapped(|ui| {
        ui.label(text::lengths(plan.lengths.len(), longest, plan.n_truncated, plan.n_dropped));
        if widgets::link_button(ui, text::CHANGE_MAX_LENGTH).clicked() {
            actions.push(Action::GoToField("max_length"));
        }
    });
    let width = longest.div_ceil(BARS).max(1);
    let mut counts = vec![0_u32; (longest / width + 1) as usize];
    for length in &plan.lengths {
        counts[(length / width) as usize] += 1;
    }
    let bars = counts.iter().enumerate().map(|(i, n)| {
        let from = i as f64 * f64::from(width);
        let color = if from + f64::from(width) > limit { palette.warn } else { palette.accent };
        let bar = Bar::new(from + f64::from(width) / 2.0, f64::from(*n)).width(f64::from(width) * 0.9);
        bar.fill(color.gamma_multiply(0.75)).stroke(Stroke::NONE)
    });
    let chart = BarChart::new(text::PAIRS_BY_LENGTH, bars.collect());
    Plot::new("lengths")
        .height(260.0)
        .allow_scroll(false)
        .allow_drag(false)
        .allow_zoom(false)
        .show_grid([false, true])
        .set_margin_fraction(egui::vec2(0.01, 0.06))
        .include_y(0.0)
        .include_x(0.0)
        .x_axis_label(text::TOKENS)
        .y_axis_label(text::PAIRS)
        .show(ui, |plot| {
            plot.bar_chart(chart);
            plot.vline(VLine::new(text::MAX_LENGTH, limit).color(palette.bad).width(1.5));
        });
}
