//! Blind votes between the models that both sides ended with.

use eframe::egui::Ui;

use super::page::RaceView;
use super::text;
use crate::app::actions::Action;
use crate::app::charts::share_scale;
use crate::app::state::{RaceState, State};
use crate::app::text::votes;
use crate::app::widgets::{Answer, Ballot, card, heading, primary_button, refused_ui, small, tabs, weak};
use crate::engine::protocol::{Command, CompareCommand, GenerateRequest, Subject};
use crate::engine::stats::win_rate_from_votes;

/// The runs whose models are compared: DPO's, and the other side's.
pub(super) type Contenders = [String; 2];

/// Limit on the tokens of an answer, and the sampling temperature.
const MOST_TOKENS: usize = 120;
const TEMPERATURE: f32 = 0.7;

/// Draws the votes, if both sides have left a model.
pub(super) fn votes_ui(ui: &mut Ui, state: &State, view: &mut RaceView, actions: &mut Vec<Action>) {
    let race = &state.race;
    let others: Vec<usize> = (1..race.plan.len()).filter(|side| model_of(race, *side).is_some()).collect();
    let (Some(first), Some(dpo)) = (others.first(), model_of(race, 0)) else { return };
    if !others.contains(&view.beside) {
        view.beside = *first;
    }
    card(ui, |ui| {
        heading(ui, votes::TITLE);
        weak(ui, votes::TEXT);
        if others.len() > 1 {
            let all: Vec<_> = others.iter().map(|side| (*side, text::beside(&race.plan[*side].name))).collect();
            tabs(ui, &mut view.beside, &all);
        }
    });
    refused_ui(ui, Subject::Compare, state.compare_problem.as_ref(), actions);
    let Some(other) = model_of(race, view.beside) else { return };
    let runs = [dpo.to_owned(), other.to_owned()];
    let RaceView { ballots, next_id, beside, .. } = view;
    let names = [race.plan[0].name.as_str(), race.plan[*beside].name.as_str()];
    let ballot = ballots.entry(runs.clone()).or_default();
    ballot.keep_texts(state);
    let mut ask = |ballot: &mut Ballot, prompt: &str| {
        let (id, seed) = (*next_id, ballot.next_seed(1));
        *next_id += 1;
        let request = GenerateRequest {
            others: Vec::new(),
            id,
            prompt: prompt.to_owned(),
            system: String::new(),
            turns: Vec::new(),
            seed,
            temperature: TEMPERATURE,
            max_new_tokens: MOST_TOKENS,
            strengths: Vec::new(),
            runs: runs.to_vec(),
        };
        actions.push(Action::Send(Command::Compare(CompareCommand::Generate(Box::new(request)))));
        ballot.asked(prompt.to_owned(), id, seed);
    };
    let next = race.prompts.get(ballot.rounds() % race.prompts.len().max(1));
    if ballot.rounds() == 0 {
        if let Some(prompt) = next
            && primary_button(ui, votes::START).clicked()
        {
            ask(ballot, prompt);
        }
    } else {
        small(ui, votes::round(ballot.rounds()));
        match (ballot.show(ui, state, names), next) {
            (Some(Answer::Next), Some(prompt)) => ask(ballot, prompt),
            (Some(Answer::Again(prompt)), _) => ask(ballot, &prompt),
            (Some(Answer::Cancel), _) => actions.push(Action::Send(Command::Cancel)),
            (Some(Answer::Next) | None, _) => {}
        }
    }
    if let Some(rate) = win_rate_from_votes(&ballot.votes()) {
        card(ui, |ui| {
            heading(ui, &votes::win_rate(names[1], rate.rate, rate.interval));
            share_scale(ui, &text::rate_of(names[1]), rate.rate, rate.interval, &[(votes::CHANCE, 0.5)]);
            small(ui, votes::tally(names, rate.wins, rate.losses, rate.ties));
        });
    }
}

/// Returns the run of a side's last stage, once there is one.
fn model_of(race: &RaceState, side: usize) -> Option<&str> {
    race.plan.get(side)?.stages.last().and_then(|method| race.stage(*method)?.run_id.as_deref())
}
