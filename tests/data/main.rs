//! The data layer against the tokens that TRL made (`tests/fixtures/<case>/expected.json`), and against bad input.

mod assistant;
mod kinds;
mod methods;
mod packed;
mod parquet;
mod shapes;
mod split;
mod tokenizer_parts;

use std::path::Path;

use pairtune::Error;
use pairtune::data::{
    Chat, ChatTemplate, Columns, DropReason, Message, PairReader, Part, Sampling, SplitBy, TokenPair, Tokenizer,
    first_columns, micro_batches, order, other_purpose, read_pairs, split_by_prompt, steps_per_epoch, tokenize,
};
use pairtune::engine::compare::writing::pieces;
use pairtune::platform::native::DiskFolder;
use pairtune::platform::{ByteSource, Folder, MemorySource};
use pollster::block_on;
use serde_json::{Value, json};

const CASES: [&str; 8] = [
    "llama_sigmoid",
    "llama3_tied_ipo",
    "llama_bf16_rslora",
    "qwen2_hinge",
    "qwen3_chat_sigmoid",
    "gemma3_robust",
    "gpt2_apo_zero",
    "gpt_neox_sigmoid_sft",
];

#[test]
fn tokens_are_those_of_trl() {
    for case in CASES {
        check_tokens(case);
    }
}

#[track_caller]
fn check_tokens(case: &str) {
    let (expected, settings) = (read_json(case, "expected.json"), read_json(case, "case.json"));
    let max_length = size(&settings["train"]["max_length"]);
    let (records, errors) = read_pairs(&read(case, "pairs.jsonl"), "pairs.jsonl").expect("pairs");
    assert!(errors.is_empty(), "{case}: {errors:?}");
    let tokenized = tokenize(&records, &tokenizer(case), max_length).expect("tokens");

    let dropped: Vec<Value> = tokenized.dropped.iter().map(|pair| json!(pair.row)).collect();
    assert_eq!(json!(dropped), expected["dropped_rows"], "{case}: dropped rows");
    let tokens = expected["tokens"].as_array().expect("tokens");
    assert_eq!(tokenized.pairs.len(), tokens.len(), "{case}: number of pairs");
    for (got, want) in tokenized.pairs.iter().zip(tokens) {
        assert_eq!(pair_json(got), *want, "{case}: row {}", got.row);
    }

    let (batch, accumulation) = (size(&settings["train"]["batch_size"]), size(&settings["train"]["grad_accum"]));
    let steps = steps_per_epoch(tokenized.pairs.len(), batch, accumulation);
    assert_eq!(json!(steps), expected["optimiser_steps_per_epoch"], "{case}: steps per epoch");
    let indices = order(tokenized.pairs.len(), Sampling::Sequential, 0, 0);
    assert_eq!(micro_batches(&indices, batch, accumulation).len(), steps, "{case}: steps");
}

fn pair_json(pair: &TokenPair) -> Value {
    let side = |ids: &[u32]| {
        let mask: Vec<u8> = (0..ids.len()).map(|i| u8::from(i >= pair.prompt_len)).collect();
        json!({"input_ids": ids, "completion_mask": mask})
    };
    json!({
        "row": pair.row,
        "prompt_len": pair.prompt_len,
        "untruncated_len": {"chosen": pair.untruncated[0], "rejected": pair.untruncated[1]},
        "chosen": side(&pair.chosen),
        "rejected": side(&pair.rejected),
    })
}

#[test]
fn decoding_gives_the_text_back() {
    let tokenizer = tokenizer("llama_sigmoid");
    let text = "Naïve café 日本 🙂 end";
    let ids = tokenizer.encode(text, true).expect("ids");
    assert_eq!(tokenizer.decode(&ids, true).expect("text"), text);
    assert_eq!(ids.first(), Some(&475));
    assert_eq!((tokenizer.eos_id(), tokenizer.pad_id()), (Some(476), Some(477)));
    assert_eq!(tokenizer.fingerprint().len(), 64);
    assert_ne!(tokenizer.fingerprint(), self::tokenizer("qwen3_chat_sigmoid").fingerprint());
}

#[test]
fn each_token_has_its_text_and_together_they_have_all_of_it() {
    let texts = [
        "国会的转发，从前有座山。",
        "👩‍👩‍👧‍👦 and 🏳️‍🌈, then 👍🏽!",
        "مرحبا بالعالم",
        "안녕하세요, 반갑습니다",
        "naïve café — “yes” \u{fffd} and \u{fffd}\u{fffd}国\u{fffd}会",
        "plain words,  two spaces\n\n\tand tabs ",
    ];
    for case in CASES {
        let tokenizer = tokenizer(case);
        let special = tokenizer.eos_id().expect("there is an end");
        for text in texts {
            let mut ids = tokenizer.encode(text, true).expect("tokens");
            ids.push(special);
            ids.extend(tokenizer.encode(text, false).expect("tokens"));
            let (n_ids, all) = (ids.len(), tokenizer.decode(&ids, false).expect("the text"));
            // Also where it was cut within a character.
            for end in [ids.len(), ids.len() - 1, ids.len() - 2] {
                let ids = &ids[..end];
                let pieces = pieces(ids, &tokenizer).expect("pieces");
                assert_eq!(pieces.len(), ids.len(), "{case}: one for each token of {text:?}");
                let together = pieces.concat();
                let is_whole = together == tokenizer.decode(ids, false).expect("the text");
                // Single bytes spoil each other where one is missing.
                let cut = all.strip_prefix(together.trim_end_matches('\u{fffd}')).filter(|_| end < n_ids);
                let is_cut = cut.is_some_and(|cut| cut.len() < 4 * 4);
                assert!(is_whole || is_cut, "{case}: together they are the text, and not {together:?}");
                let longest = pieces.iter().max_by_key(|piece| piece.len()).expect("there are pieces");
                let most = ids.iter().map(|&id| tokenizer.decode(&[id], false).expect("a token").len()).max();
                assert!(longest.len() <= most.unwrap_or(0) + 8, "{case}: {longest:?} is one token of {text:?}");
            }
        }
    }
}

