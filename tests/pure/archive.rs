//! Archives of runs: what is packed comes back, and what is damaged or meant badly is refused with its reason.

use std::io::{Cursor, Write as _};

use pairtune::files::{MAX_ARCHIVE_BYTES, check_archive_size, pack, unpack};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[test]
fn what_is_packed_comes_back_in_order() {
    let files = files();
    let bytes = pack(&files).expect("packed");
    assert_eq!(unpack("a.run", &bytes).expect("unpacked"), files);
    assert_eq!(unpack("empty.run", &pack(&[]).expect("packed")).expect("unpacked"), []);
}

#[test]
fn the_same_files_give_the_same_bytes_uncompressed() {
    let bytes = pack(&files()).expect("packed");
    assert_eq!(bytes, pack(&files()).expect("packed again"));
    let text = b"{\"beta\": 0.1}";
    assert!(bytes.windows(text.len()).any(|window| window == text), "the content lies there as it is");
    // Local header: version, flags, method, then time 0 and the date 1980-01-01.
    assert_eq!(bytes[..14], [b'P', b'K', 3, 4, 10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
    let directory = find(&bytes, b"PK\x01\x02");
    assert_eq!(bytes[directory + 5], 3, "made by Unix, on whatever system");
}

#[test]
fn names_that_do_not_belong_are_neither_packed_nor_unpacked() {
    let cases = [
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("/etc/x", "absolute"),
        ("C:/x", "colon"),
        ("a\\b", "backslash"),
        ("a//b", "empty part"),
        ("./a", "empty part"),
        ("a\nb", "control character"),
        ("a/NUL.json", "Windows"),
        ("com1", "Windows"),
        ("a./b", "Windows"),
        ("", "no name"),
    ];
    for (name, reason) in cases {
        check(pack(&[(name.to_owned(), vec![1])]).err(), &[reason, "relative path", name]);
        check(unpack("a.run", &zip(&[(name, b"x")])).err(), &[reason, "a.run, entry", name]);
    }
}

#[test]
fn names_that_collide_are_refused() {
    let cases = [
        (["a", "a"], "comes twice"),
        (["a.json", "A.json"], "comes twice"),
        (["a", "a/b"], "name of a file"),
        (["A/b", "a"], "the folder of"),
    ];
    for (names, reason) in cases {
        let files = names.map(|name| (name.to_owned(), Vec::new()));
        check(pack(&files).err(), &[reason, names[1]]);
    }
    // The reader shows only the last of two entries with one name in the directory.
    let mut bytes = zip(&[("a.json", b"1"), ("b.json", b"2")]);
    while let Some(at) = bytes.windows(6).position(|window| window == b"b.json") {
        bytes[at] = b'a';
    }
    check(unpack("a.run", &bytes).err(), &["\"a.json\" comes twice", "a.run, entry a.json"]);
}

#[test]
fn damage_is_found_by_the_checksum_and_named() {
    let mut bytes = pack(&files()).expect("packed");
    let at = find(&bytes, b"0.1}");
    bytes[at] = b'9';
    check(unpack("a.run", &bytes).err(), &["damaged", "checksum", "a.run, entry settings/config.json"]);
}

#[test]
fn every_archive_that_is_cut_short_or_has_a_changed_byte_is_refused_or_whole() {
    let files = files();
    let bytes = pack(&files).expect("packed");
    for length in 0..bytes.len() {
        check(unpack("a.run", &bytes[..length]).err(), &["a.run"]);
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            // Bytes that nobody reads (a time, a permission) may differ; the contents must not.
            if let Ok(found) = unpack("a.run", &changed) {
                let contents =
                    |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.1.clone()).collect::<Vec<_>>();
                assert_eq!(contents(&found), contents(&files), "byte {at} with {flip:#x}");
            }
        }
    }
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    check(unpack("notes.txt", b"Dear diary").err(), &["no archive of a run", "notes.txt"]);
    check(unpack("empty", b"").err(), &["no archive of a run"]);
}

#[test]
fn compressed_entries_and_links_are_refused_by_name() {
    // Method 8 is "deflated": written into both headers of a stored entry.
    let mut bytes = zip(&[("a.json", b"12345")]);
    let directory = find(&bytes, b"PK\x01\x02");
    bytes[8] = 8;
    bytes[directory + 10] = 8;
    check(unpack("a.run", &bytes).err(), &["compressed", "zip -0", "entry a.json"]);

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("a.json", "/etc/passwd", SimpleFileOptions::default()).expect("a link");
    let bytes = writer.finish().expect("bytes").into_inner();
    check(unpack("a.run", &bytes).err(), &["link", "entry a.json"]);

    let mut bytes = zip(&[("a.json", b"12345")]);
    let directory = find(&bytes, b"PK\x01\x02");
    bytes[6] |= 1;
    bytes[directory + 8] |= 1;
    check(unpack("a.run", &bytes).err(), &["encrypted", "entry a.json"]);
}

#[test]
fn folders_and_what_stands_before_the_archive_are_passed_over() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.add_directory("adapter/", options).expect("a folder");
    writer.start_file("adapter/a.json", options).expect("an entry");
    writer.write_all(b"1").expect("written");
    let archive = writer.finish().expect("bytes").into_inner();
    let want = [("adapter/a.json".to_owned(), b"1".to_vec())];
    assert_eq!(unpack("a.run", &archive).expect("unpacked"), want);
    let with_stub = [b"#!/bin/sh\n".as_slice(), &archive].concat();
    assert_eq!(unpack("a.run", &with_stub).expect("unpacked"), want);
}

#[test]
fn sizes_that_the_archive_cannot_hold_are_refused_before_memory_is_taken() {
    let claim = |size: u32| {
        let mut bytes = zip(&[("a.json", b"12345")]);
        let directory = find(&bytes, b"PK\x01\x02");
        for at in [18, 22, directory + 20, directory + 24] {
            bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
        }
        unpack("a.run", &bytes).err()
    };
    check(claim(1 << 30), &["larger than the archive"]);
    check(claim(3 << 30), &["3.0 GiB", "2 GiB"]);
    assert_eq!(MAX_ARCHIVE_BYTES, 1 << 31);
    check(check_archive_size("a.run", 3 << 30).err(), &["3.0 GiB", "a.run"]);
    assert!(check_archive_size("a.run", MAX_ARCHIVE_BYTES + 1000).is_ok(), "names and headers come on top");
}

fn files() -> Vec<(String, Vec<u8>)> {
    let binary: Vec<u8> = (0..=255).collect();
    vec![
        ("settings/config.json".to_owned(), b"{\"beta\": 0.1}".to_vec()),
        ("adapter.safetensors".to_owned(), binary),
        ("Notizen für später.txt".to_owned(), Vec::new()),
    ]
}

/// An archive without our checks.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in entries {
        writer.start_file(*name, options).expect("an entry");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("bytes").into_inner()
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("it is there")
}

fn check(error: Option<pairtune::Error>, parts: &[&str]) {
    let text = error.map_or_else(|| "no error".to_owned(), |e| e.to_string());
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}
