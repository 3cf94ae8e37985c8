//! Answers of both platforms, and rules that hold on both: the form of a path in the app's storage, the error of a full
//! storage, the names that the Hub accepts.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode, Result};

/// Space that the app's storage uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in it.
    pub used: u64,
    /// Bytes that it may grow to, where the platform says so.
    pub quota: Option<u64>,
    /// True if the platform does not clear it by itself when space is short.
    pub persisted: bool,
}

/// The two worlds that the app runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// A program with a window, files and folders.
    Desktop,
    /// A page.
    Browser,
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Desktop => "desktop",
            Self::Browser => "browser",
        })
    }
}

/// Environment that the app runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Window or page.
    pub world: World,
    /// Name and major version of the browser, as in `Firefox 128`; empty on the desktop.
    pub browser: String,
    /// The operating system, as in `Linux`.
    pub system: String,
    /// True if there may be a GPU to ask for: always on the desktop, `navigator.gpu` in the browser.
    pub webgpu: bool,
    /// True if the page came by https or from this computer; without that there is neither WebGPU nor storage.
    pub secure: bool,
    /// False if the browser knows that there is no network.
    pub online: bool,
    /// True if the user has not decided yet whether the page may show notices of the system.
    pub asks_to_notify: bool,
    /// Policy by which the browser refuses all other connections of the page; empty on the desktop.
    pub policy: String,
}

/// Purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The app's own files.
    App,
    /// A search for models.
    ModelSearch,
    /// The list of a model's files.
    ModelList,
    /// A model's configuration.
    ModelConfig,
    /// The commit of a model's repository.
    ModelCommit,
    /// A model's weights and tokenizer.
    Model,
    /// Something else.
    Other,
}

/// One thing that was fetched over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkEntry {
    /// The whole address.
    pub url: String,
    /// Bytes of it, 0 if another site does not let them be known.
    pub bytes: u64,
    /// Purpose of the request.
    pub purpose: Purpose,
}

/// A model that is already on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// Its name on the Hub, as in `org/name`, or in Ollama, as in `name:tag`, or the name of its GGUF file.
    pub name: String,
    /// The folder with its files, or its GGUF file.
    pub folder: String,
    /// Bytes of the files in the folder, or of that file.
    pub bytes: u64,
    /// The licence that its README states.
    pub licence: Option<String>,
}

/// One widget of the user interface, for screen readers and tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UiNode {
    /// The same from frame to frame.
    pub id: u64,
    /// The name of its AccessKit role, as in `Button`.
    pub role: String,
    /// Its label.
    pub name: String,
    /// Its text or number, as shown.
    pub value: String,
    /// Left edge, in CSS pixels, or logical pixels of the window.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// True if it cannot be used now.
    pub disabled: bool,
    /// The state of a box or switch that can be checked.
    pub checked: Option<bool>,
    /// True if the keyboard goes to it.
    pub focused: bool,
}

/// Name and major version of the browser that sends this user agent, as in `Safari 17`.
pub fn browser_name(agent: &str) -> String {
    // In this order: most call themselves Chrome or Safari too.
    const KNOWN: &[(&str, &str)] = &[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("FxiOS/", "Firefox"),
        ("Firefox/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("HeadlessChrome/", "Chromium"),
        ("Chrome/", "Chromium"),
        ("Version/", "Safari"),
    ];
    let known = KNOWN.iter().find_map(|(mark, name)| {
        let version = agent.split_once(mark)?.1;
        let major: String = version.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("{name} {major}"))
    });
    known.unwrap_or_else(|| "an unknown browser".to_owned())
}

/// The operating system that this user agent names.
pub fn system_name(agent: &str) -> &'static str {
    // In this order: Android is Linux too, and an iPhone is like macOS.
    const KNOWN: &[(&str, &str)] = &[
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("iPad", "iPadOS"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    KNOWN.iter().find(|(mark, _)| agent.contains(mark)).map_or("an unknown system", |(_, name)| name)
}

/// The parts of a path in the app's storage, from the outermost folder; none for the storage itself. Parts that lead
/// out of it, or that some system takes for something else, are refused.
pub(super) fn path_parts(path: &str) -> Result<Vec<&str>> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = path.split('/').collect();
    let is_bad = |part: &&str| {
        matches!(*part, "" | "." | "..") || part.contains(|c: char| c == '\\' || c == ':' || c.is_control())
    };
    match parts.iter().find(|part| is_bad(part)) {
        None => Ok(parts),
        Some(part) => Err(Error::input(
            format!("`{}` cannot be part of a path in the app's storage", part.escape_debug()),
            "Use names without colon and backslash, separated by one `/` each",
            path.escape_debug().to_string(),
        )),
    }
}

