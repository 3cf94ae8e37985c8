//! Comparing: texts of both models, scores of the held-out pairs, and a pair token by token.

use super::fold::State;
use crate::engine::protocol::{GenerateRequest, HeldOutPair, Inspection, Problem};

/// Held-out scores that are kept, by adapter scale.
const HELD_OUT_STRENGTHS: usize = 24;

/// Texts that are kept.
const GENERATIONS: usize = 24;

/// Texts being written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generation {
    /// The request.
    pub(crate) request: GenerateRequest,
    /// One text for each adapter scale, or for each run.
    pub(crate) sides: Vec<TextSide>,
}

/// A text being written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TextSide {
    /// The text so far.
    pub(crate) text: String,
    /// True if nothing follows.
    pub(crate) done: bool,
    /// Tokens so far, and the seconds of writing them.
    pub(crate) speed: (usize, f64),
    /// True if it was cancelled or refused before its end.
    pub(crate) failed: bool,
}

impl Generation {
    /// True while a text is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.sides.iter().any(|side| !side.done)
    }

    /// Each prompt with the texts of all models.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&str, &[TextSide])> {
        self.request.prompts().zip(self.sides.chunks(self.request.models()))
    }
}

impl TextSide {
    /// True if it was written to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.done && !self.failed
    }
}

impl State {
    /// True if the open model answers conversations: it has a chat template, and the pairs do not say otherwise.
    pub(crate) fn chats(&self) -> bool {
        let has_template = self.open_model().is_some_and(|model| model.chat.template.is_some());
        has_template && self.pairs.info.as_ref().is_none_or(|pairs| pairs.conversations)
    }

    /// Held-out pairs scored at this adapter scale.
    pub(crate) fn held_out_at(&self, strength: f32) -> Option<&[HeldOutPair]> {
        self.held_out
            .iter()
            .rev()
            .find(|(scored, _)| is_same_strength(*scored, strength))
            .map(|(_, pairs)| pairs.as_slice())
    }

    pub(super) fn text_asked(&mut self, request: &GenerateRequest) {
        let sides = vec![TextSide::default(); request.sides()];
        self.texts.insert(request.id, Generation { request: request.clone(), sides });
        while self.texts.len() > GENERATIONS {
            self.texts.pop_first();
        }
        self.compare_problem = None;
    }

    pub(super) fn scores_asked(&mut self, strength: f32) {
        self.held_out_pending = Some(strength);
        self.compare_problem = None;
    }

    pub(super) fn inspection_asked(&mut self) {
        self.inspection_pending = true;
        self.compare_problem = None;
    }

    pub(super) fn text_written(&mut self, id: u64, side: usize, piece: &str, end: bool, speed: (usize, f64)) {
        if let Some(side) = self.texts.get_mut(&id).and_then(|text| text.sides.get_mut(side)) {
            side.text.push_str(piece);
            side.done |= end;
            side.speed = speed;
        }
    }

    pub(super) fn held_out_scored(&mut self, strength: f32, pairs: Vec<HeldOutPair>) {
        self.held_out.retain(|(scored, _)| !is_same_strength(*scored, strength));
        self.held_out.push((strength, pairs));
        if self.held_out.len() > HELD_OUT_STRENGTHS {
            self.held_out.remove(0);
        }
        self.held_out_pending = None;
        self.forget_progress();
    }

    pub(super) fn inspected(&mut self, inspection: Inspection) {
        self.inspection = Some(inspection);
        self.inspection_pending = false;
        self.forget_progress();
    }

    pub(super) fn compare_refused(&mut self, problem: Problem) {
        self.compare_ended();
        self.compare_problem = Some(problem);
    }

    /// Forgets every comparison that was awaited.
    pub(super) fn compare_ended(&mut self) {
        self.held_out_pending = None;
        self.inspection_pending = false;
        self.end_texts();
        self.forget_progress();
    }

    pub(super) fn end_texts(&mut self) {
        for side in self.texts.values_mut().flat_map(|text| &mut text.sides).filter(|side| !side.done) {
            (side.done, side.failed) = (true, true);
        }
    }

    /// Forgets the progress of comparing or exporting; a run at work keeps its own.
    pub(super) fn forget_progress(&mut self) {
        if let Some(run) = self.run.as_mut().filter(|run| !run.is_active()) {
            run.progress = None;
        }
    }
}

/// True for adapter scales that a slider does not tell apart.
pub(crate) fn is_same_strength(a: f32, b: f32) -> bool {
    (a - b).abs() < 1e-4
}
