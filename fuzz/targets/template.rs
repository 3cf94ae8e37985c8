//! A chat template, on a conversation that has everything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune::data::ChatTemplate;
use pairtune_fuzz::conversation;
use serde_json::json;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, "chat_template.jinja") else { return };
    let (messages, tokens) = (conversation(), [("bos_token".to_owned(), "<s>".to_owned())]);
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let kwargs = json!({"enable_thinking": false});
    drop(template.render(&messages.iter().collect::<Vec<_>>(), true, &tokens, Some(&tools), kwargs.as_object()));
});
