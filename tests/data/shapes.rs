//! Rows as others publish them: HH-RLHF, UltraFeedback, Orca, LLaMA-Factory's two, and the scores beside them.

use pairtune::data::{Columns, PairsFile, Part, Record, Shape};
use pairtune::platform::MemorySource;
use pollster::block_on;
use serde_json::{Value, json};

/// Reads rows as a file: its shape, and its pairs.
fn read(rows: &[Value]) -> (Option<Shape>, Vec<Record>) {
    let bytes: Vec<u8> = rows.iter().flat_map(|row| format!("{row}\n").into_bytes()).collect();
    let source = MemorySource { name: "pairs.jsonl".to_owned(), bytes };
    let file = block_on(PairsFile::open(&source)).expect("a file");
    let columns = Columns::guess(file.columns());
    let reader = block_on(file.read(&columns, u64::MAX, &mut |_, _| true)).expect("rows");
    let (records, errors) = reader.into_rows();
    assert!(errors.is_empty(), "{errors:?}");
    (file.shape(), records)
}

fn texts(record: &Record) -> [&str; 3] {
    [&record.prompt, &record.chosen, &record.rejected].map(|part| match part {
        Part::Text(text) => text.as_str(),
        Part::Messages(list) => panic!("text is expected, not {list:?}"),
    })
}