#[test]
fn a_character_belongs_to_its_last_token() {
    let tokenizer = tokenizer("qwen3_chat_sigmoid");
    let ids = tokenizer.encode("<|im_start|>a国<|im_end|>", false).expect("tokens");
    let shown = pieces(&ids, &tokenizer).expect("pieces");
    assert_eq!(shown, ["<|im_start|>", "a", "", "", "国", "<|im_end|>"], "the others have no text");
}

#[test]
fn a_missing_pad_token_falls_back_to_eos() {
    assert_eq!(tokenizer("gpt2_apo_zero").pad_id(), Some(0));
}

#[test]
fn a_tokenizer_with_more_ids_than_the_model_has_rows_is_refused() {
    let tokenizer = tokenizer("llama_sigmoid");
    assert_eq!(tokenizer.vocab_size(), 480);
    tokenizer.check_vocab(480).expect("enough rows");
    let error = tokenizer.check_vocab(474).expect_err("a row too few");
    check_message(&error, &["ids up to 474", "474 rows", "tokenizer.json"]);
}

#[test]
fn an_added_token_beyond_the_models_rows_is_refused_only_where_it_is_used() {
    let tokenizer = tokenizer("llama_sigmoid");
    tokenizer.check_vocab(479).expect("only an added token lies beyond");
    tokenizer.encode("no such token here", true).expect("it is not used");
    let error = tokenizer.encode("the <|im_end|>", true).expect_err("it has no row");
    check_message(&error, &["<|im_end|>", "id 479", "479 rows"]);
}

#[test]
fn a_folder_without_a_tokenizer_is_refused() {
    let folder = DiskFolder::open(&fixture("llama_sigmoid/adapter_init")).expect("folder");
    let error = block_on(Tokenizer::open(&folder)).err().expect("no tokenizer");
    check_message(&error, &["no tokenizer.json", "Download it", "adapter_init"]);
}

#[test]
fn tokens_that_only_the_config_names_are_never_split() {
    let open = |config: Value| {
        let folder = Memory(vec![
            ("tokenizer.json", read("llama_sigmoid/model", "tokenizer.json")),
            ("tokenizer_config.json", config.to_string().into_bytes()),
        ]);
        block_on(Tokenizer::open(&folder)).expect("tokenizer").encode("a b", true).expect("ids")
    };
    // AutoTokenizer of transformers 5.23 gives these ids; add_bos_token does not change the post-processor.
    assert_eq!(open(json!({"add_bos_token": false})), [475, 64, 275]);
    for key in ["additional_special_tokens", "extra_special_tokens"] {
        assert_eq!(open(json!({key: ["b"]})), [475, 64, 220, 65]);
    }
    assert_eq!(open(json!({"added_tokens_decoder": {"67": {"content": "b", "special": true}}})), [475, 64, 220, 65]);
}

#[test]
fn split_special_tokens_makes_them_text() {
    let open = |split: bool| {
        let folder = Memory(vec![
            ("tokenizer.json", read("llama_sigmoid/model", "tokenizer.json")),
            ("tokenizer_config.json", json!({"split_special_tokens": split}).to_string().into_bytes()),
        ]);
        block_on(Tokenizer::open(&folder)).expect("tokenizer").encode("a<|im_end|>b", true).expect("ids")
    };
    // AutoTokenizer of transformers 5.23 gives these ids.
    assert_eq!(open(false), [475, 64, 479, 65]);
    assert_eq!(open(true), [475, 64, 27, 91, 72, 76, 62, 269, 67, 91, 29, 65]);
}

#[test]
fn conversations_without_a_template_are_refused() {
    let (records, _) = read_pairs(&read("qwen3_chat_sigmoid", "pairs.jsonl"), "pairs.jsonl").expect("pairs");
    let error = tokenize(&records, &tokenizer("llama_sigmoid"), 128).expect_err("no template");
    check_message(&error, &["no chat template", "chat_template.jinja", "plain text"]);
}

#[test]
fn when_all_pairs_are_dropped_the_error_has_the_counts() {
    let (records, _) = read_pairs(&read("llama_sigmoid", "pairs.jsonl"), "pairs.jsonl").expect("pairs");
    let long: Vec<_> =
        records.into_iter().filter(|record| matches!(&record.prompt, Part::Text(t) if t.len() > 20)).collect();
    let error = tokenize(&long, &tokenizer("llama_sigmoid"), 2).expect_err("too short");
    check_message(&error, &[&format!("None of the {} pairs", long.len()), "max length (2 tokens)", "Raise max length"]);
}

