//! A paste beside all text fields: a link to settings, the path of something to open, or rows.

use eframe::egui::{self, Event};
use percent_encoding::percent_decode_str;

use super::app::App;
use super::{drops, text};
use crate::app::actions::Action;
use crate::app::text::setting;
use crate::engine::protocol::{Kind, Settings};
use crate::platform::Pick;
use crate::platform::host::{self, PickedFile};

/// Blanks that may precede the rows of a table; a tab ends an empty first cell.
const BLANK: [char; 4] = ['\u{feff}', ' ', '\r', '\n'];

impl App {
    /// Opens what is pasted while no text field has the keyboard.
    pub(super) fn pasted(&mut self, ctx: &egui::Context, actions: &mut Vec<Action>) {
        let pasted = ctx.input(|input| {
            input.events.iter().find_map(|event| if let Event::Paste(text) = event { Some(text.clone()) } else { None })
        });
        let Some(pasted) = pasted.filter(|_| !ctx.text_edit_focused()) else { return };
        if let Some(settings) = settings_in(&pasted) {
            self.take_settings(ctx, settings);
            return;
        }
        // A page opens no paths.
        let path = (!self.state.in_browser).then(|| path_in(&pasted)).flatten();
        if let Some((pick, path)) = path {
            actions.push(Action::OpenPath(pick, path));
        } else if let Some(name) = name_for(&pasted) {
            match PickedFile::from_bytes(name, pasted.into_bytes()) {
                Ok(file) => self.opened(ctx, Pick::PairsFile, vec![file]),
                Err(e) => self.not_opened(ctx, Pick::PairsFile, &e),
            }
        } else {
            self.toast(ctx, text::cannot_paste(self.state.in_browser));
        }
    }
}

/// Returns the settings that a link brings: the address of a page, or only its fragment.
fn settings_in(pasted: &str) -> Option<Settings> {
    let (_, fragment) = pasted.trim().split_once('#')?;
    setting::fragment_settings(fragment)
}

/// Returns the path that a text is, if something is there, and what it is good for.
fn path_in(pasted: &str) -> Option<(Pick, String)> {
    let typed = pasted.trim().trim_matches(['"', '\'']);
    if typed.is_empty() || typed.contains('\n') {
        return None;
    }
    let path = typed.strip_prefix("file://").map_or_else(|| typed.to_owned(), decoded);
    let kind = |files: &[PickedFile]| drops::kind(&files.iter().map(PickedFile::name).collect::<Vec<_>>());
    // A folder with files in it, or a GGUF file.
    if let Ok(files) = host::files_at(Pick::ModelFolder, &path) {
        let is_adapter = kind(&files) == drops::Drop::Pick(Pick::Adapter);
        return Some((if is_adapter { Pick::Adapter } else { Pick::ModelFolder }, path));
    }
    if host::is_folder(&path) {
        // Opening it says what is in there instead.
        return Some((Pick::ModelFolder, path));
    }
    let file = host::files_at(Pick::PairsFile, &path).ok()?;
    let pick = match kind(&file) {
        // An adapter is a folder, and no file of one.
        drops::Drop::Pick(pick) if !pick.is_folder() => pick,
        drops::Drop::Pick(_) | drops::Drop::Unknown(_) => Pick::PairsFile,
    };
    Some((pick, path))
}

/// The path in a file's address, in which `%20` is a space.
fn decoded(address: &str) -> String {
    percent_decode_str(address).decode_utf8().map_or_else(|_| address.to_owned(), Into::into)
}

/// Returns a name for a file of pasted rows, whose ending says how they are written; none for other texts.
fn name_for(pasted: &str) -> Option<&'static str> {
    let rows = pasted.trim_start_matches(BLANK);
    match rows.trim_start().chars().next()? {
        '{' => return Some("pasted.jsonl"),
        '[' => return Some("pasted.json"),
        _ => {}
    }
    let names = rows.lines().next()?;
    let columns = names.split([',', ';', '\t']).map(|name| name.trim().trim_matches('"').to_lowercase());
    let columns: Vec<String> = columns.collect();
    let is_table = columns.len() > 1 && Kind::of(&columns).is_some();
    is_table.then_some(if names.contains('\t') { "pasted.tsv" } else { "pasted.csv" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_known_by_their_look() {
        let cases = [
            ("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n", Some("pasted.jsonl")),
            ("\u{feff}\n  {\"prompt\": \"a\"}", Some("pasted.jsonl")),
            ("\n[{\"prompt\": \"a\"}]", Some("pasted.json")),
            ("prompt,chosen,rejected\na,b,c\n", Some("pasted.csv")),
            ("\"Prompt\";\"Chosen\";\"Rejected\"\r\na;b;c\r\n", Some("pasted.csv")),
            ("question\tanswer\na\tb", Some("pasted.tsv")),
            ("Dear all, this is a letter\nprompt,chosen", None),
            ("prompt", None),
            ("hello", None),
            (" \n", None),
            ("", None),
        ];
        for (text, name) in cases {
            assert_eq!(name_for(text), name, "{text:?}");
        }
    }

    #[test]
    fn links_to_settings_are_told_from_rows() {
        let beta = |text: &str| settings_in(text).and_then(|settings| settings.get("beta")?.as_f64());
        assert_eq!(beta(" https://a.b/c/?nosw#s=%7B%22beta%22:0.3%7D\n"), Some(0.3), "the address of a page");
        assert_eq!(beta("#s=%7B%22beta%22:0.3%7D"), Some(0.3), "a fragment");
        for other in ["https://a.b/#demo", "{\"prompt\": \"#s=1\"}", "#s=%7B%22beta", "s=%7B%7D", "#"] {
            assert!(settings_in(other).is_none(), "{other} is no link to settings");
        }
    }

    #[test]
    fn addresses_of_files_are_read() {
        assert_eq!(decoded("/a%20b/%C3%A9.jsonl"), "/a b/é.jsonl", "codes of bytes");
        assert_eq!(decoded("/100%/a%2"), "/100%/a%2", "no codes");
        assert_eq!(decoded("/%ff"), "/%ff", "no text");
    }
}