/// The parts of a path that must name something in the storage: its folders, and the last name.
pub(super) fn split_path(path: &str) -> Result<(Vec<&str>, &str)> {
    let mut parts = path_parts(path)?;
    match parts.pop() {
        Some(name) => Ok((parts, name)),
        None => Err(Error::input("This is the app's storage itself", "Name a file or a folder in it", "")),
    }
}

/// True for names that only exist while a file is being written.
pub(super) fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp") || name.ends_with(".crswap")
}

const FULL: &str = "Storage is full";

/// The error of a write that found no space: `need` bytes were to be written, `have` are left.
pub(super) fn storage_full(need: Option<u64>, have: Option<u64>, at: impl Into<String>) -> Error {
    let what = match (need, have) {
        (Some(need), Some(have)) => format!("{FULL}: {} needed, {} left", amount(need), amount(have)),
        (Some(need), None) => format!("{FULL}: {} needed", amount(need)),
        (None, Some(have)) => format!("{FULL}: {} left", amount(have)),
        (None, None) => FULL.to_owned(),
    };
    Error::coded(
        ErrorCode::StorageFull,
        what,
        "Remove models or runs that are no longer needed, or free some space on the disk",
        at,
    )
}

/// True if `error` came from a write that found no space.
pub fn is_storage_full(error: &Error) -> bool {
    error.code() == ErrorCode::StorageFull
}

/// Bytes in the unit that suits them.
fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// Turns the name of a run into a file name of at most 60 letters that every file system accepts.
pub fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).take(60).collect();
    match name.trim_matches(['-', '.']) {
        "" => "run".to_owned(),
        name => name.to_owned(),
    }
}

/// The name on the Hub of the model in this folder, where the path tells: `org/name` for
/// `…/models--org--name/snapshots/<commit>`, as the Hugging Face cache keeps it.
pub fn hub_name(folder: &str) -> Option<String> {
    let mut parts = folder.trim_end_matches(['/', '\\']).rsplit(['/', '\\']);
    let (_commit, snapshots, repo) = (parts.next()?, parts.next()?, parts.next()?);
    let name = repo.strip_prefix("models--").filter(|_| snapshots == "snapshots")?.replace("--", "/");
    is_hub_name(&name).then_some(name)
}

/// True for a name that the Hub accepts: `name`, or `org/name`, of letters, digits, `-`, `_` and `.`.
pub fn is_hub_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_part = |part: &str| {
        let edges = part.starts_with(['-', '.']) || part.ends_with(['-', '.']);
        !part.is_empty() && part.len() <= 96 && part.chars().all(plain) && !edges && !part.contains("..")
    };
    name.matches('/').count() <= 1 && name.split('/').all(is_part)
}

/// True for an address on the server at `endpoint`.
pub fn is_below(url: &str, endpoint: &str) -> bool {
    url.strip_prefix(endpoint).is_some_and(|path| path.starts_with('/'))
}

/// The `license` in the front matter of a README: the metadata of a model card on the Hub.
pub fn licence_in(readme: &[u8]) -> Option<String> {
    let readme = String::from_utf8_lossy(readme);
    let mut lines = readme.lines();
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let mut lines = lines.take_while(|line| line.trim_end() != "---");
    let stated = lines.find_map(|line| line.strip_prefix("license:"))?.trim();
    // A list names one licence in each line that follows.
    let stated = match stated {
        "" => lines.next()?.trim_start().strip_prefix("- ")?.trim(),
        stated => stated.trim_start_matches('[').trim_end_matches(']'),
    };
    let stated = stated.trim_matches(['"', '\'']);
    (!stated.is_empty()).then(|| stated.to_owned())
}

