//! One pair, as it is in the file and as the model sees it.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{self, Color32, Stroke, Ui};

use super::edit::{Edit, edit_ui};
use super::page::PairsView;
use super::text;
use crate::app::actions::Action;
use crate::app::state::State;
use crate::app::theme;
use crate::app::widgets::{self, Tone, diff};
use crate::engine::protocol::{Command, Kind, PairView, PairsCommand, Passage, SeenSequence};

/// The height of a button that shows rows with a flag.
pub(super) const CHIP_HEIGHT: f32 = 28.0;
/// Maximum number of tokens drawn for a sequence.
const SHOWN_TOKENS: usize = 1500;
/// Least width of a side of a pair that has the other one beside it.
const SIDE_WIDTH: f32 = 380.0;

pub(super) fn read_ui(ui: &mut Ui, state: &State, view: &mut PairsView, actions: &mut Vec<Action>) {
    let n = state.pairs.rows.len();
    if n == 0 {
        widgets::weak(ui, text::NO_ROWS);
        return;
    }
    view.index = view.index.min(n - 1);
    let max_length = state.plan.max_length();
    let shown = state.pairs.view(view.index);
    let wanted = Some((view.index, max_length, state.pairs.generation));
    if view.asked != wanted {
        view.asked = wanted;
        actions.push(Action::Send(Command::Pairs(PairsCommand::Read { index: view.index, max_length })));
    }
    view.edit.take_if(|edit| edit.index != view.index);
    if let (Some(edit), Some(pair)) = (&mut view.edit, shown) {
        if edit_ui(ui, state, pair, edit, actions) {
            view.edit = None;
        }
        return;
    }
    ui.horizontal_wrapped(|ui| {
        if ui.add_enabled(view.index > 0, egui::Button::new(text::PREVIOUS)).clicked() {
            view.index -= 1;
        }
        if ui.add_enabled(view.index + 1 < n, egui::Button::new(text::NEXT)).clicked() {
            view.index += 1;
        }
        let mut number = view.index + 1;
        let label = ui.label(text::PAIR);
        ui.add(egui::DragValue::new(&mut number).range(1..=n)).labelled_by(label.id);
        view.index = number.saturating_sub(1).min(n - 1);
        widgets::weak(ui, text::of_pairs(n, state.pairs.rows[view.index].line));
        if let Some(scores) = state.pairs.rows[view.index].scores {
            widgets::weak(ui, text::scores(scores));
        }
        ui.separator();
        ui.selectable_value(&mut view.raw, false, text::AS_SEEN);
        ui.selectable_value(&mut view.raw, true, text::AS_FILED);
        if let Some(pair) = shown
            && ui.button(text::EDIT).clicked()
        {
            view.edit = Some(Edit::of(pair));
        }
        let may_swap = state.kind() == Kind::Pairs && shown.is_some();
        if may_swap && ui.button(text::SWAP_ROW).on_hover_text(text::SWAP_ROW_HELP).clicked() {
            actions.push(Action::Send(Command::Pairs(PairsCommand::SwapRow { index: view.index })));
        }
    });
    match shown {
        None => {
            widgets::weak(ui, text::OPENING_PAIR);
        }
        Some(pair) if view.raw => raw_ui(ui, state.kind(), pair),
        Some(pair) => match &pair.seen {
            Ok(seen) => seen_ui(ui, seen),
            Err(problem) => {
                widgets::tone_card(ui, Tone::Warn, |ui| widgets::problem_text(ui, problem));
                raw_ui(ui, state.kind(), pair);
            }
        },
    }
}

/// Draws a row as it is in the file. A pair has its answers side by side, with the words in colour that differ.
fn raw_ui(ui: &mut Ui, kind: Kind, pair: &PairView) {
    let names = text::sides(kind);
    let [prompt, chosen, rejected] = pair.parts.each_ref().map(Vec::as_slice);
    part_ui(ui, names[0], prompt, None);
    if kind == Kind::Pairs {
        let mut left = |ui: &mut Ui| part_ui(ui, names[1], chosen, Some((rejected, true)));
        let mut right = |ui: &mut Ui| part_ui(ui, names[2], rejected, Some((chosen, false)));
        widgets::columns(ui, SIDE_WIDTH, &mut [&mut left, &mut right]);
    } else {
        part_ui(ui, names[1], chosen, None);
    }
}

/// Draws the passages of a part; `other` is the answer beside it, and true if that one is rejected.
fn part_ui(ui: &mut Ui, name: &str, part: &[Passage], other: Option<(&[Passage], bool)>) {
    for (i, passage) in part.iter().enumerate() {
        widgets::weak(ui, text::passage(name, passage));
        let is_chosen = other.is_some_and(|(_, is_chosen)| is_chosen);
        let pieces = other.and_then(|(other, _)| other.get(i)).map(|other| {
            let [chosen, rejected] = match is_chosen {
                true => diff::words(&passage.text, &other.text),
                false => diff::words(&other.text, &passage.text),
            };
            if is_chosen { chosen } else { rejected }
        });
        widgets::text_box(ui, |ui| {
            widgets::answer_ui(ui, &passage.text, pieces.as_deref().unwrap_or_default(), is_chosen);
        });
    }
}

fn seen_ui(ui: &mut Ui, seen: &[SeenSequence]) {
    widgets::small(ui, text::TOKENS_LEGEND);
    let [chosen, rejected] = seen else {
        return seen.iter().for_each(|sequence| sequence_ui(ui, text::SEQUENCE, sequence));
    };
    let side = |side: usize, sequence| move |ui: &mut Ui| sequence_ui(ui, text::SIDES[side], sequence);
    widgets::columns(ui, SIDE_WIDTH, &mut [&mut side(1, chosen), &mut side(2, rejected)]);
}

/// A sequence, token by token.
fn sequence_ui(ui: &mut Ui, name: &str, sequence: &SeenSequence) {
    let palette = theme::palette(ui);
    ui.horizontal_wrapped(|ui| {
        widgets::weak(ui, name);
        widgets::small(ui, text::sequence(sequence.tokens.len(), sequence.prompt_len, sequence.cut));
    });
    let kept = sequence.tokens.len() - sequence.cut.min(sequence.tokens.len());
    let font = egui::TextStyle::Monospace.resolve(ui.style());
    let mut job = LayoutJob::default();
    for (i, token) in sequence.tokens.iter().enumerate().take(SHOWN_TOKENS) {
        let scored = i >= sequence.prompt_len && i < kept;
        let color = match (i >= kept, scored) {
            (true, _) => palette.bad,
            (false, true) => palette.text,
            (false, false) => palette.weak,
        };
        let background = match (scored, i % 2) {
            (false, _) => Color32::TRANSPARENT,
            (true, 0) => palette.accent_soft,
            (true, _) => palette.warn_soft,
        };
        let strikethrough = if i >= kept { Stroke::new(1.0, palette.bad) } else { Stroke::NONE };
        let format = TextFormat {
            font_id: font.clone(),
            color,
            background,
            strikethrough,
            line_height: Some(20.0),
            ..TextFormat::default()
        };
        job.append(&text::token(token), 0.0, format.clone());
        if token.contains('\n') {
            job.append("\n", 0.0, format);
        }
    }
    widgets::text_box(ui, |ui| {
        ui.add(egui::Label::new(job).wrap());
        if sequence.tokens.len() > SHOWN_TOKENS {
            widgets::small(ui, text::more_tokens(sequence.tokens.len() - SHOWN_TOKENS));
        }
    });
}
