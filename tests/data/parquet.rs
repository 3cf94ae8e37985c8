//! Parquet files as pyarrow, pandas, datasets, polars, DuckDB and fastparquet write them (`tests/fixtures/parquet`).

use std::path::{Path, PathBuf};

use pairtune::data::{Columns, PairReader, PairsFile, Part, Record, Shape};
use pairtune::files::Parquet;
use pairtune::platform::{ByteSource as _, MemorySource};
use pollster::block_on;
use serde_json::{Map, Value};

use super::check_message;

/// Bytes that a row may have here.
const MOST: usize = 16 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet")
}

fn source(path: &Path) -> MemorySource {
    let bytes = std::fs::read(path).expect("a fixture");
    MemorySource { name: path.display().to_string(), bytes }
}

/// All rows of a file, or why one could not be read.
fn rows(source: &MemorySource) -> pairtune::Result<Vec<Map<String, Value>>> {
    let parquet = block_on(Parquet::open(source))?;
    let mut rows = Vec::new();
    for index in 0..parquet.group_rows().len() {
        let mut group = parquet.group(index, &|_| true, MOST)?;
        while let Some(row) = block_on(group.next(source))? {
            assert!(!row.too_long, "rows are short");
            rows.push(row.values);
        }
    }
    Ok(rows)
}

/// Pairs of a file as the app and the command line read them.
fn pairs(source: &MemorySource) -> pairtune::Result<PairReader> {
    let file = block_on(PairsFile::open(source))?;
    let columns = Columns::guess(file.columns());
    block_on(file.read(&columns, u64::MAX, &mut |_, _| true))
}

