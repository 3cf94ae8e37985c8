//! One flat object of settings, read with checks.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::common::Kind;
use crate::data::Sampling;
use crate::error::{Error, Result};
use crate::files::TargetModules;
use crate::train::loss::{self, LossType};

/// A type that a setting may have.
pub(in crate::train) trait Taken: DeserializeOwned {
    /// Kind of the type's values.
    const KIND: Kind;
}

impl Taken for f64 {
    const KIND: Kind = Kind::Number;
}

impl Taken for usize {
    const KIND: Kind = Kind::Whole;
}

impl Taken for bool {
    const KIND: Kind = Kind::Flag;
}

impl Taken for String {
    const KIND: Kind = Kind::Word;
}

impl Taken for Vec<f64> {
    const KIND: Kind = Kind::Numbers;
}

impl<T: Taken> Taken for Option<T> {
    const KIND: Kind = T::KIND;
}

/// One flat object; `at` says in errors where it came from.
pub(in crate::train) struct Fields<'a> {
    pub(in crate::train) map: &'a Map<String, Value>,
    pub(in crate::train) at: &'a str,
}

impl Fields<'_> {
    /// A value, or the default where it is missing or null.
    pub(in crate::train) fn get<T: DeserializeOwned>(&self, key: &str, wanted: &str, default: T) -> Result<T> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| self.wrong(key, value, wanted)),
        }
    }

    /// Like `get`, for a type that states in errors what is wanted.
    pub(in crate::train) fn take<T: Taken>(&self, key: &str, default: T) -> Result<T> {
        self.get(key, T::KIND.wanted(), default)
    }

    /// Reads the `loss_type` of a method with one loss at a time; a list of one is taken too.
    pub(in crate::train) fn one_loss<T: DeserializeOwned>(&self, default: T, wanted: &str) -> Result<T> {
        let value = match self.map.get("loss_type") {
            None | Some(Value::Null) => return Ok(default),
            Some(Value::Array(list)) if list.len() == 1 => &list[0],
            Some(value) => value,
        };
        // The older name of `nll`.
        let value = if value == "chunked_nll" { Value::from("nll") } else { value.clone() };
        serde_json::from_value(value.clone()).map_err(|_| self.wrong("loss_type", &value, &format!("one of {wanted}")))
    }

    /// Reads DPO's `loss_type`: a name, or a list of names.
    pub(in crate::train) fn loss_types(&self, default: Vec<LossType>) -> Result<Vec<LossType>> {
        let wanted = format!("one of {}, or a list of them", loss::names());
        match self.map.get("loss_type") {
            Some(value @ Value::String(_)) => Ok(vec![self.get("loss_type", &wanted, LossType::Sigmoid)?])
                .map_err(|_: Error| self.wrong("loss_type", value, &wanted)),
            _ => self.get("loss_type", &wanted, default),
        }
    }

    pub(in crate::train) fn sampling(&self, default: Sampling) -> Result<Sampling> {
        match self.map.get("train_sampling_strategy") {
            None | Some(Value::Null) => Ok(default),
            Some(Value::String(name)) if name == "random" => Ok(Sampling::Random),
            Some(Value::String(name)) if name == "sequential" => Ok(Sampling::Sequential),
            Some(value) => Err(self.wrong("train_sampling_strategy", value, "random or sequential")),
        }
    }

    pub(in crate::train) fn targets(&self, default: TargetModules) -> Result<TargetModules> {
        let wanted = "\"all-linear\", a module name, a regular expression, or a list of module names";
        let Some(value) = self.map.get("target_modules").filter(|value| !value.is_null()) else { return Ok(default) };
        match TargetModules::from_json(value) {
            // A lone name is a list of one: as a pattern it would have to be a whole path.
            Some(TargetModules::Pattern(name)) if is_name(&name) => Ok(TargetModules::Names(vec![name])),
            Some(targets) => Ok(targets),
            None => Err(self.wrong("target_modules", value, wanted)),
        }
    }

    fn wrong(&self, key: &str, value: &Value, wanted: &str) -> Error {
        let at = format!("{}, field {key}", self.at);
        Error::input(format!("{key} is {value}"), format!("Give {wanted}"), at).about_setting(key)
    }
}

/// True for a module's name or path: of a pattern's signs it may have only the dot.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
}
