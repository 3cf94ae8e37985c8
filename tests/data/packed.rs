//! Pairs that gzip or zstd packed, whole and damaged, and small files that unpack to very much.

use std::io::Write as _;
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use pairtune::Error;
use pairtune::data::{Columns, LineError, PairsFile, Record};
use pairtune::files::{Packing, Unpacker};
use pairtune::platform::MemorySource;
use pollster::block_on;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::check_message;

const LINES: &str = "{\"prompt\": \"Hé\", \"chosen\": \"b\", \"rejected\": \"c\"}\n\
    {\"prompt\": \"d\", \"chosen\": 5, \"rejected\": \"f\"}\n\
    {\"prompt\": \"g\", \"chosen\": \"h\", \"rejected\": \"i\"}\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("it is packed");
    encoder.finish().expect("it is packed")
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

/// The pairs of a file with this name, as the app and the command line read them.
fn pairs(name: &str, bytes: Vec<u8>) -> Result<(Vec<Record>, Vec<LineError>), Error> {
    let source = MemorySource { name: name.to_owned(), bytes };
    let file = block_on(PairsFile::open(&source))?;
    let columns = Columns::guess(file.columns());
    Ok(block_on(file.read(&columns, u64::MAX, &mut |_, _| true))?.into_rows())
}

/// A line for each of so many pairs, which are long enough to fill several blocks.
fn many(n: usize) -> String {
    let line = |i: usize| format!("{{\"prompt\": \"p{i}\", \"chosen\": \"{}\", \"rejected\": \"c\"}}\n", i * i * 7919);
    (0..n).map(line).collect()
}

#[test]
fn packed_text_of_every_format_is_read_as_the_text_is() {
    let array = format!("[{}]", LINES.trim_end().replace('\n', ",\n"));
    let table = "frage,gut,schlecht,chosen,rejected\n\"a\nb\",c,d,e,f\ng,h,i,j,k\n";
    let tabs = "question\tchosen\trejected\na, b\tc\td\n";
    let long = many(20_000);
    let texts =
        [("p.jsonl", LINES), ("p.json", &array), ("p.csv", table), ("p.tsv", tabs), ("p.ndjson", long.as_str())];
    for (name, text) in texts {
        let wanted = pairs(name, text.as_bytes().to_vec()).expect("pairs");
        assert!(!wanted.0.is_empty(), "{name}");
        for ending in [".gz", ".GZ", ".zst", ".zstd"] {
            let pack = if ending.eq_ignore_ascii_case(".gz") { gzip } else { zstd };
            let packed = pack(text.as_bytes());
            assert_eq!(pairs(&format!("{name}{ending}"), packed).expect(ending), wanted, "{name}{ending}");
        }
        // Its first bytes tell, and not its name.
        assert_eq!(pairs(name, gzip(text.as_bytes())).expect("gzip"), wanted, "{name}");
        // Several members, or frames, one after the other.
        let (begin, end) = text.as_bytes().split_at(text.len() / 2);
        for pack in [gzip, zstd] {
            assert_eq!(pairs(name, [pack(begin), pack(end)].concat()).expect("both"), wanted, "{name} in two");
        }
    }
}

#[test]
fn what_the_zstd_program_writes_is_read() {
    let text = many(30_000);
    let wanted = pairs("p.jsonl", text.clone().into_bytes()).expect("pairs");
    for level in ["-1", "-19", "--long=27"] {
        let mut program =
            match Command::new("zstd").args([level, "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
                Ok(program) => program,
                // Frames of our own are read above.
                Err(_) => return,
            };
        let (mut stdin, bytes) = (program.stdin.take().expect("its input"), text.clone().into_bytes());
        let writer = std::thread::spawn(move || stdin.write_all(&bytes));
        let packed = program.wait_with_output().expect("it ends").stdout;
        writer.join().expect("it ends").expect("it takes the text");
        let skipped = [&b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"[..], &packed].concat();
        for packed in [packed, skipped] {
            assert_eq!(pairs("p.jsonl.zst", packed).expect("pairs"), wanted, "zstd {level}");
        }
    }
}

#[test]
fn a_packed_file_that_is_cut_off_keeps_the_rows_before() {
    let text = many(20_000);
    for packed in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        let half = packed[..packed.len() / 2].to_vec();
        let (records, errors) = pairs("p.jsonl", half).expect("the rows before");
        assert!(records.len() > 100 && records.len() < 20_000, "{} rows", records.len());
        let told = errors.iter().find(|error| error.what.contains("packed file is damaged")).expect("it is told");
        assert!(told.fix.contains("fetch it again"), "{told}");
    }
    let broken = [&gzip(LINES.as_bytes())[..12], &[0xff; 40]].concat();
    check_message(&pairs("p.jsonl.gz", broken).expect_err("no row"), &["packed file is damaged", "p.jsonl.gz"]);
    let twice = gzip(&gzip(LINES.as_bytes()));
    check_message(&pairs("p.jsonl.gz.gz", twice).expect_err("packed twice"), &["This is a compressed file"]);
}

#[test]
fn small_files_that_unpack_to_very_much_take_little_memory() {
    let zeros = gzip(&vec![b' '; 12 << 20]);
    // A frame with a window of 128 KiB whose blocks are 128 KiB of one byte each, in four bytes.
    let mut blocks = b"\x28\xb5\x2f\xfd\x00\x38".to_vec();
    for i in 0..500_u32 {
        let head = 128 << 13 | 1 << 1 | u32::from(i == 499);
        blocks.extend(&head.to_le_bytes()[..3]);
        blocks.push(b' ');
    }
    for (packing, bytes, size) in [(Packing::Gzip, zeros, 12 << 20), (Packing::Zstd, blocks, 500 * (128 << 10))] {
        assert_eq!(Packing::of(&bytes), Some(packing), "by its first bytes");
        let (mut unpacker, mut all, mut most) = (Unpacker::new(packing, "x"), 0, 0);
        let mut take = |piece: &[u8]| {
            (all, most) = (all + piece.len(), most.max(piece.len()));
            Ok(())
        };
        unpacker.push(&bytes, &mut take).expect("it is whole");
        unpacker.end(&mut take).expect("it is whole");
        assert_eq!(all, size, "{packing:?}: all of it");
        assert!(most < 5 << 20, "{packing:?}: {most} bytes at once");
        let (records, errors) = pairs("p.jsonl", bytes).expect("blanks");
        assert!(records.is_empty() && errors.len() <= 1, "{packing:?}: {errors:?}");
    }
    // A window of 2 GiB is refused before it is there.
    let wide = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00".to_vec();
    check_message(&pairs("p.jsonl.zst", wide).expect_err("a window"), &["2048 MiB of memory", "without --long"]);
}

#[test]
fn damaged_packed_files_never_panic() {
    let text = many(300);
    for whole in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        for at in 0..whole.len().min(1500) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            drop(pairs("p.jsonl", damaged));
            drop(pairs("p.csv.gz", whole[..at].to_vec()));
        }
    }
}
