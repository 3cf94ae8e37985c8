//! Kinds of a file's rows and the methods that they serve, rows of every kind, and rows that cannot be used.

use pairtune::data::{
    Fields, Kind, LineError, Method, PairsFile, Sample, SampleReader, SplitBy, first_columns, split_by_prompt,
};
use pairtune::platform::MemorySource;
use pollster::block_on;
use serde_json::{Value, json};

use super::{check_message, read};

/// The rows of a text, as the kind that its columns say or that is asked for.
pub(crate) fn samples(bytes: &[u8], kind: Option<Kind>) -> Vec<Sample> {
    let (samples, errors) = all_samples("x.jsonl", bytes, kind);
    assert!(errors.is_empty(), "{errors:?}");
    samples
}

fn all_samples(name: &str, bytes: &[u8], kind: Option<Kind>) -> (Vec<Sample>, Vec<LineError>) {
    let fields = Fields::guess(&first_columns(name, bytes));
    let kind = kind.or(fields.kind()).expect("a kind");
    let mut reader = SampleReader::new(name, kind, &fields);
    reader.push(bytes).expect("text");
    reader.end().expect("an end");
    reader.into_rows()
}

#[test]
fn each_column_tells_what_a_file_is_and_what_it_serves() {
    let strings = |columns: &[&str]| columns.iter().map(|&column| column.to_owned()).collect::<Vec<String>>();
    for (columns, kind) in [
        (&["prompt", "chosen", "rejected", "margin"][..], Some(Kind::Pairs)),
        (&["question", "output", "rejected"], Some(Kind::Pairs)),
        (&["prompt", "completion"], Some(Kind::Completions)),
        (&["prompt", "prompt_id", "messages"], Some(Kind::Completions)),
        (&["conversations", "id"], Some(Kind::Completions)),
        (&["instruction", "input", "output"], Some(Kind::Completions)),
        (&["text"], Some(Kind::Completions)),
        (&["text", "label"], Some(Kind::Completions)),
        (&["prompt", "completion", "label"], Some(Kind::Labelled)),
        (&["messages", "label"], Some(Kind::Labelled)),
        (&["prompt"], Some(Kind::Prompts)),
        (&["question", "level"], Some(Kind::Prompts)),
        (&["a", "b"], None),
    ] {
        assert_eq!(Kind::of(&strings(columns)), kind, "{columns:?}");
    }
    let check = |columns: &[&str], method: Method| Kind::for_method(&strings(columns), method, "rows.jsonl");
    let thumbs = ["prompt", "completion", "label"];
    let error = check(&thumbs, Method::Dpo).expect_err("no pairs");
    let words = ["has prompt, completion and label: thumbs", "--method kto", "takes preference pairs", "\"rejected\""];
    check_message(&error, &words);
    check_message(&error, &["rows.jsonl"]);
    let error = check(&["prompt", "level"], Method::Sft).expect_err("no answers");
    check_message(&error, &["has prompt: prompts", "grpo, rloo or ppo", "examples or thumbs", "\"completion\""]);
    let error = check(&["text"], Method::Grpo).expect_err("no prompts");
    check_message(&error, &["has text: examples, for --method sft;", "prompts"]);
    for (columns, method, kind) in [
        (&thumbs[..], Method::Sft, Kind::Labelled),
        (&thumbs, Method::Ppo, Kind::Labelled),
        (&["chosen", "rejected"], Method::Kto, Kind::Pairs),
        (&["messages"], Method::Rloo, Kind::Completions),
    ] {
        assert_eq!(check(columns, method).expect("it serves"), Some(kind), "{columns:?}");
    }
    assert_eq!(check(&["a"], Method::Dpo).expect("nothing is known"), None, "the rows will tell");
    for method in Method::ALL {
        assert_eq!(method.name().parse(), Ok(method), "its name");
        assert!(method.kind().methods().contains(&method), "{method} takes what it is made for");
    }
    check_message(&pairtune::Error::input("dpi".parse::<Method>().expect_err("none"), "", ""), &["dpi", "or ppo"]);
}