#[test]
fn a_conversation_that_the_template_refuses_is_dropped_with_the_reason() {
    let mut file = read("gemma3_robust", "pairs.jsonl");
    let answer = |text: &str| json!([{"role": "assistant", "content": text}]);
    let bad = json!({"prompt": answer("a"), "chosen": answer("b"), "rejected": answer("c")});
    file.extend(bad.to_string().as_bytes());
    let (records, _) = read_pairs(&file, "pairs.jsonl").expect("pairs");
    let tokenized = tokenize(&records, &tokenizer("gemma3_robust"), 160).expect("tokens");
    let last = tokenized.dropped.last().expect("the last is dropped");
    let DropReason::Template(message) = &last.reason else { panic!("another reason: {last:?}") };
    assert!(message.contains("roles must alternate") && message.contains("line 6"), "{message}");
}

#[test]
fn a_template_without_an_end_is_stopped() {
    let source = "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}";
    let template = ChatTemplate::new(source, "chat_template.jinja").expect("it compiles");
    let error = template.render(&[], false, &[], None, None).expect_err("it takes too long");
    check_message(&error, &["does not come to an end", "chat_template.jinja", "another template"]);
}

#[test]
fn a_namespace_does_not_hold_itself() {
    let rendered = |source: &str| {
        let template = ChatTemplate::new(source, "chat_template.jinja").expect("it compiles");
        template.render(&[], false, &[], None, None)
    };
    for held in ["ns", "[ns]", "{'a': [1, ns]}", "namespace(b=2)"] {
        // Writing or comparing it would go on until the stack overflows.
        let source =
            format!("{{% set ns = namespace(a=1) %}}{{%- set ns.a = {held} -%}}{{{{ ns }}}}{{{{ [ns]|unique }}}}");
        let error = rendered(&source).expect_err("it would hold itself");
        check_message(&error, &["a namespace cannot be put into a namespace", "chat_template.jinja, line 1"]);
    }
    let text = rendered(
        "{% set ns = namespace(a=1) %}{% set ns.a = [ns.a, 2] %}{% set ns.b = 1, 'x' -%}\n {{ ns.a }}{{ ns.b[1] }}",
    );
    assert_eq!(text.expect("lists and strings are fine"), "[1, 2]x");
}

#[test]
fn a_template_that_writes_without_measure_is_stopped() {
    let stopped = |source: &str| {
        let template = ChatTemplate::new(source, "chat_template.jinja").expect("it compiles");
        template.render(&[], false, &[], None, None).expect_err("it writes too much")
    };
    // An indentation beyond memory, or beyond what a length can be.
    for indent in [100_000_000_000_u64, 1 << 63] {
        let error = stopped(&format!("{{{{ [[1]] | tojson(indent={indent}) }}}}"));
        check_message(&error, &["does not come to an end", "chat_template.jinja", "another template"]);
    }
    // The same list in two places of each, and separators as long as a book between its items.
    let twice = "{% set ns = namespace(x=1) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
    for source in [
        format!("{twice}{{{{ ns.x | tojson }}}}"),
        "{{ range(90000) | list | tojson(separators=['-' * 9999999, ':']) }}".to_owned(),
        "{% for i in range(9999) %}{{ '-' * 9999999 }}{% endfor %}".to_owned(),
    ] {
        check_message(&stopped(&source), &["does not come to an end", "chat_template.jinja"]);
    }
    let deep = "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let error = stopped(&format!("{deep}{{{{ ns.x | tojson }}}}"));
    check_message(&error, &["at most 128 lists and maps within each other", "chat_template.jinja, line 1"]);
}

#[test]
fn malformed_lines_are_reported_and_the_rest_is_usable() {
    let file =
        b"\xef\xbb\xbf{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\r\n\r\n{\"prompt\": \"a\",\r\n\
        {\"prompt\": \"a\", \"chosen\": 7, \"rejected\": \"c\"}\n\xff\xfe{}\n[1]\n{\"chosen\": \"x\"}\n\
        {\"prompt\": \"a\", \"chosen\": [{\"role\": \"assistant\", \"content\": \"x\"}], \"rejected\": \"c\"}\n\
        {\"chosen\": [], \"rejected\": []}\n{\"prompt\": \"d\", \"chosen\": \"e\", \"rejected\": \"f\"}";
    let (records, errors) = read_pairs(file, "pairs.jsonl").expect("two pairs");
    assert_eq!(records.iter().map(|r| (r.row, r.line)).collect::<Vec<_>>(), [(0, 1), (8, 10)]);
    assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
    for (error, word) in errors.iter().zip(["JSON", "a number", "UTF-8", "a list", "missing", "mixed", "no messages"]) {
        assert!(error.what.contains(word), "{error}");
        assert!(!error.fix.is_empty() && !error.excerpt.is_empty(), "{error}");
    }
}

