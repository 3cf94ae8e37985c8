//! Conversations of any content, by a template that reads all of a message.

#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use pairtune::data::{ChatTemplate, Part, read_pairs};

const TEMPLATE: &str = include_str!("messages.jinja");

thread_local! {
    static COMPILED: LazyCell<ChatTemplate> =
        LazyCell::new(|| ChatTemplate::new(TEMPLATE, "messages.jinja").expect("the template is sound"));
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((records, _)) = read_pairs(bytes, "pairs.jsonl") else { return };
    COMPILED.with(|template| {
        for record in &records {
            for part in [&record.prompt, &record.chosen, &record.rejected] {
                let Part::Messages(list) = part else { continue };
                let messages: Vec<_> = list.iter().collect();
                let kwargs = record.chat_template_kwargs.as_ref();
                drop(template.render(&messages, true, &[], record.tools.as_ref(), kwargs));
            }
        }
    });
});
