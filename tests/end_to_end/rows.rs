//! Rows in the hands of a person, in the page: pasted, one of them corrected, and all saved as a new file.

use serde_json::{Value, json};

use crate::browser::{BrowserKind, BrowserOptions};
use crate::page::{LONG, assert_heap, assert_quiet, open, paste, picture, reach, serve, wait_for_text};
use crate::ui::{PATIENCE, Ui as _};

/// Answer in place of the second row's.
const CORRECTED: &str = "Gladly! It leaves at ten, from the north pier.";

#[test]
fn rows_are_pasted_edited_and_saved_in_chromium() {
    rows_are_pasted_edited_and_saved(BrowserKind::Chromium);
}

#[test]
fn rows_are_pasted_edited_and_saved_in_firefox() {
    rows_are_pasted_edited_and_saved(BrowserKind::Firefox);
}

fn rows_are_pasted_edited_and_saved(kind: BrowserKind) {
    let server = serve();
    // High enough for the file, a row's fields and the button below them.
    let browser = open(&server, &BrowserOptions { size: (1280, 1000), ..BrowserOptions::new(kind) });
    let mut rows = rows_to_paste();
    browser.click("2  Pairs");
    wait_for_text(&browser, "Ctrl+V opens rows that you have copied from somewhere else.");
    paste(&browser, &rows.iter().map(|row| format!("{row}\n")).collect::<String>());
    browser.wait_for("pasted.jsonl", LONG);
    wait_for_text(&browser, "4 rows: 4 used");
    for row in &rows {
        wait_for_text(&browser, row["prompt"].as_str().expect("a prompt"));
    }
    assert!(browser.find("button", "Save rows…").is_none(), "nothing was edited yet");

    browser.click("Inspect line 2");
    wait_for_text(&browser, "of 4, line 2");
    browser.click("Edit");
    browser.wait_that("nothing to apply yet", PATIENCE, || {
        browser.find("button", "Apply").filter(|button| button.disabled)
    });
    browser.fill("Chosen", CORRECTED);
    wait_for_text(&browser, CORRECTED);
    picture(&browser, "browser-edit");
    reach(&browser, "Apply");

    // The flag has a button, which leaves only its row in the table.
    browser.click("Show the rows with the flag \"edited\"");
    wait_for_text(&browser, "Only \"edited\": 1 row");
    wait_for_text(&browser, CORRECTED);
    browser.wait_for("Inspect line 2", PATIENCE);
    browser.wait_gone("Inspect line 1", PATIENCE);
    picture(&browser, "browser-edited");

    reach(&browser, "Save rows…");
    let saved = std::fs::read(browser.wait_download("pasted-edited.jsonl", PATIENCE)).expect("it was downloaded");
    let saved = String::from_utf8(saved).expect("a text");
    let saved: Vec<Value> = saved.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    rows[1]["chosen"] = CORRECTED.into();
    assert_eq!(saved, rows, "every row, with the correction");
    assert_heap(&browser);
    assert_quiet(&browser, &server);
}

/// Rows with signs that a clipboard, a table and a file must all keep.
fn rows_to_paste() -> Vec<Value> {
    let row =
        |prompt: &str, chosen: &str, rejected: &str| json!({"prompt": prompt, "chosen": chosen, "rejected": rejected});
    vec![
        row("Is the lighthouse open today?", "Good morning! It is open until six.", "How should I know?"),
        row("When does the ferry leave?", "It leaves.", "Read the sign like everyone else."),
        row("Wo ist das Café?", "Gern: über die Brücke,\ndann links.", "Such doch selbst."),
        row("How much is a \"cream tea\"?", "With pleasure! It is \\4, or £4.", "Ask the cook."),
    ]
}