#[test]
fn files_without_a_usable_row_are_refused() {
    for (file, words) in [
        (&b""[..], ["no pairs", "chosen"]),
        (b" \n \n", ["no pairs", "chosen"]),
        (b"[]", ["no pairs", "chosen"]),
        (b"\xef\xbb\xbf", ["no pairs", "chosen"]),
        (b"{\"text\": \"x\"}\n{}", ["None of the 2 rows", "line 1"]),
        (b"PAR1xxxx", ["Parquet", "JSON Lines"]),
        (b"\x1f\x8b\x08\x00", ["compressed", "JSON Lines"]),
        (b"\xff\xfe{\x00", ["UTF-16", "UTF-8"]),
        (b"[{\"prompt\": \"a\", \"chosen\"", ["The only row cannot be used", "pairs.json"]),
    ] {
        check_message(&read_pairs(file, "pairs.json").expect_err("no pairs"), &words);
    }
}

#[test]
fn arrays_are_read_like_lines() {
    let (lines, _) = read_pairs(&read("qwen3_chat_sigmoid", "pairs.jsonl"), "pairs.jsonl").expect("lines");
    let values: Vec<Value> = String::from_utf8(read("qwen3_chat_sigmoid", "pairs.jsonl"))
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for text in [json!(values).to_string(), format!(" \n{:#}\n", json!(values))] {
        let (array, errors) = read_pairs(text.as_bytes(), "pairs.json").expect("array");
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(array.len(), lines.len());
        for (a, b) in array.iter().zip(&lines) {
            assert_eq!((a.row, &a.prompt, &a.chosen, &a.rejected), (b.row, &b.prompt, &b.chosen, &b.rejected));
        }
    }
    let one_line = br#"[{"chosen": "a", "rejected": "b"}, {"chosen": 1}, {"chosen": "c", "rejected": "d"}]"#;
    let (records, errors) = read_pairs(one_line, "pairs.json").expect("two pairs");
    assert_eq!(records.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 3], "a line with all rows tells none apart");
    assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [2]);
    let bad = b"[\n {\"chosen\": \"a\\\"]b\", \"rejected\": \"c\"},\n {\"chosen\": 1},\n\n \
        {\"chosen\": \"x\", \"rejected\": \"y\"}\n] x";
    let (records, errors) = read_pairs(bad, "pairs.json").expect("two pairs");
    assert_eq!(records.iter().map(|r| (r.row, r.line)).collect::<Vec<_>>(), [(0, 2), (2, 5)]);
    assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [3, 6]);
}

#[test]
fn chunks_of_any_size_give_the_same_pairs() {
    let bytes = read("llama_sigmoid", "pairs.jsonl");
    let mut array = b"\xef\xbb\xbf\n[".to_vec();
    array.extend(bytes.trim_ascii().iter().map(|b| if *b == b'\n' { b',' } else { *b }));
    array.push(b']');
    for bytes in [bytes, array] {
        let whole = read_pairs(&bytes, "x").expect("whole");
        for chunk in [1, 2, 3, 7, 1000] {
            let mut reader = PairReader::new("x");
            for piece in bytes.chunks(chunk) {
                reader.push(piece).expect("push");
            }
            assert_eq!(reader.finish().expect("finish"), whole, "chunks of {chunk}");
        }
    }
}

#[test]
fn tables_are_read_in_chunks_of_any_size() {
    let table = "\u{feff}prompt,chosen,rejected,note\r\n\
        Hi,\"Hello, \"\"you\"\"\",No.,x\r\n\r\n\
        Many,\"\ntwo\r\nlines \u{1f600}\",Bad,\r\n\
        short,row\r\n\
        ,Why? Well,Why? No,\n,,,\n\
        5\" nails,Sure,\"\",\n\
        Last 5\",Yes,No,z";
    let read = |bytes: &[u8], size: usize| {
        let mut reader = PairReader::new("folder/Pairs.CSV");
        for chunk in bytes.chunks(size) {
            reader.push(chunk).expect("it is a table");
        }
        reader.finish().expect("pairs")
    };
    let (records, errors) = read(table.as_bytes(), table.len());
    let text = |part: &Part| part.text();
    let rows: Vec<_> =
        records.iter().map(|r| (r.row, r.line, [text(&r.prompt), text(&r.chosen), text(&r.rejected)])).collect();
    let row = |row, line, texts: [&str; 3]| (row, line, texts.map(str::to_owned));
    assert_eq!(
        rows,
        [
            row(0, 2, ["Hi", "Hello, \"you\"", "No."]),
            row(1, 4, ["Many", "\ntwo\r\nlines \u{1f600}", "Bad"]),
            row(3, 8, ["Why?", " Well", " No"]),
            row(5, 11, ["Last 5\"", "Yes", "No"]),
        ]
    );
    let errors_at: Vec<_> = errors.iter().map(|e| (e.line, e.what.as_str())).collect();
    assert_eq!(errors_at[0], (7, "The row has 2 cells, but the first row names 4 columns"));
    assert_eq!(errors_at[1].0, 10, "an empty cell is no text: {errors:?}");
    assert!(errors_at[1].1.contains("\"rejected\" is missing; the keys are: prompt, chosen"), "{errors:?}");
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(table.as_bytes(), size), (records.clone(), errors.clone()), "chunks of {size}");
    }
}

