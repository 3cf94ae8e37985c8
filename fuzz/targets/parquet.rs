//! A Parquet file: every column of every row, and the rows as pairs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune::Result;
use pairtune::files::Parquet;
use pairtune_fuzz::{read_pairs_file, source};
use pollster::block_on;

/// Bytes that a row may have.
const MOST: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    drop(block_on(read(bytes)));
    read_pairs_file("pairs.parquet", bytes);
});

async fn read(bytes: &[u8]) -> Result<()> {
    let source = source("pairs.parquet", bytes);
    let parquet = Parquet::open(&source).await?;
    for index in 0..parquet.group_rows().len() {
        let mut group = parquet.group(index, &|_| true, MOST)?;
        while group.next(&source).await?.is_some() {}
    }
    Ok(())
}
