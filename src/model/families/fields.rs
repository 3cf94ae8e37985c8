//! The fields of a config: JSON read with checks, and errors that name the field.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Sizes are below this, so that twice a size is still a valid index of a buffer, and a product of two sizes is in
/// range.
pub(in crate::model) const SIZE_LIMIT: u64 = 1 << 31;

/// The keys of one JSON object, read with checks.
pub struct Fields<'a> {
    pub(in crate::model) map: &'a Map<String, Value>,
    pub(in crate::model) file: &'a str,
    /// The object's own key with a dot, empty for the whole file.
    pub(in crate::model) within: &'a str,
}

impl<'a> Fields<'a> {
    /// Parses the object in a file.
    pub(in crate::model) fn parse(bytes: &[u8], file: &str) -> Result<Map<String, Value>> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::input(format!("This is not a JSON object: {e}"), "Download the model's config.json again", file)
        })
    }

    /// A value that is present and not null.
    pub(in crate::model) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// True if the key is present, even with null.
    pub(in crate::model) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(in crate::model) fn size(&self, key: &str) -> Result<usize> {
        let Some(value) = self.get(key) else { return Err(self.missing(key)) };
        match value.as_u64() {
            Some(n) if (1..SIZE_LIMIT).contains(&n) => Ok(n as usize),
            _ => Err(self.wrong(key, format!("{value} is not a positive whole number below 2^31"))),
        }
    }

    pub(in crate::model) fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    /// A size; `missing` if the key is not there, `null` if it is null.
    pub(in crate::model) fn size_or_null(&self, key: &str, missing: usize, null: usize) -> Result<usize> {
        self.size_or(key, if self.has(key) { null } else { missing })
    }

    /// A size that may be absent.
    pub(in crate::model) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        self.get(key).map(|_| self.size(key)).transpose()
    }

    pub(in crate::model) fn multiple_of_4(&self, key: &str, size: usize) -> Result<usize> {
        match size {
            0 => Err(self.wrong(key, "it is zero".to_owned())),
            _ if size.is_multiple_of(4) => Ok(size),
            _ => Err(self.wrong(key, format!("{size} is not a multiple of 4, which the kernels need"))),
        }
    }

    pub(in crate::model) fn positive(&self, key: &str) -> Result<f64> {
        let Some(value) = self.get(key) else { return Err(self.missing(key)) };
        match value.as_f64() {
            Some(x) if x > 0.0 && x <= f64::from(f32::MAX) => Ok(x),
            _ => Err(self.wrong(key, format!("{value} is not a positive number"))),
        }
    }

    pub(in crate::model) fn positive_or(&self, key: &str, default: f64) -> Result<f64> {
        if self.get(key).is_some() { self.positive(key) } else { Ok(default) }
    }

    /// A positive number; `missing` if the key is not there, none if it is null.
    pub(in crate::model) fn positive_or_null(&self, key: &str, missing: Option<f64>) -> Result<Option<f64>> {
        match self.get(key) {
            Some(_) => self.positive(key).map(Some),
            None if self.has(key) => Ok(None),
            None => Ok(missing),
        }
    }

    /// A flag; false, as in transformers, if the key is missing.
    pub(in crate::model) fn flag(&self, key: &str) -> Result<bool> {
        self.flag_or(key, false)
    }

    pub(in crate::model) fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(key, format!("{other} is neither true nor false"))),
        }
    }

    /// A list of as many entries as there are layers.
    pub(in crate::model) fn by_layer(&self, key: &str, layers: usize) -> Result<Option<&'a Vec<Value>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(list)) if list.len() == layers => Ok(Some(list)),
            Some(Value::Array(list)) => {
                Err(self.wrong(key, format!("it has {} entries for {layers} layers", list.len())))
            }
            Some(other) => Err(self.wrong(key, format!("{other} is not a list"))),
        }
    }

    pub(in crate::model) fn token(&self, key: &str) -> Result<Option<u32>> {
        // Some configs write -1 for no token.
        match self.get(key).filter(|value| value.as_i64() != Some(-1)) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|id| u32::try_from(id).ok()) {
                Some(id) => Ok(Some(id)),
                None => Err(self.wrong(key, format!("{value} is not a token id"))),
            },
        }
    }

    pub(in crate::model) fn tokens(&self, key: &str) -> Result<Vec<u32>> {
        let Some(Value::Array(list)) = self.get(key) else { return Ok(self.token(key)?.into_iter().collect()) };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        list.iter().map(|v| id(v).ok_or_else(|| self.wrong(key, format!("{v} is not a token id")))).collect()
    }

    /// A list of positive numbers.
    pub(in crate::model) fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        let Some(value) = self.get(key) else { return Err(self.missing(key)) };
        let number = |value: &Value| value.as_f64().filter(|x| *x > 0.0 && *x <= f64::from(f32::MAX));
        let numbers: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(number).collect());
        numbers.ok_or_else(|| self.wrong(key, "it is no list of positive numbers".to_owned()))
    }

    /// Refuses a value that is not `allowed`. A missing value is returned as "", and stands for the family's default.
    pub(in crate::model) fn only(&self, key: &str, allowed: &[&str]) -> Result<&'a str> {
        let wanted = allowed.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
        match self.get(key).map(|value| (value, value.as_str())) {
            None => Ok(""),
            Some((_, Some(name))) if allowed.contains(&name) => Ok(name),
            Some((value, _)) => Err(Error::input(
                format!("The value {value} of {}{key} is not supported", self.within),
                format!("Use a model with {key} {wanted}"),
                self.at(key),
            )),
        }
    }

    /// The object under a key, if there is one.
    pub(in crate::model) fn object(&self, key: &'a str) -> Result<Option<&'a Map<String, Value>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.wrong(key, format!("{other} is not an object"))),
        }
    }

    pub(in crate::model) fn missing(&self, key: &str) -> Error {
        Error::input(
            format!("The field {}{key} is missing", self.within),
            "Use the config.json that came with the model",
            self.at(key),
        )
    }

    pub(in crate::model) fn wrong(&self, key: &str, what: String) -> Error {
        Error::input(
            format!("The value of {}{key} cannot be used: {what}", self.within),
            "Use a supported model, with the config.json that came with it",
            self.at(key),
        )
    }

    pub(in crate::model) fn at(&self, key: &str) -> String {
        format!("{}, field {}{key}", self.file, self.within)
    }
}