#[test]
fn tables_have_other_delimiters_and_columns_too() {
    let german = b"frage;gut;schlecht\n\"a;b\";c,d;e\n";
    assert_eq!(first_columns("x.csv", german), ["frage", "gut", "schlecht"]);
    assert_eq!(first_columns("x.csv", b" \nchosen,rejected"), ["chosen", "rejected"]);
    assert!(first_columns("x.jsonl", german).is_empty(), "no table by its name");
    let kept = b"{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}";
    assert_eq!(first_columns("x.csv", kept), ["prompt", "chosen", "rejected"], "rows that are kept with a run");
    assert_eq!(first_columns("x.csv", b"\n[{\"a\": 1}]"), ["a"], "and an array");
    assert_eq!(read_pairs(kept, "x.csv").expect("JSON").0.len(), 1, "are JSON under any name");
    let (tabs, _) = read_pairs(b"prompt\tchosen\trejected\na, b\tc\td\n", "x.tsv").expect("a pair");
    assert_eq!((tabs[0].prompt.text(), tabs[0].chosen.text()), ("a, b".to_owned(), "c".to_owned()));
    let (old_mac, _) = read_pairs(b"prompt,chosen,rejected\ra,b,c\rd,e,f", "x.csv").expect("two pairs");
    assert_eq!(old_mac.len(), 2, "lines may end with a carriage return");
    check_message(&read_pairs(german, "x.csv").expect_err("other columns"), &["frage, gut, schlecht", "line 2"]);
    check_message(&read_pairs(b"prompt,chosen,rejected\n", "x.csv").expect_err("no rows"), &["no pairs", "chosen"]);
}

#[test]
fn a_quote_that_is_not_closed_takes_no_rows_in_silence() {
    let table = b"prompt,chosen,rejected\na,b,c\nd,e,\"f\ng,h,i\nj,k,l\n";
    let (records, errors) = read_pairs(table, "x.csv").expect("one pair");
    assert_eq!(records.len(), 1, "the row before it");
    assert_eq!((errors[0].line, errors[0].what.as_str()), (3, "The row has no end"));
    let mut long = b"prompt,chosen,rejected\na,b,\"".to_vec();
    long.resize(20 << 20, b'x');
    let mut reader = PairReader::new("x.csv");
    for chunk in long.chunks(1 << 20) {
        reader.push(chunk).expect("it is a table");
    }
    assert_eq!(reader.n_errors(), 1, "told before the end of the file, which may be far");
    let header = read_pairs(b"prompt,\"chosen,rejected\na,b,c\n", "x.csv").expect_err("no rows");
    check_message(&header, &["The row has no end", "line 1"]);
}

#[test]
fn a_table_as_pandas_writes_it_begins_with_a_column_without_a_name() {
    let table = b"\tprompt\tchosen\trejected\n0\ta\tb\tc\n1\td\te\tf\n";
    let (records, errors) = read_pairs(table, "x.tsv").expect("two pairs");
    assert_eq!(errors, []);
    assert_eq!([records[1].prompt.text(), records[1].chosen.text()], ["d", "e"]);
    assert_eq!(first_columns("x.tsv", table), ["prompt", "chosen", "rejected"]);
}

#[test]
fn a_table_in_another_encoding_is_told_to_be_saved_as_utf8() {
    // Windows-1252, as Excel writes it.
    let table = b"prompt,chosen,rejected,cat\xe9gorie\na,b,c,\nna\xefve,b,c,\n";
    let (records, errors) = read_pairs(table, "x.csv").expect("the row that has ASCII only");
    assert_eq!(records.len(), 1);
    let told: Vec<_> = errors.iter().map(|e| (e.line, e.fix.as_str())).collect();
    assert_eq!(told, [(1, "Save the file as UTF-8"), (3, "Save the file as UTF-8")]);
    assert_eq!(errors[1].excerpt, "na\u{fffd}ve,b,c,", "the cells are apart");
}

#[test]
fn rows_that_are_too_long_are_reported_and_the_next_one_is_read() {
    let row = r#"{"prompt": "a", "chosen": "b", "rejected": "c"}"#;
    let lines = [format!("{row}\n{{\"prompt\": \""), format!("\"}}\n{row}\n")];
    let array = [format!("[{row},\n{{\"prompt\": \""), format!("\"}},\n{row}]")];
    for [begin, end] in [lines, array] {
        let mut reader = PairReader::new("x");
        push_long(&mut reader, begin.as_bytes(), b'x');
        reader.push(end.as_bytes()).expect("text");
        let (records, errors) = reader.finish().expect("two pairs");
        assert_eq!(records.len(), 2, "before and after it");
        let told: Vec<_> = errors.iter().map(|e| (e.line, e.what.as_str())).collect();
        assert_eq!(told, [(2, "The row is longer than 16 MiB")]);
    }
    let mut reader = PairReader::new("x.csv");
    push_long(&mut reader, b"prompt,chosen,rejected\n", b',');
    assert_eq!(reader.n_errors(), 1, "a row of delimiters takes memory too");
}

/// Some bytes, and 17 MiB of one.
fn push_long(reader: &mut PairReader, begin: &[u8], byte: u8) {
    reader.push(begin).expect("text");
    for _ in 0..17 {
        reader.push(&vec![byte; 1 << 20]).expect("text");
    }
}