fn messages(part: &Part) -> Value {
    match part {
        Part::Messages(list) => list.iter().cloned().map(Value::Object).collect(),
        Part::Text(text) => panic!("messages are expected, not {text}"),
    }
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

#[test]
fn transcripts_of_hh_rlhf_are_split_as_trl_splits_them() {
    let begin = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Tea?\n\nAssistant:";
    let row = |chosen: &str, rejected: &str| {
        let [chosen, rejected] = [chosen, rejected].map(|answer| format!("{begin}{answer}"));
        json!({"chosen": chosen, "rejected": rejected})
    };
    let (shape, records) = read(&[row(" Of course.", " No."), row(" I can.", " I will not.")]);
    assert_eq!(shape, Some(Shape::HhRlhf), "it is known");
    assert!(shape.expect("a shape").what().contains("HH-RLHF"), "by its name");
    assert_eq!(texts(&records[0]), [begin, " Of course.", " No."]);
    // TRL gives the prompt all that both begin with, and so do we: the numbers are its own.
    assert_eq!(texts(&records[1]), [&format!("{begin} I"), " can.", " will not."]);
}

#[test]
fn ultrafeedback_has_its_prompt_from_the_messages_and_keeps_its_scores() {
    let (question, good, bad) = (message("user", " Tea? "), message("assistant", "Yes"), message("assistant", "No"));
    let row = json!({"prompt": "Tea?", "prompt_id": "a", "chosen": [question, good], "rejected": [question, bad],
        "messages": [question, good], "score_chosen": 8.5, "score_rejected": 3});
    let (shape, records) = read(&[row]);
    assert_eq!(shape, Some(Shape::UltraFeedback), "it is known");
    assert_eq!(messages(&records[0].prompt), json!([question]), "as it is in the messages");
    assert_eq!(messages(&records[0].chosen), json!([good]));
    assert_eq!(records[0].scores, Some([8.5, 3.0]));
    let kept = records[0].to_json();
    assert_eq!((&kept["score_chosen"], &kept["score_rejected"]), (&json!(8.5), &json!(3.0)), "with a run, too");
    let (_, again) = read(&[kept]);
    assert_eq!(again[0].scores, Some([8.5, 3.0]), "and are read again");
}

#[test]
fn orca_pairs_have_their_question_after_the_system_message() {
    let row = |key: &str, system: &str| json!({"system": system, key: "Tea?", "chosen": "Yes", "rejected": "No"});
    for key in ["question", "input"] {
        let (shape, records) = read(&[row(key, "Be kind."), row(key, "")]);
        assert_eq!(shape, Some(Shape::Orca), "{key}");
        assert_eq!(texts(&records[0]), ["Be kind.\nTea?", "Yes", "No"], "{key}");
        assert_eq!(texts(&records[1])[0], "Tea?", "without a system message");
    }
}

#[test]
fn the_alpaca_ranking_of_llama_factory_has_input_system_and_history() {
    let row = json!({"instruction": "Translate", "input": "Tee", "chosen": "Tea", "rejected": "Coffee"});
    let (shape, records) = read(std::slice::from_ref(&row));
    assert_eq!(shape, Some(Shape::Alpaca), "it is known");
    assert_eq!(texts(&records[0]), ["Translate\nTee", "Tea", "Coffee"]);
    let mut long = row.clone();
    long["system"] = json!("Be brief.");
    let (_, records) = read(&[long.clone()]);
    assert_eq!(texts(&records[0])[0], "Be brief.\nTranslate\nTee", "nothing is lost");
    long["history"] = json!([["Hi", "Hello"], ["broken"]]);
    let mut first = long.clone();
    first["history"] = json!([]);
    let (_, records) = read(&[long, first]);
    let (system, asked) = (message("system", "Be brief."), message("user", "Translate\nTee"));
    let turns = json!([system, message("user", "Hi"), message("assistant", "Hello"), asked]);
    assert_eq!(messages(&records[0].prompt), turns, "earlier turns make it a conversation");
    assert_eq!(messages(&records[0].chosen), json!([message("assistant", "Tea")]));
    assert_eq!(messages(&records[1].prompt), json!([system, asked]), "each row of the file");
}

#[test]
fn the_sharegpt_ranking_of_llama_factory_has_roles_and_tools() {
    let said = |from: &str, value: &str| json!({"from": from, "value": value});
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let row = json!({
        "conversations": [
            said("human", "Rain?"),
            said("function_call", "{\"name\": \"weather\", \"arguments\": {\"city\": \"Kiel\"}}"),
            said("observation", "wet"),
        ],
        "chosen": said("gpt", "Yes."), "rejected": said("gpt", "No idea."),
        "system": "Be dry.", "tools": tools.to_string(),
    });
    let mut plain = row.clone();
    plain["conversations"] = json!([said("human", "Hi"), said("function_call", "no JSON"), said("human", "Well?")]);
    (plain["system"], plain["tools"]) = (json!(""), json!(""));
    let (shape, records) = read(&[row, plain]);
    assert_eq!(shape, Some(Shape::ShareGpt), "it is known");
    let call = json!({"type": "function", "function": {"name": "weather", "arguments": {"city": "Kiel"}}});
    let wanted = json!([
        message("system", "Be dry."),
        message("user", "Rain?"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        message("tool", "wet"),
    ]);
    assert_eq!(messages(&records[0].prompt), wanted);
    assert_eq!(messages(&records[0].rejected), json!([message("assistant", "No idea.")]));
    assert_eq!(records[0].tools, Some(tools));
    assert_eq!(records[1].tools, None, "an empty text is no tools");
    let wanted = json!([message("user", "Hi"), message("assistant", "no JSON"), message("user", "Well?")]);
    assert_eq!(messages(&records[1].prompt), wanted, "what is no call is text");
}

#[test]
fn other_files_have_no_shape_and_scores_have_several_names() {
    let row = |names: [&str; 2], scores: [Value; 2]| {
        let [chosen, rejected] = scores;
        json!({"prompt": "a", "chosen": "b", "rejected": "c", names[0]: chosen, names[1]: rejected})
    };
    let rows = [
        row(["score_chosen", "score_rejected"], [json!("4.5"), json!(" 2 ")]),
        row(["chosen_score", "rejected_score"], [json!(1), json!(-1)]),
        row(["chosen-rating", "rejected-rating"], [json!(5.0), json!(null)]),
        row(["score_chosen", "score_rejected"], [json!("NaN"), json!(2)]),
    ];
    let (shape, records) = read(&rows);
    assert_eq!(shape, None, "TRL's own rows have no other name");
    let scores: Vec<_> = records.iter().map(|record| record.scores).collect();
    assert_eq!(scores, [Some([4.5, 2.0]), Some([1.0, -1.0]), None, None]);
}
