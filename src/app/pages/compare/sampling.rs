//! Requests for generated texts.

use crate::app::actions::Action;
use crate::engine::protocol::{Command, GenerateRequest};

/// Sampling options of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) max_tokens: usize,
    pub(super) strength: f32,
}

/// Requests a text of the base and of the tuned model; returns the id of the request.
pub(super) fn ask(prompt: &str, sampling: Sampling, next_id: &mut u64, actions: &mut Vec<Action>) -> u64 {
    let id = *next_id;
    *next_id += 1;
    actions.push(Action::Send(Command::Generate(Box::new(GenerateRequest {
        id,
        prompt: prompt.to_owned(),
        seed: sampling.seed,
        temperature: sampling.temperature,
        max_new_tokens: sampling.max_tokens,
        strengths: vec![0.0, sampling.strength],
        runs: Vec::new(),
    }))));
    id
}
