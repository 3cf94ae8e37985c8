//! Notices of the system, shown by a program that comes with it.

use std::process::{Command, Stdio};

/// Shows a notice where the system has a program for that: Linux mostly, macOS always. The window asks for attention,
/// too.
pub fn notify(said: &str) {
    // A build without the desktop's services, such as the one that is tested, shows none.
    if !cfg!(feature = "desktop") {
        return;
    }
    let Some(mut command) = notice(std::env::consts::OS, said) else { return };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    std::thread::spawn(move || {
        if let Err(e) = command.status() {
            log::info!("No notice is shown: {e}");
        }
    });
}

/// Asks whether notices may be shown; only a browser wants to be asked.
pub fn ask_to_notify() {}

/// The program that shows a notice. The text is an argument of its own, so that nothing in it is taken for a command.
fn notice(system: &str, said: &str) -> Option<Command> {
    let (program, options): (_, &[&str]) = match system {
        // A body would be read as markup, a summary is not.
        "linux" => ("notify-send", &["--app-name=pairtune"]),
        "macos" => (
            "osascript",
            &[
                "-e",
                "on run argv",
                "-e",
                "display notification (item 1 of argv) with title \"pairtune\"",
                "-e",
                "end run",
            ],
        ),
        _ => return None,
    };
    let mut command = Command::new(program);
    command.args(options).arg("--").arg(said);
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_notice_is_one_argument() {
        let said = "-e \"tone\": $(finished) & improved";
        for (system, program) in [("linux", "notify-send"), ("macos", "osascript")] {
            let command = notice(system, said).expect("this system shows notices");
            assert_eq!(command.get_program(), program, "{system}");
            let last: Vec<_> = command.get_args().skip_while(|argument| *argument != "--").collect();
            assert_eq!(last, ["--", said], "{system}: behind all options");
        }
        assert!(notice("windows", said).is_none(), "the window's button has to do there");
    }
}
