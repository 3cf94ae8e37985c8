//! Metrics as TensorBoard, spreadsheets and line tools read them; the event file is parsed back by a reader of its own.

use pairtune::files::{crc32c, event_file, event_file_name, metrics_csv, metrics_jsonl};
use serde_json::{Map, Value, json};

#[test]
fn checksums_are_those_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    let cases: [(&[u8], u32); 6] = [
        (b"", 0),
        (b"123456789", 0xE306_9283),
        (&[0; 32], 0x8A91_36AA),
        (&[0xFF; 32], 0x62A8_AB43),
        (&ascending, 0x46DD_794E),
        (&descending, 0x113F_DB5C),
    ];
    for (bytes, crc) in cases {
        assert_eq!(crc32c(bytes), crc, "{bytes:?}");
    }
}

#[test]
fn an_event_file_begins_with_its_version_byte_for_byte() {
    // Made with the RecordWriter of TensorBoard 2.21.
    let mut golden = vec![24, 0, 0, 0, 0, 0, 0, 0, 0xA3, 0x7F, 0x4B, 0x22];
    golden.extend([0x09, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 0x1A, 13]);
    golden.extend(b"brain.Event:2");
    golden.extend([0x2A, 0x28, 0x64, 0x6C]);
    assert_eq!(event_file(&[], 1.5), golden);
}

#[test]
fn every_logged_step_becomes_an_event_under_the_names_of_transformers() {
    let history = history();
    let events = parse(&event_file(&history, 1.7e9));
    assert_eq!(events.len(), 4, "the version and three steps");
    assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
    assert!(events.iter().all(|event| event.wall_time == 1.7e9));
    assert_eq!(events[1].step, 1);
    let value = |name: &str, value: f32| (name.to_owned(), value);
    assert_eq!(events[1].values, [value("train/loss", 0.6875), value("train/rewards/margins", -0.25)]);
    assert_eq!(events[2].step, 300, "a step of two varint bytes");
    let eval = [value("train/epoch", 0.5), value("eval/loss", 0.5), value("eval/rewards/accuracies", 1.0)];
    assert_eq!(events[2].values, eval);
    assert_eq!((events[3].step, &events[3].values[..]), (301, &[][..]), "only what is no number");
}

#[test]
fn a_step_may_be_written_as_a_float_but_must_be_one() {
    let steps = |step: Value| {
        let entry = Map::from_iter([("step".to_owned(), step), ("loss".to_owned(), json!(1.0))]);
        parse(&event_file(&[entry], 0.0)).iter().skip(1).map(|event| event.step).collect::<Vec<_>>()
    };
    for step in [0, 1, 127, 128, 255, 256, 16_384] {
        assert_eq!((steps(json!(step)), steps(json!(step as f64))), (vec![step], vec![step]));
    }
    for bad in [json!(-1), json!(0.5), json!(1e300), json!(u64::MAX), json!("3"), json!(null)] {
        assert_eq!(steps(bad.clone()).len(), 0, "{bad}");
    }
}

#[test]
fn an_event_file_has_a_name_that_tensorboard_looks_for() {
    assert_eq!(event_file_name(1.7e9 + 0.5), "events.out.tfevents.1700000000.pairtune");
    assert_eq!(event_file_name(-1.0), "events.out.tfevents.0000000000.pairtune");
}

#[test]
fn csv_has_a_column_for_every_name_in_the_order_of_appearance() {
    let text = metrics_csv(&history());
    let lines: Vec<&str> = text.split("\r\n").collect();
    let want = [
        "step,loss,rewards/margins,epoch,eval_loss,eval_rewards/accuracies,eval_,note,list,nothing",
        "1,0.6875,-0.25,,,,,,,",
        "300,,,0.5,0.5,1,,,,",
        ",0.1,,,,,,,,",
        "301,,,,,,,\"a \"\"b\"\", c\",\"[1,2]\",",
        "",
    ];
    assert_eq!(lines, want);
    assert_eq!(metrics_csv(&[]), "");
}

#[test]
fn json_lines_are_the_entries_again() {
    let text = metrics_jsonl(&history());
    let read: Vec<Map<String, Value>> =
        text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(read, history());
    assert!(text.ends_with("}\n"), "the last line ends as well");
    assert_eq!(text.lines().next(), Some("{\"step\":1,\"loss\":0.6875,\"rewards/margins\":-0.25}"));
}

fn history() -> Vec<Map<String, Value>> {
    let entries = [
        json!({"step": 1, "loss": 0.6875, "rewards/margins": -0.25}),
        json!({"step": 300, "epoch": 0.5, "eval_loss": 0.5, "eval_rewards/accuracies": 1}),
        json!({"loss": 0.1, "eval_": null}),
        json!({"step": 301, "note": "a \"b\", c", "list": [1, 2], "nothing": null}),
    ];
    entries.map(|entry| entry.as_object().expect("an object").clone()).to_vec()
}

/// Fields that a reader finds in an event.
#[derive(Default)]
struct Event {
    wall_time: f64,
    step: u64,
    version: Option<String>,
    values: Vec<(String, f32)>,
}

enum Field<'a> {
    Varint(u64),
    Fixed(&'a [u8]),
    Bytes(&'a [u8]),
}

fn parse(mut file: &[u8]) -> Vec<Event> {
    let check = |bytes: &[u8], stored: &[u8]| {
        let stored = u32::from_le_bytes(stored.try_into().expect("four bytes")).wrapping_sub(0xA282_EAD8);
        assert_eq!(stored.rotate_left(15), crc32c(bytes), "the checksum of {bytes:?}");
    };
    let mut events = Vec::new();
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
        check(&file[..8], &file[8..12]);
        check(&file[12..12 + length], &file[12 + length..16 + length]);
        events.push(event(&file[12..12 + length]));
        file = &file[16 + length..];
    }
    events
}

fn event(bytes: &[u8]) -> Event {
    let mut event = Event::default();
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Fixed(b)) => event.wall_time = f64::from_le_bytes(b.try_into().expect("eight bytes")),
            (2, Field::Varint(step)) => event.step = step,
            (3, Field::Bytes(b)) => event.version = Some(String::from_utf8(b.to_vec()).expect("text")),
            (5, Field::Bytes(summary)) => event.values = fields(summary).into_iter().map(value).collect(),
            (number, _) => panic!("field {number} of an event"),
        }
    }
    event
}

fn value((number, field): (u64, Field<'_>)) -> (String, f32) {
    let Field::Bytes(bytes) = field else { panic!("a value is a message") };
    match (number, &fields(bytes)[..]) {
        (1, [(1, Field::Bytes(tag)), (2, Field::Fixed(x))]) => {
            (String::from_utf8(tag.to_vec()).expect("text"), f32::from_le_bytes((*x).try_into().expect("four bytes")))
        }
        _ => panic!("a value has a tag and a number"),
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Fixed(take(&mut bytes, 8)),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            5 => Field::Fixed(take(&mut bytes, 4)),
            kind => panic!("wire type {kind}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(length);
    *bytes = rest;
    head
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
