//! An X server without a screen, for what has to have a window.

use std::process::{Child, Stdio};

use super::process::{end_group, own_group, program, wait_for_line};

/// Runs until it is dropped, or until the thread ends that started it.
pub(crate) struct XServer {
    child: Child,
    display: String,
}

impl XServer {
    /// Starts a server with a screen of that size. It picks a free display by itself and tells which.
    #[track_caller]
    pub(crate) fn start(size: (u32, u32)) -> Self {
        let mut command = own_group(&program(&["Xvfb"], "apt-get install xvfb"));
        let screen = format!("{}x{}x24", size.0, size.1);
        command.args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp", "-noreset"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Xvfb starts");
        // All that it says is the number of its display.
        let number = wait_for_line(child.stdout.take().expect("its output is piped"), "");
        Self { child, display: format!(":{number}") }
    }

    /// Value of `DISPLAY` for a program that is to show its windows here.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }
}

impl Drop for XServer {
    fn drop(&mut self) {
        end_group(&mut self.child);
    }
}
