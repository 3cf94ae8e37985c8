//! Memory that a run may take: what is free on this computer, and a graphics card's own.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::native_app::entries;

/// NVIDIA's number among the makers of PCI devices.
const NVIDIA: u32 = 0x10de;
/// Time in which a program must have answered.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time for which an answer holds.
const FRESH: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES: u64 = 64 * 1024;

/// `MemAvailable` of Linux, in bytes; none elsewhere.
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Bytes of a graphics processor's memory that a run may take, by its name and PCI identifiers; none where the system
/// does not say. It is known of AMD's cards under Linux, of NVIDIA's also under Windows, and of Apple's processors.
/// `own` bytes are taken by this program, which may take them again.
pub fn video_memory(name: &str, vendor: u32, device: u32, own: u64) -> Option<u64> {
    match std::env::consts::OS {
        "linux" | "windows" if vendor == NVIDIA => Some(free_on(&nvidia_cards(), device)? + own),
        "linux" => memory_of_card(Path::new("/sys/class/drm"), vendor, device),
        "macos" if name.starts_with("Apple") => apple_memory(),
        _ => None,
    }
}

/// A card that its driver's program lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Card {
    device: u32,
    /// Bytes that no program had taken.
    free: u64,
}

/// NVIDIA's cards as they were a moment ago. A program that does not answer is not asked again.
fn nvidia_cards() -> Vec<Card> {
    static CARDS: Mutex<Option<(Instant, Vec<Card>)>> = Mutex::new(None);
    let mut known = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((asked, cards)) = &*known
        && (cards.is_empty() || asked.elapsed() < FRESH)
    {
        return cards.clone();
    }
    let asked = ["--query-gpu=pci.device_id,memory.free,memory.total", "--format=csv,noheader,nounits"];
    let cards = answer("nvidia-smi", &asked).map_or_else(Vec::new, |text| cards_in(&text));
    *known = Some((Instant::now(), cards.clone()));
    cards
}

/// Cards in a table of nvidia-smi: `0x2B8510DE, 30123, 32607`, in MiB. A card that is part of the computer's memory has
/// no numbers.
fn cards_in(table: &str) -> Vec<Card> {
    let card = |line: &str| {
        let mut cells = line.split(',').map(str::trim);
        let id = u32::from_str_radix(cells.next()?.strip_prefix("0x")?, 16).ok()?;
        let mib = cells.find_map(|cell| cell.parse::<u64>().ok())?;
        Some(Card { device: id >> 16, free: mib << 20 })
    };
    table.lines().filter_map(card).collect()
}

/// Free bytes on a card: the most of all that are of its kind, since nobody says which of them it is, or of all cards
/// if none is.
fn free_on(cards: &[Card], device: u32) -> Option<u64> {
    let most = |is_it: &dyn Fn(&Card) -> bool| cards.iter().filter(|card| is_it(card)).map(|card| card.free).max();
    most(&|card| card.device == device).or_else(|| most(&|_| true))
}

/// Share of this computer's memory that Metal lets one program take.
fn apple_memory() -> Option<u64> {
    static MEMORY: OnceLock<Option<u64>> = OnceLock::new();
    *MEMORY.get_or_init(|| working_set(&answer("sysctl", &["-n", "hw.memsize"])?))
}

/// Three quarters of the bytes that sysctl prints, which is about Metal's recommendation.
fn working_set(memsize: &str) -> Option<u64> {
    let bytes: u64 = memsize.trim().parse().ok()?;
    Some(bytes / 4 * 3)
}

/// Text that a program prints, if it ends soon.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    #[cfg(windows)]
    {
        /// Opens no console.
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NO_WINDOW);
    }
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(ANSWER_BYTES).read_to_string(&mut text);
        drop(sender.send(read.is_ok().then_some(text)));
    });
    let text = answer.recv_timeout(PATIENCE).ok().flatten();
    if text.is_none() {
        drop(child.kill());
    }
    // A program that hangs in its driver may not even end when it is told to.
    std::thread::spawn(move || drop(child.wait()));
    text
}

fn memory_of_card(cards: &Path, vendor: u32, device: u32) -> Option<u64> {
    let number = |path: PathBuf| -> Option<u64> {
        let text = std::fs::read_to_string(path).ok()?;
        match text.trim().strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.trim().parse().ok(),
        }
    };
    entries(cards).ok()?.iter().map(|card| card.join("device")).find_map(|card| {
        let is = |name: &str, id: u32| number(card.join(name)) == Some(id.into());
        (is("vendor", vendor) && is("device", device)).then(|| number(card.join("mem_info_vram_total")))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_asked_for_its_memory() {
        let place = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| {
            let path = place.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders are made");
            std::fs::write(path, text).expect("the file is written");
        };
        for (card, device, memory) in [("card0", "0x1638", None), ("card1", "0x744c", Some("25753026560\n"))] {
            put(&format!("{card}/device/vendor"), "0x1002\n");
            put(&format!("{card}/device/device"), &format!("{device}\n"));
            if let Some(memory) = memory {
                put(&format!("{card}/device/mem_info_vram_total"), memory);
            }
        }
        assert_eq!(memory_of_card(place.path(), 0x1002, 0x744c), Some(25_753_026_560), "the second card");
        assert_eq!(memory_of_card(place.path(), 0x1002, 0x1638), None, "it does not tell");
        assert_eq!(memory_of_card(place.path(), 0x10de, 0x744c), None, "of another maker");
    }

    #[test]
    fn cards_are_read_from_the_table_of_nvidia_smi() {
        let table = "0x2B8510DE, 30123, 32607\r\n0x268410DE, [N/A], 24564\n0x2B8510DE, 9000, 32607\n\
                     0x2E1210DE, [N/A], [N/A]\nNVIDIA-SMI has failed\n";
        let cards = cards_in(table);
        let read: Vec<_> = cards.iter().map(|card| (card.device, card.free >> 20)).collect();
        assert_eq!(read, [(0x2b85, 30123), (0x2684, 24564), (0x2b85, 9000)], "free, or else all of it");
        assert_eq!(free_on(&cards, 0x2684), Some(24564 << 20), "the card of this kind");
        assert_eq!(free_on(&cards, 0x2b85), Some(30123 << 20), "the emptier one of two");
        assert_eq!(free_on(&cards, 0x1234), Some(30123 << 20), "the emptiest of all, if it is not known which");
        assert_eq!(free_on(&[], 0x2684), None, "no card is listed");
    }

    #[test]
    fn apples_processors_have_a_share_of_the_memory() {
        assert_eq!(working_set("17179869184\n"), Some(12_884_901_888), "12 of 16 GiB");
        assert_eq!(working_set("sysctl: unknown oid"), None, "it does not say");
    }

    #[cfg(unix)]
    #[test]
    fn a_program_is_asked_and_not_waited_for() {
        assert_eq!(answer("echo", &["17"]).as_deref(), Some("17\n"), "its answer");
        assert_eq!(answer("pairtune-has-no-such-program", &[]), None, "there is none");
        let begun = Instant::now();
        assert_eq!(answer("sleep", &["60"]), None, "it hangs");
        assert!(begun.elapsed() < Duration::from_secs(30), "the wait ends");
    }
}