#[test]
fn rows_of_every_kind_are_read_as_others_name_them() {
    let one = |row: Value, kind: Kind| {
        let read = samples(row.to_string().as_bytes(), Some(kind));
        let [sample] = &read[..] else { panic!("one row: {read:?}") };
        sample.clone()
    };
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let (ask, tell) = (message("user", "Tea?"), message("assistant", "Yes."));

    let shared = one(
        json!({"conversations": [{"from": "human", "value": "Tea?"}, {"from": "gpt", "value": "Yes."}],
        "tools": "[{\"name\": \"a\"}]", "chat_template_kwargs": {"x": 1}}),
        Kind::Completions,
    );
    assert_eq!(
        shared.to_json(),
        json!({"messages": [ask, tell], "tools": [{"name": "a"}], "chat_template_kwargs": {"x": 1}})
    );
    let alpaca = one(json!({"instruction": "Sum", "input": "1 2", "output": "3"}), Kind::Completions);
    assert_eq!(alpaca.to_json(), json!({"prompt": "Sum\n1 2", "completion": "3"}));
    assert_eq!(one(json!({"text": "All."}), Kind::Completions).to_json(), json!({"text": "All."}));
    let system = one(json!({"system": "Be kind.", "question": "Why?", "answer": "So."}), Kind::Completions);
    assert_eq!(system.to_json(), json!({"prompt": "Be kind.\nWhy?", "completion": "So."}));

    for (label, is_good) in [(json!(true), true), (json!(0), false), (json!("True"), true), (json!(" 0"), false)] {
        let thumb = one(json!({"prompt": "a", "completion": "b", "label": label}), Kind::Labelled);
        assert_eq!(thumb.label, Some(is_good), "{label}");
    }
    let thumb = one(json!({"messages": [ask, tell], "label": false}), Kind::Labelled);
    assert_eq!(thumb.to_json(), json!({"prompt": [ask], "completion": [tell], "label": false}));

    let prompt = one(json!({"prompt": "2+2?", "answer": "4", "level": 1}), Kind::Prompts);
    assert_eq!(prompt.to_json(), json!({"answer": "4", "level": 1, "prompt": "2+2?"}), "with its other columns");
    let prompt = one(json!({"question": "2+2?", "answer": "4", "input": null}), Kind::Prompts);
    assert_eq!((prompt.to_json(), prompt.columns.len()), (json!({"answer": "4", "prompt": "2+2?"}), 1), "renamed");
    let prompt = one(json!({"messages": [ask, tell], "id": 7}), Kind::Prompts);
    assert_eq!(prompt.to_json(), json!({"prompt": [ask], "id": 7}), "up to the answer");

    let table = b"prompt,completion,label\na,b,true\nc,d,0\n";
    let (rows, errors) = all_samples("x.csv", table, None);
    assert_eq!(rows.iter().map(|row| row.label).collect::<Vec<_>>(), [Some(true), Some(false)], "{errors:?}");
    let fields = "prompt=frage,completion=antwort,label=gut";
    assert_eq!(fields.parse::<Fields>().expect("columns").to_string(), fields);
    for wrong in ["", "label=a", "completion=b", "rejected=c"] {
        wrong.parse::<Fields>().expect_err(wrong);
    }
}

#[test]
fn rows_that_cannot_be_used_are_reported_and_the_rest_is_read() {
    let rows = [
        (json!({"prompt": "a", "completion": "b", "label": true}), ""),
        (json!({"prompt": "a", "completion": "b", "label": 2}), "\"label\" is 2"),
        (json!({"prompt": "a", "completion": "b", "label": null}), "\"label\" is missing"),
        (json!({"prompt": "a", "label": true}), "are missing"),
        (json!({"prompt": [{"role": "user", "content": "a"}], "completion": "b", "label": true}), "mixed"),
        (json!({"prompt": [{"role": "user", "content": "a"}], "completion": [], "label": true}), "no messages"),
        (json!({"prompt": 5, "completion": "b", "label": true}), "a number"),
        (json!({"prompt": "a", "completion": "b", "label": "yes"}), "true or false"),
        (json!([1]), "not an object"),
        (json!({"prompt": "a", "completion": "b", "label": false}), ""),
    ];
    let text: String = rows.iter().map(|(row, _)| format!("{row}\n")).collect();
    let (kept, errors) = all_samples("x.jsonl", text.as_bytes(), Some(Kind::Labelled));
    assert_eq!(kept.iter().map(|row| (row.row, row.line)).collect::<Vec<_>>(), [(0, 1), (9, 10)]);
    let wrong: Vec<&str> = rows.iter().map(|(_, word)| *word).filter(|word| !word.is_empty()).collect();
    assert_eq!(errors.len(), wrong.len(), "{errors:?}");
    for (error, word) in errors.iter().zip(wrong) {
        assert!(error.to_string().contains(word), "{word:?} is not in {error}");
    }
    let fields = Fields::guess(&["messages".to_owned()]);
    for (row, kind, word) in [
        (json!({"messages": [{"role": "user", "content": "a"}]}), Kind::Labelled, "does not end with an answer"),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), Kind::Prompts, "asks nothing"),
        (json!({"messages": "a"}), Kind::Completions, "a string"),
        (json!({"messages": [5]}), Kind::Completions, "Message 0"),
        (json!({"messages": []}), Kind::Completions, "no messages"),
    ] {
        let mut reader = SampleReader::new("x", kind, &fields);
        reader.push(row.to_string().as_bytes()).expect("text");
        check_message(&reader.finish().expect_err(word), &["The only row cannot be used", word]);
    }
    let empty = SampleReader::new("x", Kind::Prompts, &fields).finish().expect_err("nothing is in it");
    check_message(&empty, &["The file has no prompts", "\"prompt\""]);
}

