//! Requests for generated texts.

use crate::app::actions::Action;
use crate::engine::protocol::{Command, CompareCommand, GenerateRequest, Turn};

/// Message to both models, and the conversation before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) prompt: String,
    /// Further prompts, answered together with it.
    pub(super) others: Vec<String>,
    /// Empty for none.
    pub(super) system: String,
    pub(super) turns: Vec<Turn>,
}

/// Sampling options of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) max_tokens: usize,
    pub(super) strength: f32,
}

/// Requests a text of the base and of the tuned model; returns the id of the request.
pub(super) fn ask(asked: Asked, sampling: Sampling, next_id: &mut u64, actions: &mut Vec<Action>) -> u64 {
    let id = *next_id;
    *next_id += 1;
    actions.push(Action::Send(Command::Compare(CompareCommand::Generate(Box::new(GenerateRequest {
        id,
        prompt: asked.prompt,
        others: asked.others,
        system: asked.system,
        turns: asked.turns,
        seed: sampling.seed,
        temperature: sampling.temperature,
        max_new_tokens: sampling.max_tokens,
        strengths: vec![0.0, sampling.strength],
        runs: Vec::new(),
    })))));
    id
}