#[test]
fn files_for_something_else_are_told_by_their_columns() {
    let purpose = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        other_purpose(&columns).map(|[what, _]| what)
    };
    for (columns, word) in [
        (&["prompt", "completion", "label"][..], "KTO"),
        (&["messages", "label"], "KTO"),
        (&["instruction", "input", "output"], "Alpaca"),
        (&["conversations", "system"], "ShareGPT"),
        (&["messages"], "\"messages\""),
        (&["prompt", "completion"], "fine-tuning"),
        (&["prompt", "response_0", "response_1", "better_response_id"], "which is better"),
        (&["text"], "plain text"),
    ] {
        assert!(purpose(columns).is_some_and(|what| what.contains(word)), "{columns:?}: {:?}", purpose(columns));
    }
    for columns in
        [&["prompt", "chosen", "rejected"][..], &["chosen", "rejected"], &["instruction", "output", "rejected"]]
    {
        assert_eq!(purpose(columns), None, "{columns:?} are pairs");
    }
    assert_eq!(purpose(&["a", "b"]), None, "of others nothing is known");
}

#[test]
fn columns_have_a_text_of_their_own() {
    let text = "prompt=question,chosen=good,rejected=bad";
    let columns: Columns = text.parse().expect("columns");
    assert_eq!(columns.to_string(), text);
    let mut reader = PairReader::new("x").with_columns(&columns);
    reader.push(br#"{"question": "a", "good": "b", "bad": "c"}"#).expect("text");
    let (records, _) = reader.finish().expect("a pair");
    assert_eq!(records[0].chosen.text(), "b");
    for wrong in ["", "chosen=a", "chosen=a,rejected=b,answer=c", "good,bad"] {
        wrong.parse::<Columns>().expect_err(wrong);
    }
}

#[test]
fn implicit_prompts_are_split_off() {
    let text = |chosen: &str, rejected: &str| {
        let line = json!({"chosen": chosen, "rejected": rejected}).to_string();
        let (records, _) = read_pairs(line.as_bytes(), "x").expect("pair");
        [&records[0].prompt, &records[0].chosen, &records[0].rejected].map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Messages(_) => panic!("text expected"),
        })
    };
    assert_eq!(text("The sky is blue.", "The sky is green."), ["The sky is", " blue.", " green."]);
    assert_eq!(text("naïve é", "naïve è"), ["naïve", " é", " è"]);
    assert_eq!(text("ab", "abc"), ["a", "b", "bc"]);
    assert_eq!(text("x ", "y "), ["", "x ", "y "]);

    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let (question, yes, no) = (message("user", "?"), message("assistant", "yes"), message("assistant", "no"));
    for prompt in [json!(null), json!("?")] {
        let line = json!({"prompt": prompt, "chosen": [question, yes], "rejected": [question, no]}).to_string();
        let (records, _) = read_pairs(line.as_bytes(), "x").expect("pair");
        assert_eq!(records[0].prompt, messages(json!([question])));
        assert_eq!(records[0].chosen, messages(json!([yes])));
        assert_eq!(records[0].rejected, messages(json!([no])));
    }
    let same = json!({"chosen": [question, yes], "rejected": [question, yes]}).to_string();
    let (records, _) = read_pairs(same.as_bytes(), "x").expect("pair");
    assert_eq!(records[0].chosen, messages(json!([yes])), "a completion keeps its last message");
    let line = json!({"prompt": "other", "chosen": [question, yes], "rejected": [question, no]}).to_string();
    check_message(&read_pairs(line.as_bytes(), "x").expect_err("another prompt"), &["not among the messages"]);
}

fn messages(value: Value) -> Part {
    Part::Messages(value.as_array().expect("list").iter().map(message).collect())
}

fn message(value: &Value) -> Message {
    value.as_object().expect("object").clone()
}