/// Year, month (1-12) and day (1-31) of a day counted from 1 January 1970 (Howard Hinnant's `civil_from_days`).
pub fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_storage() {
        assert_eq!(path_parts("").as_deref(), Ok([].as_slice()), "the storage itself");
        assert_eq!(path_parts("runs/a b/x.bin").as_deref(), Ok(["runs", "a b", "x.bin"].as_slice()), "a file");
        assert_eq!(split_path("a/b"), Ok((vec!["a"], "b")), "folder and name");
        for bad in ["..", "a/../b", "/a", "a/", "a//b", "./a", "a\\b", "C:", "a/\0"] {
            assert!(path_parts(bad).is_err(), "{bad:?} is refused");
        }
        assert!(split_path("").is_err(), "no name");
    }

    #[test]
    fn a_full_storage_is_known_again() {
        let full = storage_full(Some(2_500_000_000), Some(300), "a");
        assert_eq!(
            full.to_string().split(". ").next(),
            Some("Storage is full: 2.50 GB needed, 300 bytes left"),
            "text"
        );
        assert!(is_storage_full(&full), "full");
        assert!(is_storage_full(&storage_full(None, None, "")), "full, nothing known");
        assert!(!is_storage_full(&Error::input("Storage", "", "")), "something else");
        assert!(!is_storage_full(&Error::Cancelled), "not about input");
    }

    #[test]
    fn user_agents_are_read() {
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
        let cases = [
            (format!("{mac} AppleWebKit/605 (KHTML, like Gecko) Version/17.4 Safari/605"), "Safari 17", "macOS"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into(), "Firefox 128", "Linux"),
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/120.0.0.0 Safari/537.36".into(), "Chromium 120", "Windows"),
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/141.0 Safari/537.36 Edg/141.0".into(), "Edge 141", "Windows"),
            ("Mozilla/5.0 (Linux; Android 14) Chrome/120.0 Mobile Safari/537".into(), "Chromium 120", "Android"),
            ("curl/8".into(), "an unknown browser", "an unknown system"),
        ];
        for (agent, browser, system) in cases {
            assert_eq!((browser_name(&agent).as_str(), system_name(&agent)), (browser, system), "{agent}");
        }
    }

    #[test]
    fn names_of_runs_become_names_of_files() {
        assert_eq!(file_name("tone v2: 日本/x"), "tone-v2--日本-x", "letters of any script stay");
        assert_eq!(file_name("../..secret. "), "secret", "no folder, and nothing hidden");
        assert_eq!(file_name(".."), "run", "nothing is left of it");
        assert_eq!(file_name(&"あ".repeat(90)).chars().count(), 60, "as long as file systems take");
    }

    #[test]
    fn names_on_the_hub_are_told_from_names_of_folders() {
        let cache = "/home/me/.cache/huggingface/hub/models--HuggingFaceTB--SmolLM2-135M/snapshots/12ab/";
        assert_eq!(hub_name(cache).as_deref(), Some("HuggingFaceTB/SmolLM2-135M"), "in the cache");
        assert_eq!(hub_name("C:\\hub\\models--gpt2\\snapshots\\c1").as_deref(), Some("gpt2"), "an old name");
        assert_eq!(hub_name("/models/SmolLM2-135M"), None, "anywhere else");
        for (name, accepted) in
            [("org/name-1.5_b", true), ("gpt2", true), ("the demo model", false), ("a/b/c", false), ("/a", false)]
        {
            assert_eq!(is_hub_name(name), accepted, "{name}");
        }
    }

    #[test]
    fn licences_are_read_from_the_front_matter() {
        let check = |text: &str| licence_in(text.as_bytes());
        assert_eq!(check("---\nlicense: apache-2.0\n---\n").as_deref(), Some("apache-2.0"), "plain");
        assert_eq!(check("---\r\nlicense: 'mit'\r\n---\r\n").as_deref(), Some("mit"), "quoted, as Windows ends lines");
        assert_eq!(check("---\nlicense:\n- mit\n- bsd\n---\n").as_deref(), Some("mit"), "a list");
        assert_eq!(check("---\nlicense: [mit]\n---\n").as_deref(), Some("mit"), "a list in brackets");
        assert_eq!(check("---\nlicense:\n---\n"), None, "empty");
        assert_eq!(check("# M\nlicense: mit\n"), None, "no front matter");
    }
}
