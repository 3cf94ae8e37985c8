//! Metrics as other tools read them: a TensorBoard event file, CSV and JSON lines.
//!
//! An event file is a row of TFRecords (length, its checksum, data, its checksum), of which each holds one protobuf
//! `Event`. The few fields that are needed are written by hand.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// The bytes of a TensorBoard event file: the version, then one event per entry that has a `step`, in order.
///
/// Numbers get the names that transformers' `TensorBoardCallback` gives them: `eval/..` for `eval_..`, `test/..` for
/// `test_..`, else `train/..`. Entries without a step, and values that are not numbers, are left out. `wall_time` is in
/// seconds since 1970, and stands on every event.
pub fn event_file(history: &[Map<String, Value>], wall_time: f64) -> Vec<u8> {
    let mut file = Vec::new();
    let mut version = Vec::new();
    put_double(&mut version, event::WALL_TIME, wall_time);
    put_bytes(&mut version, event::FILE_VERSION, b"brain.Event:2");
    put_record(&mut file, &version);
    for entry in history {
        let Some(step) = entry.get("step").and_then(whole) else { continue };
        let mut summary = Vec::new();
        for (key, number) in entry.iter().filter_map(|(key, value)| Some((key, value.as_f64()?))) {
            if key == "step" {
                continue;
            }
            let mut value = Vec::new();
            put_bytes(&mut value, event::TAG, tag(key).as_bytes());
            put_float(&mut value, event::SIMPLE_VALUE, number as f32);
            put_bytes(&mut summary, event::VALUE, &value);
        }
        let mut event = Vec::new();
        put_double(&mut event, event::WALL_TIME, wall_time);
        put_varint(&mut event, event::STEP << 3);
        put_varint(&mut event, step);
        put_bytes(&mut event, event::SUMMARY, &summary);
        put_record(&mut file, &event);
    }
    file
}

/// A name under which TensorBoard finds the file, for events that begin at `wall_time`.
pub fn event_file_name(wall_time: f64) -> String {
    format!("events.out.tfevents.{:010}.pairtune", wall_time.max(0.0) as u64)
}

/// The metrics as CSV (RFC 4180): a column per name in the order of first appearance, a row per entry.
///
/// A value that an entry lacks, or that is null, is an empty field.
pub fn metrics_csv(history: &[Map<String, Value>]) -> String {
    let mut seen = HashSet::new();
    let names: Vec<&str> = history.iter().flat_map(Map::keys).map(String::as_str).filter(|k| seen.insert(*k)).collect();
    if names.is_empty() {
        return String::new();
    }
    let line = |fields: Vec<String>| fields.join(",") + "\r\n";
    let mut text = line(names.iter().map(|name| quoted(name)).collect());
    for entry in history {
        let field = |name: &&str| match entry.get(*name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(value)) => quoted(value),
            Some(value) => quoted(&value.to_string()),
        };
        text += &line(names.iter().map(field).collect());
    }
    text
}

/// The metrics as JSON lines, one object per entry.
pub fn metrics_jsonl(history: &[Map<String, Value>]) -> String {
    history.iter().map(|entry| format!("{}\n", Value::Object(entry.clone()))).collect()
}

/// The CRC-32C (Castagnoli) of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}

/// Numbers of the fields in `tensorflow/core/util/event.proto` and `summary.proto`.
mod event {
    pub(super) const WALL_TIME: u64 = 1;
    pub(super) const STEP: u64 = 2;
    pub(super) const FILE_VERSION: u64 = 3;
    pub(super) const SUMMARY: u64 = 5;
    pub(super) const VALUE: u64 = 1;
    pub(super) const TAG: u64 = 1;
    pub(super) const SIMPLE_VALUE: u64 = 2;
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let (mut crc, mut bit) = (i as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn tag(key: &str) -> String {
    for split in ["eval", "test"] {
        if let Some(name) = key.strip_prefix(split).and_then(|rest| rest.strip_prefix('_')) {
            return format!("{split}/{name}");
        }
    }
    format!("train/{key}")
}

/// A step, however its number was written.
fn whole(value: &Value) -> Option<u64> {
    let of_float = |v: f64| (v >= 0.0 && v.fract() == 0.0 && v < 2f64.powi(53)).then_some(v as u64);
    value.as_u64().filter(|step| i64::try_from(*step).is_ok()).or_else(|| value.as_f64().and_then(of_float))
}

fn put_record(file: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked_crc(&length).to_le_bytes());
    file.extend(data);
    file.extend(masked_crc(data).to_le_bytes());
}

/// The checksum of a TFRecord: rotated and shifted, so that a checksum of checksums stays a good one.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_double(out: &mut Vec<u8>, field: u64, value: f64) {
    put_varint(out, field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn put_float(out: &mut Vec<u8>, field: u64, value: f32) {
    put_varint(out, field << 3 | 5);
    out.extend(value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend(value);
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
