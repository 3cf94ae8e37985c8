//! The layout rules of the source tree, read from the files: who may import whom, where platform differences live,
//! one name in four homes, headers, and the words that are not left behind. No GPU.
//!
//! Each rule is a function from a file to its findings; the tests at the end show that each one can fail.

use std::collections::BTreeSet;
use std::path::Path;

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/language.rs"]
mod language;

/// Layers that each layer may see, downwards only (ARCHITECTURE.md). `engine::protocol` stands for that module and what
/// is in it.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("platform", &["error"]),
    ("gpu", &["error"]),
    ("files", &["platform", "error"]),
    ("data", &["files", "platform", "error"]),
    ("kernels", &["gpu", "error"]),
    ("reference", &[]),
    ("doctor", &["gpu", "kernels", "reference", "files", "error", "platform"]),
    ("model", &["kernels", "files", "gpu", "platform", "error"]),
    ("train", &["model", "data", "files", "kernels", "gpu", "platform", "error"]),
    ("bench", &["train", "model", "data", "files", "kernels", "gpu", "platform", "error"]),
    ("engine", &["bench", "train", "model", "data", "files", "kernels", "gpu", "platform", "doctor", "error"]),
    ("link", &["engine", "platform", "error"]),
    (
        "app",
        &[
            "engine::protocol",
            "engine::plan::field_help",
            "engine::plan::presets",
            "engine::stats",
            "engine::run::warnings",
            "link",
            "platform",
            "error",
        ],
    ),
];

/// Places that put the layers together and may see all of them.
const BINARIES: &[&str] = &["src/main.rs", "src/cli/", "src/bin/"];

/// Names of crates, and the only places that know them. A name ending in `*` stands for all that begin so.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("wgpu", &["src/gpu/"], "the GPU is behind gpu::{Gpu, Tensor, Recorder}"),
    ("egui*", &["src/app/", "src/main.rs"], "only the app draws"),
    ("eframe", &["src/app/", "src/main.rs"], "only the app has a window"),
    ("tokenizers", &["src/data/tokens/"], "the rest of the code sees data::Tokenizer"),
    ("flate2", &["src/files/"], "packed bytes come through files::{Unpacker, Parquet}"),
    ("ruzstd", &["src/files/"], "packed bytes come through files::{Unpacker, Parquet}"),
    ("snap", &["src/files/"], "packed bytes come through files::{Unpacker, Parquet}"),
    ("plotters", &["src/cli/trials/plot.rs"], "figures come from cli::trials::plot"),
    ("ureq", &["src/platform/native_http.rs"], "the desktop app has no connection but by platform::host::Hub"),
    ("safetensors", &["src/files/"], "the rest of the code sees files::{TensorFiles, parse, serialize_f32}"),
];

/// Paths in `std` that the browser lacks, and the only places that use them.
const NATIVE: &[(&str, &[&str], &str)] = &[
    (
        "std::fs",
        &[
            "src/platform/native.rs",
            "src/platform/native_app.rs",
            "src/platform/native_hub.rs",
            "src/platform/dialogs.rs",
            "src/platform/native_folders.rs",
            "src/platform/native_memory.rs",
            "src/platform/native_models.rs",
            "src/main.rs",
            "src/cli/",
        ],
        "files come through platform::{ByteSource, Folder}",
    ),
    ("std::time::Instant", PLATFORM_SIDE, "the clock is the platform's; this one panics in the browser"),
    ("std::time::SystemTime", PLATFORM_SIDE, "the clock is the platform's; this one panics in the browser"),
    ("std::thread", PLATFORM_SIDE, "the browser has no threads; work is moved by link"),
];
const PLATFORM_SIDE: &[&str] = &["src/platform/", "src/link/", "src/main.rs", "src/cli/", "src/bin/"];

/// The files that may ask which platform they are built for.
const CFG_FILES: &[&str] = &["src/platform/mod.rs", "src/link/mod.rs", "src/main.rs", "src/bin/"];

/// Leftovers that src/ and tests/ must not have.
const LEFTOVERS: &[(&str, &str)] = &[
    ("todo!", "write it, or leave it out"),
    ("unimplemented!", "write it, or leave it out"),
    ("dbg!", "use log, or an assertion's message"),
    ("#[ignore", "a test that is not run proves nothing"),
    ("#[allow(", "use #[expect(.., reason = \"..\")], which ends when its reason does"),
    ("#![allow(", "use #![expect(.., reason = \"..\")], which ends when its reason does"),
];

const MAX_COLUMNS: usize = 120;

#[test]
fn layers_import_downwards() {
    assert_none(sources("src", "rs").iter().flat_map(layer_imports).collect());
}

