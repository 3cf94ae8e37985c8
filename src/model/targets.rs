//! Linear layers that an adapter targets, by PEFT's rules, with their ranks and scales.

use std::collections::BTreeSet;

use super::architecture::{Architecture, LinearSpec, Module};
use crate::error::{Error, Result};
use crate::files::{AdapterConfig, LORA_A, LORA_B, LORA_MAGNITUDE, Matcher, PEFT_PREFIX, Scales};

/// A linear layer that has an adapter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Index of the decoder layer.
    pub layer: usize,
    /// Linear layer within the decoder layer.
    pub module: Module,
    /// Rank of its matrices.
    pub rank: usize,
    /// Factor of `B A x`.
    pub scale: f64,
}

/// One tensor of an adapter for a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// (r, in)
    A,
    /// (out, r)
    B,
    /// (out), the length of each row of the adapted weight; only DoRA has it.
    Magnitude,
}

impl Part {
    /// Tensors of an adapter for each linear layer that it targets.
    pub fn of(use_dora: bool) -> &'static [Self] {
        if use_dora { &[Self::A, Self::B, Self::Magnitude] } else { &[Self::A, Self::B] }
    }
}

impl Target {
    /// The linear layer.
    pub fn linear(self, model: &Architecture) -> &LinearSpec {
        model.linear(self.layer, self.module)
    }

    /// PEFT's key of one of its tensors.
    pub fn key(self, model: &Architecture, part: Part) -> String {
        let part = match part {
            Part::A => LORA_A,
            Part::B => LORA_B,
            Part::Magnitude => LORA_MAGNITUDE,
        };
        format!("{PEFT_PREFIX}{}{part}", model.path(self.layer, self.module))
    }

    /// Shape of one of its tensors in PEFT's form.
    pub fn shape(self, model: &Architecture, part: Part) -> Vec<usize> {
        let linear = self.linear(model);
        match part {
            Part::A => vec![self.rank, linear.input],
            Part::B => vec![linear.output, self.rank],
            Part::Magnitude => vec![linear.output],
        }
    }
}

/// The linear layers that an adapter targets, in the order of the forward pass.
///
/// `target_modules` is a list of whole paths or their ends after a dot, a pattern for whole paths, or all of them.
/// `exclude_modules` leaves some out in the same way, and `layers_to_transform` leaves out all layers but some. An
/// error names an entry that matches nothing.
pub fn match_targets(config: &AdapterConfig, model: &Architecture) -> Result<Vec<Target>> {
    let wanted = Matcher::new(&config.target_modules, "target_modules")?;
    let left_out = config.exclude_modules.as_ref().map(|out| Matcher::new(out, "exclude_modules")).transpose()?;
    let scales = Scales::new(config)?;
    let layers = 0..model.num_hidden_layers;
    let paths = layers.clone().flat_map(|layer| model.modules(layer).map(move |module| model.path(layer, module)));
    if let Some(name) = wanted.unknown(paths) {
        return Err(Error::input(
            format!("target_modules names \"{name}\", which is no linear layer of this model that can be adapted"),
            linear_layers(model),
            "target_modules",
        ));
    }
    let mut targets = Vec::new();
    for layer in layers {
        if config.layers_to_transform.as_ref().is_some_and(|layers| !layers.contains(&layer)) {
            continue;
        }
        for module in model.modules(layer) {
            let path = model.path(layer, module);
            if wanted.hits(&path)? && !left_out.as_ref().map_or(Ok(false), |out| out.hits(&path))? {
                let (rank, scale) = scales.of(&path)?;
                targets.push(Target { layer, module, rank, scale });
            }
        }
    }
    if targets.is_empty() {
        return Err(Error::input(
            format!("target_modules {} leaves no linear layer of this model with an adapter", config.target_modules),
            linear_layers(model),
            "target_modules",
        ));
    }
    Ok(targets)
}

/// Advice for errors: the names of this model's linear layers.
fn linear_layers(model: &Architecture) -> String {
    let linears = model.kinds.iter().flat_map(|kind| kind.linears.iter().flatten());
    let mut names: Vec<&str> = linears.map(|linear| linear.path.rsplit('.').next().unwrap_or(linear.path)).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    format!("Use some of {}, or \"all-linear\"", names.join(", "))
}
