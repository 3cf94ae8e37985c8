//! The split into training and evaluation: rows of the same prompt, or of nearly the same, stay on one side.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Part, Record};
use super::sample::Sample;
use crate::error::{Error, Result};

/// Rule by which two prompts count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// Equal prompts only, as in versions before 0.2: their runs keep the split that they were made with.
    #[default]
    Equal,
    /// Also prompts that differ in case, spaces and punctuation, or in a few words.
    Similar,
}

/// Characters of a piece of text that is compared.
const PIECE: usize = 6;
/// Pieces that a prompt must have, beside those of templates, to be compared by them.
const MIN_PIECES: usize = 24;
/// Bins of the pieces' smallest hashes, and how many of them make a key by which prompts find each other.
const BINS: usize = 63;
const BAND: usize = 3;
/// Share of the bins that must be equal; it estimates how many of two prompts' pieces are in both.
const SIMILAR: f64 = 0.6;
/// A piece is a template's if one prompt in so many has it, and so many prompts at least.
const COMMON: usize = 8;
/// Counters of pieces: 4 MiB, however many prompts there are.
const COUNTERS: usize = 1 << 20;

/// A row with a prompt.
pub trait Prompted {
    /// The prompt; for a whole conversation all before its last answer, for a whole text all of it.
    fn prompted(&self) -> Cow<'_, Part>;
}

impl Prompted for Record {
    fn prompted(&self) -> Cow<'_, Part> {
        Cow::Borrowed(&self.prompt)
    }
}

impl Prompted for Sample {
    fn prompted(&self) -> Cow<'_, Part> {
        match (&self.prompt, &self.completion) {
            (Some(prompt), _) => Cow::Borrowed(prompt),
            (None, Some(Part::Messages(list))) if list.len() > 1 => {
                Cow::Owned(Part::Messages(list[..list.len() - 1].to_vec()))
            }
            (None, Some(completion)) => Cow::Borrowed(completion),
            (None, None) => Cow::Owned(Part::Text(String::new())),
        }
    }
}

/// Splits rows into training and evaluation, both in file order, so that no prompt is in both.
///
/// About `eval_split` (0 or more, below 1) of the records are for evaluation, chosen by `seed`; at least one prompt if
/// it is above 0 and there are two, and never all.
pub fn split_by_prompt<R: Prompted>(
    records: Vec<R>,
    by: SplitBy,
    eval_split: f64,
    seed: u64,
) -> Result<(Vec<R>, Vec<R>)> {
    let for_eval = held_out(&prompt_groups(&records, by), eval_split, seed)?;
    let (mut train, mut eval) = (Vec::new(), Vec::new());
    for (i, record) in records.into_iter().enumerate() {
        if for_eval.contains(&i) { eval.push(record) } else { train.push(record) }
    }
    Ok((train, eval))
}