#[test]
fn every_layer_of_lib_rs_is_in_the_table() {
    let lib = read("src/lib.rs");
    let known = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    let modules = lib.code.lines().enumerate().filter_map(|(i, line)| Some((i, line.trim().strip_prefix("pub mod ")?)));
    let unknown = modules.filter(|(_, name)| !known(name.trim_end_matches(';')));
    assert_none(
        unknown.map(|(i, name)| lib.finding(i + 1, format!("`{name}` is not in the table of layers"))).collect(),
    );
}

#[test]
fn crates_are_named_in_one_place() {
    assert_none(sources("src", "rs").iter().flat_map(confined_crates).collect());
}

#[test]
fn the_platform_is_asked_in_one_place() {
    assert_none(sources("src", "rs").iter().flat_map(platform_cfgs).collect());
}

#[test]
fn what_the_browser_lacks_stays_in_the_platform() {
    assert_none(sources("src", "rs").iter().flat_map(native_paths).collect());
}

#[test]
fn one_name_has_four_homes() {
    let kernels = sources("src/kernels", "rs");
    let reference = sources("src/reference", "rs");
    let (checks, tests) = (sources("src/doctor", "rs"), read("tests/kernels.rs"));
    let shaders: Vec<Source> = sources("shaders", "wgsl").into_iter().filter(|s| !s.is_in("shaders/lib/")).collect();
    assert!(!shaders.is_empty(), "there are shaders");
    let mut found: Vec<String> =
        shaders.iter().flat_map(|shader| homes(shader, &kernels, &reference, &checks, &tests)).collect();
    found.extend(file_pairs(&kernels, &reference));
    assert_none(found);
}

#[test]
fn files_begin_with_what_they_are_for() {
    assert_none(sources("src", "rs").iter().filter_map(header).collect());
}

#[test]
fn folder_files_only_list() {
    let mut files: Vec<Source> = sources("src", "rs").into_iter().filter(|s| s.path.ends_with("/mod.rs")).collect();
    files.push(read("src/lib.rs"));
    assert_none(files.iter().flat_map(only_lists).collect());
}

#[test]
fn lines_fit_the_screen() {
    let mut files = sources("", "rs");
    files.extend(sources("", "wgsl"));
    files.extend(sources("", "sh"));
    files.push(read(".ci/run"));
    assert_none(files.iter().flat_map(long_lines).collect());
}

#[test]
fn nothing_is_left_behind() {
    let files = sources("src", "rs").into_iter().chain(sources("tests", "rs"));
    assert_none(files.flat_map(|source| leftovers(&source)).collect());
}

#[test]
fn docs_name_what_exists() {
    let functions: BTreeSet<String> = sources("src/reference", "rs").iter().flat_map(public_functions).collect();
    let exists = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists();
    let files = sources("src", "rs").into_iter().chain(sources("tests", "rs"));
    assert_none(files.flat_map(|source| false_mentions(&source, &functions, exists)).collect());
}

/// Mentions of `crate::<layer>` that the table does not allow, and ways around it.
fn layer_imports(source: &Source) -> Vec<String> {
    if source.path == "src/lib.rs" || BINARIES.iter().any(|place| source.is_in(place)) {
        return Vec::new();
    }
    let below = source.path.strip_prefix("src/").unwrap_or(&source.path);
    let own = below.split('/').next().unwrap_or(below).trim_end_matches(".rs");
    let Some((_, may_see)) = LAYERS.iter().find(|(layer, _)| *layer == own) else {
        return vec![source.finding(1, format!("`{own}` is not in the table of layers: say what it may see"))];
    };
    let mut found = Vec::new();
    for (line, path) in source.paths("crate") {
        let mut parts = path.iter().map(String::as_str).skip(1);
        let first = match parts.next() {
            // lib.rs re-exports these.
            Some("Error" | "Result") => "error",
            Some(first) => first,
            None => continue,
        };
        let rest: Vec<&str> = parts.collect();
        let whole = format!("{first}::{}::", rest.join("::"));
        if first != own && !may_see.iter().any(|seen| whole.starts_with(&format!("{seen}::"))) {
            let list = if may_see.is_empty() { "nothing".to_owned() } else { may_see.join(", ") };
            found.push(source.finding(line, format!("`{}`: {own} may see only {list}", path.join("::"))));
        }
    }
    let is_root = source.path.ends_with("/mod.rs") || !below.contains('/');
    for (line, at) in source.words("super") {
        let after = &source.code[at..];
        if after.starts_with("super::super") || (is_root && after.starts_with("super::")) {
            found.push(source.finding(line, "leaves the layer by `super`: name what is above with `crate::`"));
        }
    }
    for (line, at) in source.words("pairtune") {
        if source.code[at..].starts_with("pairtune::") {
            found.push(source.finding(line, "the library names itself: use `crate::`"));
        }
    }
    found
}

