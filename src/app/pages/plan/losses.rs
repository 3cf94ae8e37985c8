//! The losses of a run of pairs, by name: one, or several that are added up.

use eframe::egui::{self, Response, Ui};
use serde_json::{Value, json};

use super::fields::with_setting;
use super::text;
use crate::app::state::State;
use crate::app::widgets;
use crate::engine::plan::field_help::field_help;
use crate::engine::protocol::{LossType, Settings};

/// The setting for how much each of several losses counts.
const WEIGHTS: &str = "loss_weights";

/// Draws the list of losses; returns the edited settings when another one is chosen, or one is added or taken away.
pub(super) fn losses_ui(ui: &mut Ui, state: &State, key: &'static str) -> (Response, Option<Settings>) {
    let now = words(state.plan.value(key));
    let mut new: Option<Vec<&str>> = None;
    let combo = egui::ComboBox::from_id_salt(key)
        .width(184.0)
        .height(480.0)
        .truncate()
        .selected_text(text::losses(&now))
        .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
        .show_ui(ui, |ui| {
            egui::Grid::new(key).num_columns(2).show(ui, |ui| {
                for loss in LossType::ALL {
                    let (word, name) = (loss.name(), loss.label());
                    let chosen = now.contains(&word);
                    if ui.selectable_label(chosen, name).clicked() {
                        new = Some(vec![word]);
                        ui.close();
                    }
                    let (label, what) = match chosen {
                        true => (text::REMOVE_LOSS, text::remove_loss(name)),
                        false => (text::ADD_LOSS, text::add_loss(name)),
                    };
                    // One loss has to stay.
                    if !chosen || now.len() > 1 {
                        let button = widgets::link_button(ui, label);
                        widgets::name_of(ui, &button, &what);
                        if button.clicked() {
                            let others = now.iter().copied().filter(|other| *other != word);
                            new = Some(others.chain((!chosen).then_some(word)).collect());
                        }
                    }
                    ui.end_row();
                }
            });
        });
    widgets::name_of(ui, &combo.response, field_help(key).map_or(key, |help| help.label));
    let edited = new.filter(|new| *new != now).map(|new| {
        let weights = weights(&now, state.plan.value(WEIGHTS), &new);
        let losses = if let [one] = new.as_slice() { json!(one) } else { json!(new) };
        let mut settings = with_setting(state, key, losses);
        settings.shift_remove(WEIGHTS);
        settings.extend(weights.map(|weights| (WEIGHTS.to_owned(), weights)));
        settings
    });
    (combo.response, edited)
}

/// The words of the losses.
fn words(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        value => value.and_then(Value::as_str).into_iter().collect(),
    }
}

/// The weights of the new losses: what they weighed before, or 1; none where none were set or one loss is left.
fn weights(now: &[&str], weights: Option<&Value>, new: &[&str]) -> Option<Value> {
    let weights = weights.and_then(Value::as_array).filter(|_| new.len() > 1)?;
    let weight = |word: &&str| {
        let before = now.iter().position(|other| other == word).and_then(|at| weights.get(at));
        before.cloned().unwrap_or_else(|| json!(1.0))
    };
    Some(new.iter().map(weight).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_keep_their_weights() {
        let now = ["sigmoid", "sft"];
        let set = json!([1.0, 0.1]);
        assert_eq!(weights(&now, Some(&set), &["sigmoid", "sft", "ipo"]), Some(json!([1.0, 0.1, 1.0])), "one is added");
        assert_eq!(
            weights(&[&now[..], &["ipo"]].concat(), Some(&json!([1.0, 0.1, 0.5])), &["sft", "ipo"]),
            Some(json!([0.1, 0.5]))
        );
        assert_eq!(weights(&now, Some(&set), &["sigmoid"]), None, "one alone needs no weight");
        assert_eq!(weights(&now, None, &["sigmoid", "sft", "ipo"]), None, "all count the same");
    }
}
