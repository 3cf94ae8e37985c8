//! PEFT's rules for naming modules: lists of endings, patterns, and ranks and scales of some modules.

use std::collections::BTreeSet;

use fancy_regex::{Regex, RegexBuilder};

use super::adapter::{AdapterConfig, TargetModules};
use crate::error::{Error, Result};

/// Matches the modules that a list or a pattern names.
pub struct Matcher<'a> {
    key: &'static str,
    kind: Kind<'a>,
}

enum Kind<'a> {
    All,
    Names(BTreeSet<&'a str>),
    Pattern(Regex),
}

impl<'a> Matcher<'a> {
    /// Prepares the matcher of the setting `key`; an error if its pattern is not a regular expression.
    pub fn new(targets: &'a TargetModules, key: &'static str) -> Result<Self> {
        let kind = match targets {
            TargetModules::AllLinear => Kind::All,
            // Each name once: a file may repeat one any number of times.
            TargetModules::Names(names) => Kind::Names(names.iter().map(String::as_str).collect()),
            TargetModules::Pattern(pattern) => Kind::Pattern(compile(&format!("^(?:{pattern})$"), pattern, key)?),
        };
        Ok(Self { key, kind })
    }

    /// True if it names the module at this path; an error if a pattern takes too long.
    pub fn hits(&self, path: &str) -> Result<bool> {
        Ok(match &self.kind {
            Kind::All => true,
            Kind::Names(names) => ends(path).any(|end| names.contains(end)),
            Kind::Pattern(pattern) => is_match(pattern, path, self.key)?,
        })
    }

    /// The first name that is the end of none of these paths.
    pub fn unknown(&self, paths: impl Iterator<Item = String>) -> Option<&'a str> {
        let Kind::Names(names) = &self.kind else { return None };
        let mut unknown = names.clone();
        for path in paths {
            ends(&path).for_each(|end| {
                unknown.remove(end);
            });
            if unknown.is_empty() {
                break;
            }
        }
        unknown.first().copied()
    }
}

/// A path and its ends after a dot.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(path).chain(path.match_indices('.').map(|(dot, _)| &path[dot + 1..]))
}

/// Rank and scale of each module: those of the settings, unless a pattern says otherwise.
pub struct Scales<'a> {
    config: &'a AdapterConfig,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

impl<'a> Scales<'a> {
    /// Reads the ranks and scales of an adapter; an error if a pattern is not a regular expression.
    pub fn new(config: &'a AdapterConfig) -> Result<Self> {
        let ranks = patterns(&config.rank_pattern, "rank_pattern")?;
        Ok(Self { config, ranks, alphas: patterns(&config.alpha_pattern, "alpha_pattern")? })
    }

    /// Rank and scale of the module at this path; of several patterns that match the first counts.
    pub fn of(&self, path: &str) -> Result<(usize, f64)> {
        let rank = first_hit(&self.ranks, path, "rank_pattern")?.unwrap_or(self.config.r);
        let alpha = first_hit(&self.alphas, path, "alpha_pattern")?.unwrap_or(self.config.lora_alpha);
        Ok((rank, self.config.scale_of(rank, alpha)))
    }
}

/// Patterns for the ends of paths, each with its value.
fn patterns<T: Copy>(map: &[(String, T)], key: &str) -> Result<Vec<(Regex, T)>> {
    let entry =
        |(pattern, value): &(String, T)| Ok((compile(&format!(r"^(?:.*\.)?(?:{pattern})$"), pattern, key)?, *value));
    map.iter().map(entry).collect()
}

fn first_hit<T: Copy>(patterns: &[(Regex, T)], path: &str, key: &str) -> Result<Option<T>> {
    for (pattern, value) in patterns {
        if is_match(pattern, path, key)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// Steps that a pattern may take at one path: a bad one would never end.
const MAX_STEPS: usize = 100_000;

fn compile(pattern: &str, shown: &str, key: &str) -> Result<Regex> {
    let regex = RegexBuilder::new(pattern).backtrack_limit(MAX_STEPS).build();
    regex.map_err(|e| {
        Error::input(
            format!("The pattern \"{shown}\" of {key} is no regular expression: {e}"),
            "Write it as Python's re understands it, or name modules in a list",
            key,
        )
    })
}

fn is_match(pattern: &Regex, path: &str, key: &str) -> Result<bool> {
    pattern.is_match(path).map_err(|e| {
        let what = format!("A pattern of {key} takes too long at {path}: {e}");
        Error::input(what, "Use a simpler pattern, or name modules in a list", key)
    })
}