/// Names of crates outside of the files that may know them.
fn confined_crates(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (pattern, places, reason) in CONFINED {
        if places.iter().any(|place| source.is_in(place)) {
            continue;
        }
        for (line, word, at) in source.all_words() {
            let named = match pattern.strip_suffix('*') {
                Some(start) => word.starts_with(start),
                None => word == *pattern,
            };
            let used = source.code[at + word.len()..].trim_start().starts_with("::")
                || source.code[..at].trim_end().ends_with("use")
                || source.code[..at].trim_end().ends_with("extern crate");
            if named && used {
                found.push(source.finding(line, format!("`{word}` belongs to {}: {reason}", places.join(", "))));
            }
        }
    }
    found
}

/// Questions for the platform outside of the facades.
fn platform_cfgs(source: &Source) -> Vec<String> {
    if CFG_FILES.iter().any(|place| source.is_in(place)) {
        return Vec::new();
    }
    let asked = ["target_arch", "target_family"].into_iter().flat_map(|word| source.words(word));
    let reason = format!("only {} ask for the platform: give both the same names there", CFG_FILES.join(", "));
    asked.map(|(line, _)| source.finding(line, &reason)).collect()
}

/// Paths in `std` that do not exist, or panic, in the browser.
fn native_paths(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, path) in source.paths("std") {
        let path = path.join("::");
        for (native, places, reason) in NATIVE {
            let is_native = path == *native || path.starts_with(&format!("{native}::"));
            // A whole module, under whose name the rest could be reached unseen.
            let parent = native.rsplit_once("::").map_or("", |(parent, _)| parent);
            let hides = path == parent || [format!("{parent}::self"), format!("{parent}::*")].contains(&path);
            if (is_native || hides) && !places.iter().any(|place| source.is_in(place)) {
                found.push(source.finding(line, format!("`{path}` is for {}: {reason}", places.join(", "))));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The homes of a shader's name: a kernel, its CPU twin, a check in the doctor that is called, and a test.
fn homes(shader: &Source, kernels: &[Source], reference: &[Source], checks: &[Source], tests: &Source) -> Vec<String> {
    // A variant has the homes of the kernel it varies.
    let defines = |sources: &[Source], stem: &str| sources.iter().any(|source| public_functions(source).contains(stem));
    let whole = shader.stem();
    let variants = ["_row_subgroup", "_rows_subgroup", "_subgroup", "_wide", "_rows", "_staged", "_thin"];
    let varied = variants.into_iter().find_map(|v| whole.strip_suffix(v));
    let stem = varied.filter(|stem| defines(kernels, stem)).unwrap_or(whole);
    let defined = |sources: &[Source]| defines(sources, stem);
    let mut found = Vec::new();
    if !defined(kernels) {
        found.push(shader.finding(1, format!("src/kernels has no `pub fn {stem}`")));
    }
    if !defined(reference) {
        found.push(shader.finding(1, format!("src/reference has no `pub fn {stem}`, the f64 twin")));
    }
    if !defined(checks) {
        found.push(shader.finding(1, format!("src/doctor has no `pub async fn {stem}`")));
    } else if !checks.iter().any(|source| called(source, stem)) {
        found.push(shader.finding(1, format!("src/doctor never calls `{stem}`: add it to check_all")));
    }
    let test = tests.words(stem).into_iter().any(|(_, at)| {
        let before = tests.code[..at].trim_end().strip_suffix("fn").map_or("", str::trim_end);
        let before = before.strip_suffix("async").map_or("", str::trim_end);
        before.ends_with("everywhere! {") && tests.code[at + stem.len()..].starts_with("()")
    });
    if !test {
        found.push(shader.finding(1, format!("{} has no `everywhere! {{ async fn {stem}() }}`", tests.path)));
    }
    found
}

/// True if `name(` occurs as a call of a function in the same file.
fn called(source: &Source, name: &str) -> bool {
    source.words(name).into_iter().any(|(_, at)| {
        let before = source.code[..at].trim_end();
        let is_own = !before.ends_with("::") && !before.ends_with('.') && !before.ends_with("fn");
        is_own && source.code[at + name.len()..].starts_with('(')
    })
}

/// Kernels and their twins lie in files of the same names.
fn file_pairs(kernels: &[Source], reference: &[Source]) -> Vec<String> {
    let stems = |sources: &[Source]| -> BTreeSet<String> {
        let stems = sources.iter().map(|source| source.stem().to_owned());
        stems.filter(|stem| stem != "mod").collect()
    };
    let (mut kernels, reference) = (stems(kernels), stems(reference));
    for without_twin in ["weight", "autotune", "grids", "ops", "matmul_variants"] {
        kernels.remove(without_twin);
    }
    let missing = kernels.difference(&reference).map(|stem| format!("src/reference/{stem}.rs: is missing"));
    let extra = reference.difference(&kernels).map(|stem| format!("src/kernels/{stem}.rs: is missing"));
    missing.chain(extra).collect()
}

/// Every file says what it is for, first of all.
fn header(source: &Source) -> Option<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    (!says).then(|| source.finding(1, "does not begin with `//!` and what the file is for"))
}

/// A folder's `mod.rs`, and lib.rs, hold docs, `mod` and `pub use`.
fn only_lists(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (line, item) in source.items() {
        let words: Vec<&str> =
            item.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let public = words.first() == Some(&"pub");
        let restricted = matches!(words.get(1), Some(&("crate" | "super" | "in")));
        let rest = &words[usize::from(public) + usize::from(public && restricted)..];
        let listed = match rest.first() {
            Some(&"mod") => item.ends_with(';'),
            Some(&"use") => public,
            _ => false,
        };
        if !listed {
            let start = item.lines().next().unwrap_or_default();
            found.push(source.finding(line, format!("`{start}`: only `mod` and `pub use` here")));
        }
    }
    found
}

fn long_lines(source: &Source) -> Vec<String> {
    let lines = source.text.lines().enumerate().map(|(i, line)| (i + 1, line.chars().count()));
    let long = lines.filter(|(_, columns)| *columns > MAX_COLUMNS);
    long.map(|(line, columns)| source.finding(line, format!("{columns} columns are more than {MAX_COLUMNS}"))).collect()
}

fn leftovers(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (i, line) in source.code.lines().enumerate() {
        let line: String = line.split_whitespace().collect();
        let here = LEFTOVERS.iter().filter(|(word, _)| line.contains(word));
        found.extend(here.map(|(word, reason)| source.finding(i + 1, format!("`{word}`: {reason}"))));
    }
    found
}

/// Files and twins that a `//!` comment names in backticks and that do not exist: stale docs mislead.
fn false_mentions(source: &Source, functions: &BTreeSet<String>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let Some(doc) = line.trim_start().strip_prefix("//!") else { continue };
        for name in doc.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "shaders/", "tests/", "web/"].iter().any(|root| name.starts_with(root));
            let wrong = match name.strip_prefix("reference::") {
                Some(twin) => {
                    let file = format!("src/reference/{twin}.rs");
                    !functions.contains(twin.trim_end_matches("()")) && !exists(&file)
                }
                // A star and `<case>` stand for several files, of which none is named.
                None => is_path && !name.contains(['*', '<']) && braces(name).iter().any(|path| !exists(path)),
            };
            if wrong {
                found.push(source.finding(i + 1, format!("the docs name `{name}`, which does not exist")));
            }
        }
    }
    found
}

