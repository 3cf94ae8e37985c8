//! Pieces that the pages share: cards, buttons, chips, bars, icons.

mod buttons;
pub(crate) mod diff;
mod icons;
mod model;
mod parts;
mod paths;
mod progress;
mod prompts;
mod run;
mod votes;

pub(crate) use buttons::{big_button, danger_button, icon_button, link_button, primary_button, row_button, slider};
pub(crate) use icons::{Icon, icon, info, paint_icon};
pub(crate) use model::{
    fits_chip, model_loading_ui, model_name_ui, model_refused_ui, model_row_height, models_table, needs_chip,
};
pub(crate) use parts::{
    Tone, answer_ui, card, chip, columns, columns_of, heading, key_value, marked, mono, name_of, outline, page_title,
    problem_card, problem_text, small, tabs, text_box, titled_card, tone_card, tone_colors, weak,
};
pub(crate) use paths::{by_path_ui, path_field};
pub(crate) use progress::{fraction, progress_bar, progress_ui};
pub(crate) use prompts::prompts_ui;
pub(crate) use run::{Renaming, comparable_ui, discard_ui, refused_ui, run_name_ui, starting_ui, strength_ui};
pub(crate) use votes::{Answer, Ballot};