#[test]
fn files_of_all_tools_have_their_rows() {
    // `PAIRTUNE_PARQUET` names a folder of more files than are kept here; see make.py.
    let more = std::env::var_os("PAIRTUNE_PARQUET").map(PathBuf::from);
    let (mut n, mut wrong) = (0, Vec::new());
    for folder in [Some(folder()), more].into_iter().flatten() {
        for entry in std::fs::read_dir(folder).expect("fixtures") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|ending| ending != "parquet") {
                continue;
            }
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let kind = stem.split('_').next().expect("a kind");
            let own = path.with_extension("json");
            let json = if own.exists() { own } else { path.with_file_name(format!("{kind}.json")) };
            let Ok(json) = std::fs::read(json) else { continue };
            let wanted: Vec<Map<String, Value>> = serde_json::from_slice(&json).expect("rows");
            match rows(&source(&path)) {
                Ok(rows) if rows == wanted => {}
                Ok(rows) => {
                    let at = rows.iter().zip(&wanted).position(|(a, b)| a != b);
                    wrong.push(format!("{stem}: {} of {} rows, row {at:?} differs", rows.len(), wanted.len()));
                }
                Err(error) => wrong.push(format!("{stem}: {error}")),
            }
            n += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {n}: {wrong:#?}", wrong.len());
    assert!(n >= 9, "only {n} files were there");
}

#[test]
fn pairs_of_a_table_are_those_of_the_same_lines() {
    let lines = std::fs::read(folder().join("pairs.json")).expect("rows");
    let text = MemorySource { name: "pairs.json".to_owned(), bytes: lines };
    let (wanted, errors) = pairs(&text).expect("pairs").finish().expect("pairs");
    assert!(errors.is_empty(), "{errors:?}");
    let table = source(&folder().join("pairs_datasets.parquet"));
    let file = block_on(PairsFile::open(&table)).expect("a table");
    assert_eq!(file.shape(), Some(Shape::UltraFeedback), "told by its first row");
    let (records, errors) = pairs(&table).expect("pairs").finish().expect("pairs");
    assert!(errors.is_empty(), "{errors:?}");
    let content = |records: &[Record]| -> Vec<(usize, Value)> {
        records.iter().map(|record| (record.row, record.to_json())).collect()
    };
    // Keys of messages come in the order of the table's columns.
    assert_eq!(content(&records), content(&wanted), "the same rows");
    assert_eq!(records[4].scores, Some([7.5, 4.0]), "what others gave them");
    assert!(matches!(&records[0].prompt, Part::Messages(list) if list.len() == 1), "the question alone");
    assert_eq!(records[4].line, 5, "rows count from 1");
}

#[test]
fn a_row_that_lacks_an_answer_is_reported_and_the_others_stay() {
    let table = source(&folder().join("texts_pandas.parquet"));
    let (records, errors) = pairs(&table).expect("pairs").finish().expect("pairs");
    assert_eq!(records.len(), 8, "the others");
    let told: Vec<_> = errors.iter().map(|e| (e.line, e.what.as_str())).collect();
    let missing = "\"chosen\" or \"rejected\" is missing; the keys are: prompt, chosen, rejected, good, n";
    assert_eq!(told, [(4, missing)], "all keys are told, those that are not read too");
    assert!(errors[0].excerpt.starts_with("prompt: Question 3"), "{}", errors[0].excerpt);
}

#[test]
fn columns_are_read_through_ranges_and_no_others() {
    let table = source(&folder().join("pairs_datasets.parquet"));
    let parquet = block_on(Parquet::open(&table)).expect("a table");
    let mut group = parquet.group(0, &|name| name == "prompt", MOST).expect("a row group");
    let row = block_on(group.next(&table)).expect("a row").expect("a row");
    assert!(row.values["prompt"].is_string(), "it was asked for");
    assert_eq!(row.values["chosen"], Value::Null, "it was not");
    assert_eq!(row.values.len(), parquet.columns().len(), "but it has its key");
    assert!(row.bytes < 200, "only what was read counts");
}

#[test]
fn a_row_that_takes_too_much_is_passed() {
    let table = source(&folder().join("pairs_pyarrow_small_pages.parquet"));
    let parquet = block_on(Parquet::open(&table)).expect("a table");
    let mut group = parquet.group(0, &|_| true, 400).expect("a row group");
    let mut long = Vec::new();
    while let Some(row) = block_on(group.next(&table)).expect("rows") {
        long.push(row.too_long);
    }
    assert!(long.len() == 9 && long.contains(&true), "all rows are there: {long:?}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let brotli = source(&folder().join("brotli.parquet"));
    let error = pairs(&brotli).err().expect("another packing");
    check_message(&error, &["Brotli", "column \"prompt\"", "snappy, gzip or zstd", "brotli.parquet"]);
    let mut whole = source(&folder().join("pairs_datasets.parquet"));
    whole.bytes.truncate(whole.bytes.len() / 2);
    check_message(&pairs(&whole).err().expect("cut off"), &["its end is missing", "Fetch it again"]);
    let lies = MemorySource { name: "x".into(), bytes: b"PAR1\x15\x04\xff\xff\xff\x7fPAR1".to_vec() };
    check_message(&pairs(&lies).err().expect("a size"), &["claims to have 2147483647 bytes"]);
}

#[test]
fn damage_in_one_row_group_leaves_the_others() {
    let mut table = source(&folder().join("pairs_pyarrow_v2_zstd.parquet"));
    let parquet = block_on(Parquet::open(&table)).expect("a table");
    assert_eq!(parquet.group_rows(), [4, 4, 1], "three groups");
    // In the pages of the first group.
    table.bytes[20..60].fill(0xff);
    let (records, errors) = pairs(&table).expect("pairs").finish().expect("pairs");
    assert!(errors[0].what.contains("cannot be read") && errors[0].line == 1, "{errors:?}");
    assert_eq!(records.iter().map(|record| record.row).collect::<Vec<_>>(), [4, 5, 6, 7, 8], "TRL's row numbers");
}

#[test]
fn damaged_tables_never_panic() {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    // Some thousands, so that a test takes seconds; see make.py for more.
    let rounds = std::env::var("PAIRTUNE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    for entry in std::fs::read_dir(folder()).expect("fixtures") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "parquet") {
            continue;
        }
        let whole = source(&path);
        for _ in 0..rounds {
            let mut damaged = MemorySource { name: String::new(), bytes: whole.bytes.clone() };
            for _ in 0..=random(3) {
                let at = random(damaged.bytes.len());
                damaged.bytes[at] = if random(2) == 0 { damaged.bytes[at] ^ 1 << random(8) } else { random(256) as u8 };
            }
            if random(8) == 0 {
                damaged.bytes.truncate(random(whole.len() as usize));
            }
            drop(rows(&damaged));
            drop(pairs(&damaged));
        }
    }
}
