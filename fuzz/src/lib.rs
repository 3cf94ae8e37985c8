//! What the fuzz targets share: files in memory, and a bound on what may be allocated at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use pairtune::data::{Columns, Fields, Kind, Message, PairsFile, Tokenizer};
use pairtune::platform::{MemoryFolder, MemorySource};
use pollster::block_on;
use serde_json::{Value, json};

/// Bytes that a target may hold at a time. Inputs have some kilobytes: whatever takes more was made of a size that the
/// input claims.
const MOST: usize = 512 << 20;

#[global_allocator]
static BOUNDED: Bounded = Bounded { held: AtomicUsize::new(0) };

/// The system's allocator up to `MOST` bytes. Beyond them memory is out: code that asks with `try_reserve` can say so,
/// all other code ends the process, which is what the fuzzer reports.
struct Bounded {
    held: AtomicUsize,
}

// SAFETY: every layout and every pointer goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.held.fetch_add(layout.size(), Ordering::Relaxed) + layout.size() > MOST {
            self.held.fetch_sub(layout.size(), Ordering::Relaxed);
            return null_mut();
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A folder of these files.
pub fn folder(files: &[(&str, &[u8])]) -> MemoryFolder {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    MemoryFolder { name: "folder".to_owned(), files }
}

/// One file.
pub fn source(name: &str, bytes: &[u8]) -> MemorySource {
    MemorySource { name: name.to_owned(), bytes: bytes.to_vec() }
}

/// Reads a file as the app and the command line do: as pairs, and as each other kind of rows.
pub fn read_pairs_file(name: &str, bytes: &[u8]) {
    let source = source(name, bytes);
    let Ok(file) = block_on(PairsFile::open(&source)) else { return };
    let columns = Columns::guess(file.columns());
    if let Ok(reader) = block_on(file.read(&columns, u64::MAX, &mut |_, _| true)) {
        for record in reader.into_rows().0 {
            record.to_json();
        }
    }
    let fields = Fields::guess(file.columns());
    for kind in [Kind::Completions, Kind::Labelled, Kind::Prompts] {
        if let Ok(reader) = block_on(file.read_samples(kind, &fields, u64::MAX, &mut |_, _| true)) {
            for sample in reader.into_rows().0 {
                sample.to_json();
            }
        }
    }
}

/// Opens the tokenizer in a folder of these files, takes a text apart and puts it together again. In a thread of its
/// own: the `tokenizers` crate keeps the words of every tokenizer for as long as a thread lives.
pub fn use_tokenizer(files: &[(&str, &[u8])]) {
    let folder = folder(files);
    let thread = std::thread::spawn(move || {
        let Ok(tokenizer) = block_on(Tokenizer::open(&folder)) else { return };
        if let Ok(ids) = tokenizer.encode(TEXT, true) {
            drop(tokenizer.decode(&ids, false));
        }
        drop(tokenizer.decode(&[0, 1, u32::MAX], true));
    });
    thread.join().expect("a panic has ended the process");
}

/// Text of all kinds: letters, digits, emoji, special tokens, several spaces.
const TEXT: &str = "Hello  world 123's<|im_end|>\r\n\t naïve 日本 👩‍👧 \u{fffd}\u{0} مرحبا\n\n</s>";

/// A conversation with all that a message may have.
pub fn conversation() -> Vec<Message> {
    let messages = json!([
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "What is the weather in Ulm?"}]},
        {"role": "assistant", "content": null, "reasoning": "A tool knows.", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Ulm", "days": 2}}}]},
        {"role": "tool", "name": "weather", "content": "{\"rain\": true}"},
        {"role": "assistant", "content": " It rains. 🌧 "},
    ]);
    let Value::Array(messages) = messages else { return Vec::new() };
    messages.into_iter().filter_map(|message| message.as_object().cloned()).collect()
}