#[test]
fn templates_render_as_in_transformers() {
    let render = |source: &str| {
        let template = ChatTemplate::new(source, "t.jinja")?;
        let message =
            message(&json!({"role": "user", "content": " Hé <b> ", "thinking": "hm", "n": [1, 2.5, null, true]}));
        let tools = json!([{"b": "é'<", "a": {}}]);
        let kwargs = json!({"flag": true});
        template.render(
            &[&message],
            true,
            &[("bos_token".to_owned(), "<s>".to_owned())],
            Some(&tools),
            kwargs.as_object(),
        )
    };
    for (source, want) in [
        ("{{ bos_token }}{{ eos_token }}{% if flag %}\n  yes\n  {% endif %}\nx", "<s>  yes\nx"),
        ("{{ messages[0]['content'].strip() }}|{{ messages[0].content | trim }}", "Hé <b>|Hé <b>"),
        ("{{ messages[0]['reasoning_content'] }}", "hm"),
        ("{{ tools | tojson }}", r#"[{"b": "é'<", "a": {}}]"#),
        ("{{ tools | tojson(indent=2) }}", "[\n  {\n    \"b\": \"é'<\",\n    \"a\": {}\n  }\n]"),
        ("{{ tools[0] | tojson(sort_keys=true, ensure_ascii=true) }}", r#"{"a": {}, "b": "\u00e9'<"}"#),
        ("{{ messages[0]['n'] | tojson(separators=(',', ':')) }}", "[1,2.5,null,true]"),
        ("a{% generation %}\n  b{% endgeneration %}\nc", "a  bc"),
        ("a {%- generation -%} b {%- endgeneration -%} c", "abc"),
        ("{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "012"),
        ("{% set ns = namespace(x=1) %}{% set ns.x = 2 %}{{ ns.x }}{{ 'a-b'.split('-')[1] }}", "2b"),
        (
            "{% if documents is none and not missing %}{{ strftime_now('%d %b %Y %H:%M') }}{% endif %}",
            "26 Jul 2024 00:00",
        ),
        ("{% for m in messages[::-1] %}{{ m.role.upper() + '\n' }}{% endfor %}", "USER\n"),
        ("a\r\n{% if documents is iterable or not 'x' is iterable %}no{% endif %}\r\nb", "a\nb"),
        ("{{ messages[0].items() | list | length }}{{ none }}{{ true }}", "5NoneTrue"),
    ] {
        assert_eq!(render(source).expect(source), want, "{source}");
    }
    check_message(&render("a\n{% if %}").expect_err("syntax"), &["t.jinja, line 2", "chat template"]);
    check_message(&render("a\n\n{{ raise_exception('no way') }}").expect_err("raised"), &["no way", "line 3"]);
    check_message(&render("{{ missing.field }}").expect_err("undefined"), &["t.jinja, line 1"]);
}

#[test]
fn conversations_of_several_turns_become_the_tokens_of_trl() {
    let file = |name: &str| std::fs::read(fixture("conversations").join(name)).expect("the fixture is there");
    let template = String::from_utf8(file("chat_template.jinja")).expect("UTF-8");
    let chat = Chat { template: Some(template), ..Chat::default() };
    let tokenizer = tokenizer("qwen3_chat_sigmoid").with_chat(chat).expect("it compiles");
    let (records, errors) = read_pairs(&file("pairs.jsonl"), "pairs.jsonl").expect("the pairs can be read");
    assert!(errors.is_empty(), "{errors:?}");
    let got = tokenize(&records, &tokenizer, 512).expect("all are kept").pairs;
    let want: Vec<Value> = serde_json::from_slice(&file("expected.json")).expect("JSON");
    assert_eq!(got.iter().map(pair_json).collect::<Vec<_>>(), want, "turns, tools and variables");
}

#[test]
fn what_a_person_sets_for_conversations_goes_before_the_models_own() {
    let own = tokenizer("qwen3_chat_sigmoid");
    let message: Message = serde_json::from_value(json!({"role": "user", "content": "Hi"})).expect("a message");
    let render = |tokenizer: &Tokenizer, kwargs: Value| {
        tokenizer.render(&[&message], false, None, kwargs.as_object()).expect("it renders")
    };
    let text = "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is defined %}\
                {{ enable_thinking }}{{ style }}{% endif %}";
    let chat = |template: Option<&str>, kwargs: Value| Chat {
        template: template.map(str::to_owned),
        kwargs: kwargs.as_object().expect("an object").clone(),
    };
    let with = |chat: Chat| own.with_chat(chat).expect("it compiles");
    let none = Value::Null;
    assert_eq!(render(&with(chat(Some(text), json!({}))), none.clone()), "Hi", "another template");
    let set = chat(Some(text), json!({"enable_thinking": false, "style": ["a", null, {"b": "c"}]}));
    let wanted = "HiFalse['a', None, {'b': 'c'}]";
    assert_eq!(render(&with(set.clone()), none.clone()), wanted, "with its variables");
    assert_eq!(
        render(&with(set.clone()), json!({"enable_thinking": true, "style": 1})),
        "HiTrue1",
        "a row's own first"
    );
    // A file has no place for variables: they are set in the template.
    let written = set.written(own.own_template()).expect("it differs");
    assert_eq!(render(&with(chat(Some(&written), json!({}))), none.clone()), wanted, "{written}");
    assert_eq!(render(&with(chat(Some(&written), json!({}))), json!({"style": 2, "enable_thinking": 3})), "Hi32");
    assert_eq!(chat(None, json!({})).written(own.own_template()), None, "nothing to write");
    let variables = chat(None, json!({"enable_thinking": false})).written(own.own_template()).expect("variables");
    assert!(variables.ends_with(own.own_template().expect("it has one")), "the own template with variables");

    let unreadable = chat(Some(text), json!({"not a name": 1, "2": 3})).written(None).expect("another template");
    assert_eq!(unreadable, text, "what no template can read is left out");

    let fingerprints = [&own, &with(set.clone()), &with(chat(Some(text), json!({})))].map(Tokenizer::fingerprint);
    assert_eq!(fingerprints.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "other tokens, other marks");
    assert_eq!(with(set).with_chat(Chat::default()).expect("the own").fingerprint(), own.fingerprint(), "as before");
    let bad = own.with_chat(chat(Some("a\n{% if %}"), json!({}))).map(|_| ()).expect_err("it does not compile");
    check_message(&bad, &["line 2", "the chat template that was set"]);
}

#[test]
fn the_clock_of_a_template_can_be_set() {
    let template = ChatTemplate::new("{{ strftime_now('%A %-d %B %y %I:%M %p') }}", "t").expect("template");
    template.set_now(951_782_400 + 13 * 3600 + 5 * 60);
    assert_eq!(template.render(&[], false, &[], None, None).expect("text"), "Tuesday 29 February 00 01:05 PM");
}

#[test]
fn orders_are_permutations_that_depend_on_seed_and_epoch() {
    assert_eq!(order(4, Sampling::Sequential, 1, 2), [0, 1, 2, 3]);
    let first = order(50, Sampling::Random, 42, 0);
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    assert_eq!(first, order(50, Sampling::Random, 42, 0));
    assert_ne!(first, order(50, Sampling::Random, 42, 1));
    assert_ne!(first, order(50, Sampling::Random, 43, 0));
    assert_eq!(order(8, Sampling::Random, 42, 0), PINNED_ORDER, "a resumed run must find the same order");
}

const PINNED_ORDER: [usize; 8] = [7, 1, 5, 4, 6, 0, 3, 2];

#[test]
fn remainders_make_smaller_batches_and_steps() {
    let steps = micro_batches(&[5, 6, 7, 8, 9, 10, 11], 2, 3);
    assert_eq!(steps, [vec![vec![5, 6], vec![7, 8], vec![9, 10]], vec![vec![11]]]);
    assert_eq!(steps_per_epoch(7, 2, 3), 2);
    assert_eq!(steps_per_epoch(0, 2, 3), 0);
}

#[test]
fn a_split_keeps_prompts_apart() {
    let line = |i: usize| json!({"prompt": format!("p{}", i % 20), "chosen": "a", "rejected": "b"}).to_string() + "\n";
    let file: String = (0..60).map(line).collect();
    let records = || read_pairs(file.as_bytes(), "x").expect("pairs").0;
    let (train, eval) = split_by_prompt(records(), SplitBy::Similar, 0.1, 7).expect("split");
    assert_eq!((train.len(), eval.len()), (54, 6));
    assert!(eval.iter().all(|e| train.iter().all(|t| t.prompt != e.prompt)));
    assert!(train.is_sorted_by_key(|r| r.row) && eval.is_sorted_by_key(|r| r.row));
    assert_eq!(split_by_prompt(records(), SplitBy::Similar, 0.1, 7).expect("split").1, eval);
    assert_ne!(split_by_prompt(records(), SplitBy::Similar, 0.1, 8).expect("split").1, eval);
    assert!(split_by_prompt(records(), SplitBy::Similar, 0.0, 7).expect("split").1.is_empty());
    let (train, eval) =
        split_by_prompt(records().into_iter().take(1).collect(), SplitBy::Similar, 0.5, 7).expect("split");
    assert_eq!((train.len(), eval.len()), (1, 0), "one prompt stays in training");
    check_message(&split_by_prompt(records(), SplitBy::Similar, 1.0, 7).expect_err("all"), &["eval_split is 1"]);
}

#[test]
fn damaged_pairs_never_panic() {
    let whole = read("qwen3_chat_sigmoid", "pairs.jsonl");
    let mut array = vec![b'['];
    array.extend(whole.iter().map(|b| if *b == b'\n' { b',' } else { *b }));
    for bytes in [&whole, &array] {
        for cut in (0..bytes.len()).step_by(97) {
            drop(read_pairs(&bytes[..cut], "x"));
        }
        for at in (0..bytes.len().min(3000)).step_by(3) {
            let mut damaged = bytes[..3000].to_vec();
            damaged[at] ^= 1 << (at % 8);
            drop(read_pairs(&damaged, "x"));
        }
    }
    let table = b"prompt,chosen,rejected\r\n\"a \"\"b\"\"\",\"c\nd\",e\r\nf,g,\"h\"\r\n";
    for at in 0..table.len() {
        for bit in 0..8 {
            let mut damaged = table.to_vec();
            damaged[at] ^= 1 << bit;
            drop(read_pairs(&damaged, "x.csv"));
            drop(read_pairs(&damaged[..at], "x.csv"));
        }
    }
}

/// A folder in memory.
struct Memory(Vec<(&'static str, Vec<u8>)>);

impl Folder for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn files(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn open(&self, file: &str) -> pairtune::Result<Box<dyn ByteSource>> {
        let (name, bytes) = self.0.iter().find(|(name, _)| *name == file).expect("file");
        Ok(Box::new(MemorySource { name: (*name).to_owned(), bytes: bytes.clone() }))
    }
}

fn fixture(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

fn read(case: &str, file: &str) -> Vec<u8> {
    std::fs::read(fixture(case).join(file)).expect(file)
}

fn read_json(case: &str, file: &str) -> Value {
    serde_json::from_slice(&read(case, file)).expect(file)
}

fn size(value: &Value) -> usize {
    value.as_u64().expect("a size") as usize
}

fn tokenizer(case: &str) -> Tokenizer {
    let folder = DiskFolder::open(&fixture(case).join("model")).expect("folder");
    block_on(Tokenizer::open(&folder)).expect("tokenizer")
}

#[track_caller]
pub(crate) fn check_message(error: &Error, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "\"{word}\" is not in: {message}");
    }
}
