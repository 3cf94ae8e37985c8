//! Texts of several models side by side.

use super::held_out::{Bench, check_writes, place};
use super::writing::{Style, Writer, conversation_ids};
use crate::data::Tokenizer;
use crate::engine::protocol::{Event, GenerateRequest, Turn};
use crate::engine::session::{Session, Wire};
use crate::error::{Error, Result};
use crate::kernels::Sampling;
use crate::model::{Adapter, AdapterSettings, MAX_TEXTS};
use crate::platform::host::seconds;

/// Rows in a model's cache of keys and values for prompts that are answered together, which bounds its memory. A prompt
/// that needs more is answered by itself.
const CACHE_ROWS: usize = 4096;

impl Session {
    /// Answers each prompt once for each adapter scale, or for each run. The models take turns, so that their texts
    /// grow side by side; each writes its answers to several prompts together.
    pub(in crate::engine) async fn generate(&mut self, request: GenerateRequest) -> Result<()> {
        if !request.temperature.is_finite() || request.temperature < 0.0 {
            return Err(Error::input(format!("The temperature is {}", request.temperature), "Give 0 or more", ""));
        }
        let bench = self.bench().await?;
        let raw = self.pairs.as_ref().is_some_and(|pairs| !pairs.conversations());
        let (mut asked, mut adapters) = (Vec::new(), Vec::new());
        for side in 0..request.models() {
            asked.push(prompts_of(&request, side, raw, &bench)?);
            adapters.push(match request.runs.get(side) {
                Some(run_id) => Some(self.place_stored(&bench, run_id).await?),
                None => self.place_adapter(&bench, request.strengths[side])?,
            });
        }
        let sampling = Sampling { temperature: request.temperature, top_k: 0, top_p: 1.0, seed: request.seed };
        let style = Style { sampling, max_new_tokens: request.max_new_tokens };
        let mut first = 0;
        while first < request.prompts().count() {
            let end = first + together(&asked, first, bench.open.positions(), style.max_new_tokens);
            let prompts: Vec<&[Vec<u32>]> = asked.iter().map(|ids| &ids[first..end]).collect();
            write(&mut self.wire, &bench, &adapters, &prompts, &style, request.id, first).await?;
            first = end;
        }
        Ok(())
    }

    /// The adapter of a stored run, as it was trained, on the device.
    async fn place_stored(&self, bench: &Bench, run_id: &str) -> Result<Adapter> {
        let (name, values) = self.adapter_of_stored(run_id).await?;
        check_writes(&values, &name)?;
        AdapterSettings::new(values.config.clone(), &bench.open.config)?.check(&bench.open.config, &values, &name)?;
        place(bench, &values, 1.0)
    }
}

/// The prompts as this model sees them, after what it said in earlier turns.
fn prompts_of(request: &GenerateRequest, side: usize, raw: bool, bench: &Bench) -> Result<Vec<Vec<u32>>> {
    let (tokenizer, positions) = (bench.open.tokenizer(), bench.open.positions());
    let said = |turn: &Turn| turn.answers.get(side).map_or("", String::as_str).to_owned();
    let turns: Vec<(String, String)> = request.turns.iter().map(|t| (t.prompt.clone(), said(t))).collect();
    let turns: Vec<[&str; 2]> = turns.iter().map(|(asked, said)| [asked.as_str(), said.as_str()]).collect();
    let ids = |(prompt, number): (&str, usize)| -> Result<Vec<u32>> {
        let ids = conversation_ids(&request.system, &turns, prompt, raw, &tokenizer)?;
        if ids.len() >= positions {
            let which = if request.others.is_empty() { "The prompt".to_owned() } else { format!("Prompt {number}") };
            let what = format!("{which} has {} tokens, but the model takes {positions}", ids.len());
            return Err(Error::input(what, "Shorten the prompt: the answer needs room too", "prompt"));
        }
        Ok(ids)
    };
    request.prompts().zip(1..).map(ids).collect()
}

/// Number of prompts from `first` on that are answered together: those that have room for all new tokens in every model
/// and in its cache, so that none ends another's answer.
fn together(asked: &[Vec<Vec<u32>>], first: usize, positions: usize, max_new_tokens: usize) -> usize {
    let rows = |i: usize| asked.iter().map(|ids| ids[i].len() + max_new_tokens).max().unwrap_or(0);
    let (mut n, mut used) = (0, 0);
    for i in (first..asked.first().map_or(0, Vec::len)).take(MAX_TEXTS) {
        used += rows(i);
        if used > CACHE_ROWS || rows(i) > positions {
            break;
        }
        n += 1;
    }
    n.max(1)
}

/// Writes the answers of each model to its `prompts`, the first of which has the number `first` among all.
async fn write(
    wire: &mut Wire,
    bench: &Bench,
    adapters: &[Option<Adapter>],
    prompts: &[&[Vec<u32>]],
    style: &Style,
    id: u64,
    first: usize,
) -> Result<()> {
    let Bench { gpu, open, model } = bench;
    let tokenizer: &Tokenizer = &open.tokenizer();
    let mut writers = Vec::new();
    for (&prompts, adapter) in prompts.iter().zip(adapters) {
        // A prompt with less room is by itself.
        let (style, began) = (Style { max_new_tokens: style.room(model, &prompts[0]), ..style.clone() }, seconds());
        let writer = Writer::new(gpu, model, tokenizer, adapter.as_ref(), prompts, &open.eos, &style, first).await?;
        writers.push((writer, seconds() - began));
    }
    while writers.iter().any(|(writer, _)| !writer.done()) {
        for (side, (writer, spent)) in writers.iter_mut().enumerate().filter(|(_, (writer, _))| !writer.done()) {
            let began = seconds();
            let mut pieces: Vec<Option<String>> =
                (0..prompts[side].len()).map(|text| (!writer.ended(text)).then(String::new)).collect();
            writer
                .advance(&mut |text, piece| {
                    pieces[text].get_or_insert_default().push_str(piece);
                    Ok(!wire.inbox.cancelled())
                })
                .await?;
            *spent += seconds() - began;
            for (text, piece) in pieces.into_iter().enumerate() {
                let Some(piece) = piece else { continue };
                let (side, end) = ((first + text) * adapters.len() + side, writer.ended(text));
                wire.send(Event::Text { id, side, piece, end, tokens: writer.written[text], seconds: *spent });
            }
        }
    }
    Ok(())
}
