//! Searching the Hub for models that can be tuned, by its API.
//!
//! Source: `HfApi.list_models` of huggingface_hub, whose parameters and answers these are.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::place::BRANCH;
use super::requests::{get, get_unless_asked};
use crate::engine::model::open_model;
use crate::engine::protocol::{Event, HubEvent, HubModel, Problem};
use crate::engine::session::{Session, Wire};
use crate::error::{Error, Result};
use crate::model::{Architecture, WeightBytes};
use crate::platform::host::{self, Hub};
use crate::platform::{Purpose, is_hub_name};

/// Models of an answer, at most.
const MOST: usize = 20;
/// Seconds in which the configurations of an answer are read.
const MEASURE_SECONDS: f64 = 20.0;
/// Letters of a search, at most.
const LONGEST: usize = 200;

/// Sends and returns the models whose names have the words of `text`, the most downloaded first.
pub(super) async fn search(
    wire: &mut Wire,
    hub: &Hub,
    text: &str,
    most_parameters: Option<u64>,
    endpoint: &str,
) -> Result<Vec<HubModel>> {
    let url = address(text, most_parameters, endpoint);
    let told = get(wire, hub, &url, Purpose::ModelSearch).await?;
    let listed: Vec<Value> = serde_json::from_slice(&told).map_err(|e| {
        Error::input(format!("The server's answer is no list of models: {e}"), "Check the address of the server", url)
    })?;
    let models: Vec<HubModel> = listed.into_iter().filter_map(model_of).take(MOST).collect();
    wire.send(Event::Hub(HubEvent::Found { models: models.clone() }));
    Ok(models)
}

/// The address of a search.
fn address(text: &str, most_parameters: Option<u64>, endpoint: &str) -> String {
    let text: String = text.trim().chars().take(LONGEST).collect();
    let endpoint = endpoint.trim_end_matches('/');
    let mut url = format!(
        "{endpoint}/api/models?search={}&pipeline_tag=text-generation&filter=safetensors&sort=downloads&limit={MOST}",
        utf8_percent_encode(&text, NON_ALPHANUMERIC)
    );
    if let Some(most) = most_parameters {
        url.push_str(&format!("&num_parameters=max:{most}"));
    }
    for part in ["downloads", "gated", "safetensors", "tags"] {
        url.push_str(&format!("&expand={part}"));
    }
    url
}

/// A model in the server's answer.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    downloads: u64,
    /// False, or who decides: "auto" or "manual".
    #[serde(default)]
    gated: Value,
    #[serde(default)]
    tags: Vec<String>,
    safetensors: Option<Weights>,
}

/// The server's summary of the headers of a model's weights.
#[derive(Deserialize)]
struct Weights {
    /// Number of elements by type.
    parameters: BTreeMap<String, u64>,
}

/// Reads a model in the server's answer; none if its name is none.
fn model_of(listed: Value) -> Option<HubModel> {
    let listed: Listed = serde_json::from_value(listed).ok()?;
    let (parameters, weight_bytes) = listed.safetensors.and_then(|weights| weights.sizes()).unzip();
    is_hub_name(&listed.id).then(|| HubModel {
        repo: listed.id,
        parameters,
        weight_bytes,
        downloads: listed.downloads,
        licence: listed.tags.iter().find_map(|tag| tag.strip_prefix("license:")).map(str::to_owned),
        gated: !matches!(listed.gated, Value::Null | Value::Bool(false)),
    })
}

impl Weights {
    /// Number of elements, and of bytes.
    fn sizes(&self) -> Option<(u64, u64)> {
        let (mut elements, mut bytes) = (0_u64, 0_u64);
        for (dtype, n) in &self.parameters {
            elements = elements.checked_add(*n)?;
            bytes = bytes.checked_add(n.checked_mul(bytes_of(dtype))?)?;
        }
        Some((elements, bytes))
    }
}

/// Bytes of an element of this safetensors type.
fn bytes_of(dtype: &str) -> u64 {
    match dtype {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        _ => 1,
    }
}

impl Session {
    /// Reads the configuration of each model, and sends its needs; they stay unknown where it cannot be read. Ends as
    /// soon as the user asks for something else, or after a while; requests of the app's own are answered between two
    /// models.
    pub(super) async fn measure_models(&mut self, hub: &Hub, models: &[HubModel], endpoint: &str) {
        let (endpoint, until) = (endpoint.trim_end_matches('/'), host::seconds() + MEASURE_SECONDS);
        for model in models {
            let (Some(parameters), Some(stored)) = (model.parameters, model.weight_bytes) else { continue };
            if model.gated && hub.token.is_none() {
                continue;
            }
            while let Some(message) = self.wire.inbox.poll_quiet() {
                self.handle_aside(message).await;
            }
            let url = format!("{endpoint}/{}/resolve/{BRANCH}/config.json", model.repo);
            let left = until - host::seconds();
            let read = get_unless_asked(&mut self.wire, hub, &url, Purpose::ModelConfig, left).await;
            let Some(config) = read else { return };
            let Ok(config) = config else { continue };
            let needs = needs_of(&config, &url, parameters, stored).map_err(|e| Problem::from(&e));
            self.wire.send(Event::Hub(HubEvent::Measured { repo: model.repo.clone(), needs }));
        }
    }
}

/// Bytes of the smallest run with a model of so many parameters in so many bytes.
fn needs_of(config: &[u8], url: &str, parameters: u64, stored: u64) -> Result<u64> {
    let config = Architecture::from_bytes(config, url)?;
    Ok(open_model::least_bytes_of(&config, &WeightBytes::expected(&config, parameters, stored)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_search_is_an_address_of_the_api() {
        assert_eq!(
            address(" smol lm&2 ", Some(3_000_000_000), "https://hub.example/"),
            "https://hub.example/api/models?search=smol%20lm%262&pipeline_tag=text-generation&filter=safetensors\
             &sort=downloads&limit=20&num_parameters=max:3000000000\
             &expand=downloads&expand=gated&expand=safetensors&expand=tags"
        );
    }

    #[test]
    fn models_are_read_from_what_the_server_knows() {
        let whole = json!({"id": "org/m", "downloads": 7, "gated": "manual", "tags": ["license:mit", "en"],
            "safetensors": {"parameters": {"BF16": 100, "F32": 10}, "total": 110}});
        let model = model_of(whole).expect("a model");
        assert_eq!((model.parameters, model.weight_bytes), (Some(110), Some(240)), "sizes");
        assert_eq!((model.licence.as_deref(), model.gated, model.downloads), (Some("mit"), true, 7), "the rest");

        let bare = model_of(json!({"id": "org/m", "gated": false})).expect("a model");
        assert_eq!((bare.parameters, bare.weight_bytes, bare.licence, bare.gated), (None, None, None, false));
        for wrong in [json!({"id": "../m"}), json!({"name": "org/m"}), json!(3)] {
            assert_eq!(model_of(wrong.clone()), None, "{wrong}");
        }
        let endless = json!({"id": "org/m", "safetensors": {"parameters": {"F32": u64::MAX}}});
        assert_eq!(model_of(endless).expect("a model").parameters, None, "more than there can be");
    }
}