#[test]
fn tables_and_packed_files_hold_other_kinds_too() {
    let open = |name: &str, bytes: Vec<u8>, kind: Option<Kind>| {
        let source = MemorySource { name: name.to_owned(), bytes };
        let file = block_on(PairsFile::open(&source)).expect("a file");
        let (found, fields) = (file.kind().expect("a kind"), Fields::guess(file.columns()));
        let kind = kind.unwrap_or(found);
        let reader = block_on(file.read_samples(kind, &fields, u64::MAX, &mut |_, _| true)).expect("rows");
        let (rows, errors) = reader.into_rows();
        let rows: Vec<Value> = rows.iter().map(Sample::to_json).collect();
        (found, rows, errors)
    };
    let (kind, rows, errors) = open("thumbs.parquet", read("methods", "thumbs.parquet"), None);
    assert_eq!(kind, Kind::Labelled, "by its columns");
    let message = |role: &str, content: &str| json!([{"role": role, "content": content}]);
    let row = |ask: &str, tell: &str, label: bool| {
        let (prompt, completion) = (message("user", ask), message("assistant", tell));
        json!({"prompt": prompt, "completion": completion, "label": label})
    };
    assert_eq!(rows, [row("Tea?", "Yes.", true), row("Why?", "So.", false)]);
    assert!(errors.len() == 1 && errors[0].line == 3, "one has no answer: {errors:?}");

    let (kind, rows, _) = open("prompts.parquet", read("methods", "prompts.parquet"), Some(Kind::Prompts));
    assert_eq!(kind, Kind::Completions, "an answer is there");
    assert_eq!(rows[1], json!({"prompt": "3*3?", "answer": 9, "level": "hard"}), "with all its columns");

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, b"{\"text\": \"a\"}\n{\"text\": 5}\n").expect("it is packed");
    let (kind, rows, errors) = open("texts.jsonl.gz", packed.finish().expect("it is packed"), None);
    assert_eq!((kind, rows), (Kind::Completions, vec![json!({"text": "a"})]));
    assert!(errors[0].to_string().contains("must be a string"), "{errors:?}");
}

#[test]
fn a_split_keeps_the_prompts_of_other_kinds_apart() {
    let talk = |i: usize, answer: &str| {
        let say = |role: &str, text: &str| json!({"role": role, "content": text});
        json!({"messages": [say("user", &format!("question {}", i % 10)), say("assistant", answer)]})
    };
    let text: String = (0..40).map(|i| format!("{}\n", talk(i, &format!("answer {i}")))).collect();
    let rows = samples(text.as_bytes(), None);
    let (train, held_out) = split_by_prompt(rows, SplitBy::Similar, 0.2, 3).expect("a split");
    assert_eq!((train.len(), held_out.len()), (32, 8), "whole questions");
    assert!(held_out.iter().all(|row| train.iter().all(|other| other.row % 10 != row.row % 10)), "none on both sides");
}

#[test]
fn damaged_rows_of_every_kind_never_panic() {
    for (file, kind) in [
        ("thumbs.jsonl", Kind::Labelled),
        ("talk_thumbs.jsonl", Kind::Prompts),
        ("sharegpt.jsonl", Kind::Completions),
        ("turns.jsonl", Kind::Labelled),
        ("strings.jsonl", Kind::Pairs),
    ] {
        let whole = read("methods", file);
        let fields = Fields::guess(&first_columns(file, &whole));
        let read = |bytes: &[u8]| {
            let mut reader = SampleReader::new(file, kind, &fields);
            if reader.push(bytes).is_ok() && reader.end().is_ok() {
                reader.into_rows().0.iter().for_each(|row| drop(row.to_json()));
            }
        };
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            read(&damaged);
            read(&whole[..at]);
        }
    }
}