/// The places that [`split_by_prompt`] takes for evaluation, of records whose prompts are in these groups.
pub fn held_out(group_of: &[usize], eval_split: f64, seed: u64) -> Result<BTreeSet<usize>> {
    if !(0.0..1.0).contains(&eval_split) {
        return Err(Error::input(
            format!("eval_split is {eval_split}"),
            "Give a share from 0 up to, but not including, 1",
            "eval_split",
        ));
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut places: HashMap<usize, usize> = HashMap::new();
    for (i, group) in group_of.iter().enumerate() {
        let place = *places.entry(*group).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(members) => members.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let wanted = (group_of.len() as f64 * eval_split).round().max(if eval_split > 0.0 { 1.0 } else { 0.0 }) as usize;
    let mut for_eval: BTreeSet<usize> = BTreeSet::new();
    // The first group always stays in training.
    for members in groups.iter().skip(1) {
        if for_eval.len() >= wanted {
            break;
        }
        for_eval.extend(members);
    }
    Ok(for_eval)
}

/// A number for each record, which those with the same prompt share. It takes time in proportion to the text.
pub fn prompt_groups<R: Prompted>(records: &[R], by: SplitBy) -> Vec<usize> {
    let mut texts: Vec<String> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let text_of: Vec<usize> = records
        .iter()
        .map(|record| {
            let key = match by {
                SplitBy::Equal => exact(&record.prompted()),
                SplitBy::Similar => folded(&record.prompted()),
            };
            *known.entry(key).or_insert_with_key(|key| {
                texts.push(key.clone());
                texts.len() - 1
            })
        })
        .collect();
    drop(known);
    match by {
        SplitBy::Equal => text_of,
        SplitBy::Similar => {
            let groups = similar(&texts);
            text_of.into_iter().map(|text| groups[text]).collect()
        }
    }
}

fn exact(prompt: &Part) -> String {
    match prompt {
        Part::Text(text) => text.clone(),
        Part::Messages(list) => serde_json::to_string(list).unwrap_or_default(),
    }
}

/// A prompt without case, and with one space for all that is no letter and no digit; a conversation without its system
/// message, which many share, and a transcript without the words with which both answers begin.
fn folded(prompt: &Part) -> String {
    let text = match prompt {
        Part::Text(text) => match text.rfind("\n\nAssistant:") {
            Some(end) if text.contains("\n\nHuman:") => text.get(..end).unwrap_or(text).to_owned(),
            _ => text.clone(),
        },
        Part::Messages(list) => {
            let asked = list.iter().filter(|message| message.get("role").and_then(Value::as_str) != Some("system"));
            Part::Messages(asked.cloned().collect()).text()
        }
    };
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            folded.push(c);
        } else if !folded.is_empty() && !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    folded.truncate(folded.trim_end().len());
    // Signs alone, or nothing that was asked: only what is equal is the same.
    if folded.is_empty() { exact(prompt) } else { folded }
}

/// A number for each text, which those share that have most of their pieces in common. Each text is compared with the
/// first of a group alone, so that groups do not grow from link to link.
fn similar(texts: &[String]) -> Vec<usize> {
    let mut counts = vec![0_u32; COUNTERS];
    for text in texts {
        pieces(text, |hash| {
            let count = &mut counts[hash as usize % COUNTERS];
            *count = count.saturating_add(1);
        });
    }
    // Pieces that many prompts share come from a template, and do not show that prompts are alike.
    let common = COMMON.max(texts.len() / COMMON);
    let mut firsts: Vec<Option<[u32; BINS]>> = Vec::new();
    let mut found_by: HashMap<(usize, [u32; BAND]), usize> = HashMap::new();
    let mut groups = Vec::with_capacity(texts.len());
    for text in texts {
        let signature = signature(text, |hash| counts[hash as usize % COUNTERS] as usize <= common);
        let keys: Vec<(usize, [u32; BAND])> = signature
            .iter()
            .flat_map(|signature| signature.chunks(BAND))
            .enumerate()
            .filter_map(|(band, bins)| Some((band, bins.try_into().ok()?)))
            .collect();
        let like = |group: &usize| match (&signature, &firsts[*group]) {
            (Some(a), Some(b)) => a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 >= SIMILAR * BINS as f64,
            _ => false,
        };
        let group = keys.iter().filter_map(|key| found_by.get(key).copied()).filter(like).min();
        groups.push(group.unwrap_or_else(|| {
            let group = firsts.len();
            firsts.push(signature);
            for key in keys {
                found_by.entry(key).or_insert(group);
            }
            group
        }));
    }
    groups
}

/// The smallest hash of the pieces in each bin; none if too few of them count. An empty bin takes what the next has.
fn signature(text: &str, counts: impl Fn(u64) -> bool) -> Option<[u32; BINS]> {
    let mut bins = [u32::MAX; BINS];
    let mut n = 0;
    pieces(text, |hash| {
        if counts(hash) {
            n += 1;
            let bin = &mut bins[(hash >> 48) as usize % BINS];
            *bin = (*bin).min((hash >> 8) as u32);
        }
    });
    if n < MIN_PIECES {
        return None;
    }
    let full = bins;
    for (i, bin) in bins.iter_mut().enumerate() {
        let next = (0..BINS).find(|step| full[(i + step) % BINS] != u32::MAX)?;
        // Two texts that borrow from as far away are alike, others are not.
        *bin = full[(i + next) % BINS].wrapping_add((next as u32).wrapping_mul(0x9e37_79b9));
    }
    Some(bins)
}

/// Calls with a hash of each run of characters.
fn pieces(text: &str, mut each: impl FnMut(u64)) {
    let mut last = [0_u32; PIECE];
    for (i, c) in text.chars().enumerate() {
        last.rotate_left(1);
        last[PIECE - 1] = c.into();
        if i + 1 >= PIECE {
            each(mixed(
                last.iter().fold(0, |sum: u64, &c| sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(c))),
            ));
        }
    }
}

/// The finaliser of SplitMix64.
fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
