//! The stages of both sides, side by side: waiting, under way, done.

use eframe::egui::{Ui, vec2};

use super::page::open_ui;
use super::text;
use crate::app::actions::Action;
use crate::app::charts::{Hue, sparkline};
use crate::app::state::RaceState;
use crate::app::widgets::{Icon, Tone, card, chip, columns_of, heading, icon, progress_bar, small};
use crate::engine::protocol::Method;

/// Width and height of a stage's small chart.
const CHART: [f32; 2] = [120.0, 26.0];

/// Draws the sides, each with its stages from top to bottom.
pub(super) fn stages_ui(ui: &mut Ui, race: &RaceState, actions: &mut Vec<Action>) {
    card(ui, |ui| columns_of(ui, 240.0, race.plan.len(), &mut |ui, at| side_ui(ui, race, at, actions)));
}

fn side_ui(ui: &mut Ui, race: &RaceState, at: usize, actions: &mut Vec<Action>) {
    let side = &race.plan[at];
    heading(ui, &side.name);
    for method in &side.stages {
        stage_ui(ui, race, *method, Hue::of(at), actions);
    }
}

fn stage_ui(ui: &mut Ui, race: &RaceState, method: Method, hue: Hue, actions: &mut Vec<Action>) {
    let stage = race.stage(method);
    let done = race.standing.sides.iter().flat_map(|side| &side.stages).find(|done| done.method == method);
    let goes = race.now == Some(method) && done.is_none();
    let (mark, tone, word) = match (done, goes) {
        (Some(done), _) => (Icon::Check, Tone::Good, text::took(done.seconds)),
        (None, true) => (Icon::Dot, Tone::Accent, text::GOES.to_owned()),
        (None, false) if race.course.is_active() => (Icon::Dot, Tone::Neutral, text::WAITS.to_owned()),
        (None, false) => (Icon::Cross, Tone::Neutral, text::NOT_DONE.to_owned()),
    };
    ui.horizontal(|ui| {
        icon(ui, mark, tone);
        ui.label(text::stage(method)).on_hover_text(text::stage_help(method));
        chip(ui, tone, &word);
    });
    let Some(stage) = stage else { return };
    ui.horizontal(|ui| {
        if stage.values.len() > 1 {
            sparkline(ui, &text::sparkline(method, &stage.metric), &stage.values, vec2(CHART[0], CHART[1]), hue);
        }
        ui.vertical(|ui| {
            small(ui, text::step(stage.step, stage.n_steps, &stage.metric, stage.values.last().copied()));
            if goes && stage.step == stage.n_steps {
                small(ui, text::MEASURING);
            }
            if let Some(run_id) = &stage.run_id {
                open_ui(ui, run_id, !race.course.is_active(), actions);
            }
        });
    });
    if goes {
        progress_bar(ui, text::stage(method), Some(stage.step as f32 / stage.n_steps.max(1) as f32));
    }
}