/// `a/{b,c}.d` as `a/b.d` and `a/c.d`.
fn braces(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else { return vec![name.to_owned()] };
    let Some((inner, after)) = rest.split_once('}') else { return vec![name.to_owned()] };
    inner.split(',').map(|part| format!("{before}{}{after}", part.trim())).collect()
}

fn public_functions(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, at) in source.words("fn") {
        let before = source.code[..at].trim_end();
        let before = before.strip_suffix("async").unwrap_or(before).trim_end();
        if before.ends_with("pub") {
            let name = source.code[at + 2..].trim_start();
            found.insert(name.split(|c: char| !is_word(c)).next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// One file of the repository.
struct Source {
    /// Path from the root of the repository, with `/`.
    path: String,
    text: String,
    /// The text with comments and the content of literals replaced by spaces; byte offsets and lines stay.
    code: String,
}

impl Source {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if path.ends_with(".rs") { blank(&text) } else { text.clone() };
        Self { path, text, code }
    }

    /// `place` is a file, or a folder with `/` at its end.
    fn is_in(&self, place: &str) -> bool {
        if place.ends_with('/') { self.path.starts_with(place) } else { self.path == place }
    }

    fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split('.').next().unwrap_or(name)
    }

    fn finding(&self, line: usize, what: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, what.as_ref())
    }

    fn line_at(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Every word of the code: line, word, byte offset.
    fn all_words(&self) -> Vec<(usize, &str, usize)> {
        let mut words = Vec::new();
        let (mut line, mut start) = (1, None);
        for (i, c) in self.code.char_indices().chain([(self.code.len(), '\n')]) {
            match (start, is_word(c)) {
                (None, true) => start = Some(i),
                (Some(from), false) => {
                    words.push((line, &self.code[from..i], from));
                    start = None;
                }
                _ => {}
            }
            line += usize::from(c == '\n');
        }
        words
    }

    /// Occurrences of a word: line and byte offset.
    fn words(&self, word: &str) -> Vec<(usize, usize)> {
        let words = self.all_words().into_iter().filter(|(_, found, _)| *found == word);
        words.map(|(line, _, at)| (line, at)).collect()
    }

    /// Every path that begins with `root::`, those in braces written out: `std::{fs, io::{self}}` is `std::fs` and
    /// `std::io::self`.
    fn paths(&self, root: &str) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        for (_, at) in self.words(root) {
            if self.code[at + root.len()..].starts_with("::") && !self.code[..at].ends_with("::") {
                self.use_tree(at, &[], &mut paths);
            }
        }
        paths
    }

    /// Reads one path or tree of paths from `at` on; returns where it ends.
    fn use_tree(&self, mut at: usize, before: &[String], paths: &mut Vec<(usize, Vec<String>)>) -> usize {
        let mut path = before.to_vec();
        loop {
            at += self.code[at..].len() - self.code[at..].trim_start().len();
            let rest = &self.code[at..];
            if let Some(inner) = rest.strip_prefix('{') {
                at += 1;
                let mut inside = inner;
                while !inside.trim_start().starts_with('}') && !inside.trim_start().is_empty() {
                    let end = self.use_tree(at, &path, paths);
                    // Past `as name` and the comma.
                    let skip = self.code[end..].find([',', '}']).unwrap_or(self.code.len() - end);
                    at = end + skip + usize::from(self.code[end + skip..].starts_with(','));
                    inside = &self.code[at..];
                }
                return at + (inside.len() - inside.trim_start().len() + 1).min(inside.len());
            }
            let end = rest.find(|c: char| !is_word(c) && c != '*').unwrap_or(rest.len());
            // A `*` is a glob, and nothing follows it.
            let end = if rest.starts_with('*') { 1 } else { rest[..end].find('*').unwrap_or(end) };
            path.push(rest[..end].to_owned());
            at += end;
            match rest[end..].strip_prefix("::") {
                Some(next) if end > 0 && !next.starts_with('<') => at += 2,
                _ => {
                    paths.push((self.line_at(at), path));
                    return at;
                }
            }
        }
    }

    /// The outermost items, without their attributes: line and text.
    fn items(&self) -> Vec<(usize, String)> {
        let mut items = Vec::new();
        let (mut depth, mut start, mut is_attribute, mut is_use) = (0usize, None, false, false);
        for (i, c) in self.code.char_indices() {
            let begin = match start {
                None if c.is_whitespace() => continue,
                None => {
                    is_attribute = c == '#';
                    is_use = false;
                    start = Some(i);
                    i
                }
                Some(begin) => begin,
            };
            is_use |= self.code[begin..i].ends_with("use ");
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ends = match c {
                ';' => true,
                '}' => !is_use,
                ']' => is_attribute,
                _ => false,
            };
            if ends && depth == 0 {
                if !is_attribute {
                    items.push((self.line_at(begin), self.code[begin..=i].to_owned()));
                }
                start = None;
            }
        }
        items.extend(start.map(|begin| (self.line_at(begin), self.code[begin..].to_owned())));
        items
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Rust with comments and the content of literals replaced by spaces, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let find = |from: usize, end: &str| text.get(from..).and_then(|rest| rest.find(end)).map(|at| from + at);
    let mut at = 0;
    while at < bytes.len() {
        let starts_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let hashes = bytes[at..].iter().skip(1).take_while(|b| **b == b'#').count();
        let is_raw = bytes[at] == b'r' && bytes.get(at + 1 + hashes) == Some(&b'"');
        // The range that is blanked, and the place to go on at.
        let (from, to, next) = match &bytes[at..] {
            [b'/', b'/', ..] => {
                let end = find(at, "\n").unwrap_or(bytes.len());
                (at, end, end)
            }
            [b'/', b'*', ..] => {
                let end = comment_end(bytes, at);
                (at, end, end)
            }
            _ if is_raw && (starts_word || matches!(bytes[at - 1], b'b' | b'c')) => {
                let begin = at + 2 + hashes;
                let close = format!("\"{}", "#".repeat(hashes));
                let end = find(begin, &close).unwrap_or(bytes.len());
                (begin, end, end + close.len())
            }
            [b'"', ..] => {
                let end = quote_end(bytes, at + 1, b'"');
                (at + 1, end, end + 1)
            }
            [b'\'', b'\\', ..] => {
                let end = quote_end(bytes, at + 1, b'\'');
                (at + 1, end, end + 1)
            }
            // One character and a quote; a lifetime has no quote there.
            [b'\'', ..] => match text[at + 1..].char_indices().nth(1) {
                Some((1.., '\'')) => {
                    let end = find(at + 1, "'").map_or(bytes.len(), |end| if end == at + 1 { end + 1 } else { end });
                    (at + 1, end, end + 1)
                }
                _ => (at, at, at + 1),
            },
            _ => (at, at, at + 1),
        };
        code[from..to.min(bytes.len())].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        at = next;
    }
    String::from_utf8(code).expect("literals and comments are blanked as a whole")
}

/// The end of a comment that begins at `at`; such comments nest.
fn comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quote_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The files with this extension in a folder of the repository and below; build output and hidden folders left out.
fn sources(folder: &str, extension: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![root.join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the source tree is there") {
            let path = entry.expect("the folder can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !["target", "dist", "out", "node_modules"].contains(&&*name) {
                folders.push(path);
            } else if path.is_file() && path.extension().is_some_and(|found| found == extension) {
                let below = path.strip_prefix(root).expect("it was found below the root");
                found.push(read(&below.to_string_lossy().replace('\\', "/")));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[track_caller]
fn read(path: &str) -> Source {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    Source::new(path, text.unwrap_or_else(|e| panic!("{path}: {e}")))
}

#[track_caller]
fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

/// Expects as many findings as there are `parts`, each with its part.
#[track_caller]
fn assert_found(found: &[String], parts: &[&str]) {
    assert_eq!(found.len(), parts.len(), "{found:?}");
    for (line, part) in found.iter().zip(parts) {
        assert!(line.contains(part), "expected {part:?}, found {line:?}");
    }
}

#[test]
fn a_forbidden_import_is_found() {
    let check = |path: &str, text: &str| layer_imports(&Source::new(path, text));
    assert_found(
        &check("src/gpu/a.rs", "use crate::error::Error;\nuse crate::kernels::add;\n"),
        &["gpu/a.rs:2: `crate::"],
    );
    assert_found(
        &check("src/files/a.rs", "fn f() -> crate::Result<crate::data::Record> {}"),
        &["`crate::data::Record`"],
    );
    let nested = "use crate::{\n    platform::ByteSource,\n    model::{Model, x::{self as y}},\n};\n";
    assert_found(&check("src/data/a.rs", nested), &["a.rs:3: `crate::model::Model`", "`crate::model::x::self`"]);
    assert_found(&check("src/reference/a.rs", "use crate::error::Error;"), &["reference may see only nothing"]);
    assert_found(&check("src/error.rs", "use crate::gpu::Gpu;"), &["error may see only nothing"]);
    let app = "use crate::engine::protocol::Event;\nuse crate::engine::{protocol, session};\nuse crate::link;";
    assert_found(&check("src/app/a.rs", app), &["a.rs:2: `crate::engine::session`"]);
    assert_found(&check("src/kernels/a.rs", "[$($crate::model::X)+]"), &["`crate::model::X`"]);
    assert_found(&check("src/gpu/a.rs", "use super::super::model::Model;"), &["leaves the layer"]);
    assert_found(&check("src/gpu/mod.rs", "pub use super::model::Model;"), &["leaves the layer"]);
    assert_found(&check("src/train/a.rs", "use pairtune::app;"), &["names itself"]);
    assert_found(&check("src/gpu/a.rs", "use crate::*;"), &["`crate::*`"]);
    assert_found(&check("src/helpers/a.rs", ""), &["`helpers` is not in the table"]);
}

#[test]
fn an_allowed_import_passes() {
    let check = |path: &str, text: &str| layer_imports(&Source::new(path, text));
    let text = "//! Unlike crate::model.\nuse super::Kernel;\nuse crate::{error::{self, Result}, gpu};\n\
                // crate::train\nlet a = \"crate::app\"; /* crate::app /* crate::link */ crate::data */\n\
                let b = r#\"crate::app \" \"#; pub(super) fn f(c: crate::gpu::Tensor) { crate::Error::f('\"', \"\") }";
    assert_found(&check("src/kernels/a.rs", text), &[]);
    assert_found(&check("src/main.rs", "use pairtune::app;\nuse crate::cli;"), &[]);
    assert_found(&check("src/cli/train.rs", "use super::super::x;\nuse pairtune::model;"), &[]);
}

#[test]
fn a_crate_out_of_place_is_found() {
    let check = |path: &str, text: &str| confined_crates(&Source::new(path, text));
    assert_found(&check("src/model/a.rs", "let a = 1;\nlet b: wgpu::Buffer;"), &["a.rs:2: `wgpu` belongs to src/gpu/"]);
    assert_found(&check("src/app/a.rs", "use eframe::wgpu::Device; use egui_plot::Plot;"), &["`wgpu`"]);
    assert_found(&check("src/engine/a.rs", "use egui as ui;\nuse eframe;"), &["`egui`", "`eframe`"]);
    assert_found(&check("src/data/row.rs", "fn f(t: &tokenizers::Tokenizer) {}"), &["`tokenizers`"]);
    assert_found(&check("src/data/tokens/tokenizer.rs", "use tokenizers::Tokenizer; // wgpu::Buffer"), &[]);
    assert_found(&check("src/gpu/a.rs", "use wgpu::Buffer;"), &[]);
    assert_found(&check("src/data/a.rs", "let tokenizers = load(); let wgpu = 1;"), &[]);
}

#[test]
fn a_platform_question_is_found() {
    let check = |path: &str, text: &str| platform_cfgs(&Source::new(path, text));
    let cfg = "\n#[cfg(not(target_arch = \"wasm32\"))]\nmod a;";
    assert_found(&check("src/gpu/device.rs", cfg), &["device.rs:2: only src/platform/mod.rs"]);
    assert_found(&check("src/link/native.rs", "if cfg!(target_family = \"wasm\") {}"), &["native.rs:1"]);
    assert_found(&check("src/platform/mod.rs", cfg), &[]);
    assert_found(&check("src/bin/worker.rs", cfg), &[]);
    assert_found(&check("src/gpu/device.rs", "// cfg(target_arch)\n#[cfg(test)]"), &[]);
}

#[test]
fn a_native_path_is_found() {
    let check = |path: &str, text: &str| native_paths(&Source::new(path, text));
    assert_found(&check("src/files/a.rs", "use std::{io, fs::File};"), &["`std::fs::File`"]);
    assert_found(&check("src/files/a.rs", "let a = std::fs::read(path);"), &["`std::fs::read`"]);
    assert_found(&check("src/link/native.rs", "use std::fs;"), &["`std::fs`"]);
    assert_found(&check("src/train/a.rs", "use std::time::{Duration, Instant};"), &["`std::time::Instant`"]);
    assert_found(&check("src/train/a.rs", "use std::time;\nfn f() { time::Instant::now(); }"), &["`std::time`"]);
    assert_found(&check("src/train/a.rs", "use std::time::{self, Duration};"), &["`std::time::self`"]);
    assert_found(&check("src/train/a.rs", "use std::time::*;"), &["`std::time::*`"]);
    assert_found(&check("src/engine/a.rs", "std::thread::spawn(run);"), &["`std::thread::spawn`"]);
    assert_found(&check("src/link/native.rs", "use std::thread;\nuse std::time::Instant;"), &[]);
    assert_found(&check("src/cli/a.rs", "use std::fs;\nuse std::time::Instant;"), &[]);
    assert_found(
        &check("src/engine/a.rs", "use std::time::Duration;\nuse std::sync::{Arc, Mutex};\nuse std::fmt;"),
        &[],
    );
}

#[test]
fn a_missing_home_is_found() {
    let shader = Source::new("shaders/add.wgsl", "");
    let of = |path: &str, text: &str| [Source::new(path, text)];
    let kernels = of("src/kernels/a.rs", "/// `pub fn sub`\npub fn add(rec: &mut Recorder<'_>) {}");
    let reference = of("src/reference/a.rs", "pub fn add<T>(a: &[T]) {}");
    let checks = of("src/doctor/check.rs", "fn all() { add(gpu) }\npub async fn add(gpu: &Gpu) {}");
    let [tests] = of("tests/kernels.rs", "everywhere! {\n    async fn add() {}\n}");
    let found = homes(&shader, &kernels, &reference, &checks, &tests);
    assert_found(&found, &[]);
    let none = of("none.rs", "pub fn added() {}\nfn add() {}\n// pub fn add");
    assert_found(&homes(&shader, &none, &reference, &checks, &tests), &["src/kernels has no `pub fn add`"]);
    assert_found(&homes(&shader, &kernels, &none, &checks, &tests), &["src/reference has no `pub fn add`"]);
    assert_found(&homes(&shader, &kernels, &reference, &none, &tests), &["src/doctor has no `pub async fn add`"]);
    assert_found(
        &homes(&shader, &kernels, &reference, &checks, &none[0]),
        &["none.rs has no `everywhere! { async fn add() }`"],
    );
    let uncalled = of("check.rs", "pub async fn add(gpu: &Gpu) { kernels::add(rec); }");
    assert_found(&homes(&shader, &kernels, &reference, &uncalled, &tests), &["src/doctor never calls `add`"]);
}

#[test]
fn a_file_without_its_pair_is_found() {
    let of = |paths: &[&str]| paths.iter().map(|path| Source::new(*path, "")).collect::<Vec<_>>();
    let kernels = of(&["src/kernels/mod.rs", "src/kernels/weight.rs", "src/kernels/a.rs"]);
    assert_found(&file_pairs(&kernels, &of(&["src/reference/a.rs"])), &[]);
    let found = file_pairs(&kernels, &of(&["src/reference/b.rs", "src/reference/mod.rs"]));
    assert_found(&found, &["src/reference/a.rs: is missing", "src/kernels/b.rs: is missing"]);
}

#[test]
fn a_missing_header_is_found() {
    for text in ["", "use a;\n", "// A comment.\n", "//!\n", "\n//! Late.\n"] {
        assert!(header(&Source::new("src/a.rs", text)).is_some(), "{text:?}");
    }
    assert_eq!(header(&Source::new("src/a.rs", "//! What it is for.\n")), None, "a good one");
}

#[test]
fn code_in_a_folder_file_is_found() {
    let check = |path: &str, text: &str| only_lists(&Source::new(path, text));
    let good = "//! Docs; with {braces.\n\n#![warn(x)]\nmod a;\n#[cfg(not(target_arch = \"wasm32\"))]\npub mod b;\n\
                pub use a::{\n    A, b::{C},\n};\npub(crate) use b::D;\npub(super) mod e;\n";
    assert_found(&check("src/gpu/mod.rs", good), &[]);
    let bad = "use a::A;\nconst B: u32 = 1;\nmod c { fn d() {} }\npub fn all() { a(); }\nmacro!{}\n";
    let bad = format!("{good}{bad}");
    let found = ["use a::A", "const B", "mod c {", "pub fn all", "macro!"];
    assert_found(&check("src/gpu/mod.rs", &bad), &found);
    assert_found(&check("src/gpu/mod.rs", "mod a;\nstatic X: u32 ="), &["static X"]);
}

#[test]
fn a_long_line_is_found() {
    let text = format!("{}\n{}\n", "é".repeat(120), "x".repeat(121));
    assert_found(&long_lines(&Source::new("a.sh", text)), &["a.sh:2: 121 columns"]);
}

#[test]
fn a_leftover_is_found() {
    let check = |text: &str| leftovers(&Source::new("src/a.rs", text));
    let bad = "todo!();\nunimplemented!(\"x\");\nlet a = dbg!(b);\n#[ignore = \"slow\"]\n#[allow(dead_code)]\n\
               #![allow (dead_code)]\n";
    let found = ["1: `todo!`", "2: `unimpl", "3: `dbg!`", "4: `#[ignore`", "5: `#[allow(`", "6: `#![allow(`"];
    assert_found(&check(bad), &found);
    let good = "// todo!()\n/* dbg!(a) */ let a = \"#[ignore]\";\n#[expect(dead_code, reason = \"x\")]\n";
    assert_found(&check(good), &[]);
}

#[test]
fn a_false_mention_is_found() {
    let functions = BTreeSet::from(["add".to_owned()]);
    let exists = |path: &str| ["shaders/a.wgsl", "shaders/b.wgsl", "src/reference/rope.rs"].contains(&path);
    let check = |text: &str| false_mentions(&Source::new("src/a.rs", text), &functions, exists);
    assert_found(&check("//! `shaders/a.wgsl` and `shaders/c.wgsl`"), &["`shaders/c.wgsl`"]);
    assert_found(&check("//! A.\n//! `shaders/{a,c}.wgsl`"), &["a.rs:2"]);
    assert_found(&check("//! `reference::sub`"), &["`reference::sub`"]);
    assert_found(&check("//! `shaders/{a,b}.wgsl`, `shaders/c*.wgsl`, `tests/<case>/a.json`, `reference::add`"), &[]);
    assert_found(&check("//! `reference::rope`, `f32`, `link/`"), &[]);
}

#[test]
fn comments_and_literals_are_blanked() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("\"a\\\"b\" c", "\"    \" c"),
        ("r#\"a\"b\"# c", "r#\"   \"# c"),
        ("br\"a\\\" c", "br\"  \" c"),
        ("'\"' a '\\'' b '\\\\' c", "' ' a '  ' b '  ' c"),
        ("f::<'a>(&'static x, 'é')", "f::<'a>(&'static x, '  ')"),
        ("for r in r\"//\" {}", "for r in r\"  \" {}"),
        ("'a' 'b'", "' ' ' '"),
        ("a / b * c", "a / b * c"),
    ];
    for (text, code) in cases {
        assert_eq!(blank(text), code, "{text}");
    }
}
