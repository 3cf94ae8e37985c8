//! Text that a chat template marks as the assistant's, and the tokens that assistant_only_loss learns.

use pairtune::data::{Chat, ChatTemplate, Kind, Message, SftRules, Tokenizer, tokenize_sft};
use serde_json::{Value, json};

use super::kinds::samples;
use super::{check_message, read, tokenizer};

const TAGGED: &str = "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}\
    {%- generation -%} {{ m.content }}. {%- endgeneration -%}{% else %}{{ m.content }}{% endif %}|{% endfor %}";

fn message(role: &str, content: &str) -> Message {
    let value = json!({"role": role, "content": content});
    value.as_object().expect("an object").clone()
}

#[test]
fn blocks_are_marked_where_their_text_lies() {
    let template = ChatTemplate::new(TAGGED, "t").expect("it compiles");
    assert!(template.is_marked(), "it marks");
    // Text in a message that looks like a tag stays text.
    let list = [message("user", "{% generation %}é"), message("assistant", "日本"), message("assistant", "b")];
    let list: Vec<&Message> = list.iter().collect();
    for _ in 0..2 {
        let (text, spans) = template.render_marked(&list, false, &[], None, None).expect("it renders");
        assert_eq!(text, "user: {% generation %}é|assistant: 日本.|assistant: b.|");
        assert_eq!(spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(), ["日本.", "b."]);
        assert_eq!(text, template.render(&list, false, &[], None, None).expect("it renders"), "the same text");
    }
    let failing =
        ChatTemplate::new("{% generation %}a{% endgeneration %}{{ messages[5].x.y }}", "t").expect("a template");
    failing.render_marked(&[], false, &[], None, None).expect_err("it fails");
    failing.render_marked(&list, false, &[], None, None).expect_err("it fails again");
    let plain = ChatTemplate::new("{# {% generation #}a{% if true %}b{% endif %}", "t").expect("it compiles");
    assert!(!plain.is_marked(), "it marks nothing");
}

/// The Qwen 3 tokenizer with this template, or its own.
fn with(template: Option<&str>) -> Tokenizer {
    let chat = Chat { template: template.map(str::to_owned), ..Chat::default() };
    tokenizer("oracle2/sft_chat").with_chat(chat).expect("it compiles")
}

#[test]
fn templates_that_trl_knows_are_replaced_and_others_refused() {
    for name in ["qwen3", "llama3", "gemma3"] {
        let own = String::from_utf8(read("chat_templates", &format!("{name}.jinja"))).expect("UTF-8");
        let own = with(Some(&own));
        assert!(!own.chat_template().expect("it has one").is_marked(), "{name} marks nothing itself");
        let marking = own.for_assistant_loss().expect(name);
        assert!(marking.chat_template().expect("it has one").is_marked(), "{name} for training does");
        assert_eq!(own.fingerprint(), marking.fingerprint(), "the model's own is kept with a run");
    }
    let marked = with(None).for_assistant_loss().expect("its own marks");
    assert_eq!(marked.chat_template().expect("one").source(), with(None).chat_template().expect("one").source());
    let error = with(Some("{% for m in messages %}{{ m.content }}{% endfor %}")).for_assistant_loss().err();
    check_message(
        &error.expect("it marks nothing"),
        &["assistant_only_loss", "{% generation %}", "chat_template.jinja"],
    );
    let none = tokenizer("oracle2/kto").for_assistant_loss().err().expect("it has no template");
    check_message(&none, &["no chat template"]);
}

#[test]
fn a_template_that_leaves_out_the_end_of_the_turn_is_found() {
    assert!(with(None).learns_the_end(), "<|im_end|> is inside");
    let outside =
        "{% for m in messages %}{{ m.role }}{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>{% endfor %}";
    assert!(!with(Some(outside)).learns_the_end(), "it is outside");
    assert!(!with(Some("{{ messages[0].content }}")).learns_the_end(), "nothing is marked");
}

#[test]
fn rows_without_anything_of_the_assistants_are_an_error() {
    let rules = SftRules { completion_only_loss: None, assistant_only_loss: true, max_length: 64 };
    let refused = |row: Value| {
        let rows = samples(row.to_string().as_bytes(), Some(Kind::Completions));
        tokenize_sft(&rows, &with(None), &rules).expect_err("refused")
    };
    let asked = refused(json!({"messages": [message("user", "a")]}));
    check_message(&asked, &["nothing of the assistant's", "line 1", "{% generation %}"]);
    check_message(&refused(json!({"text": "a"})), &["is for conversations", "line 1"]);
}
