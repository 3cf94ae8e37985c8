//! An X server without a screen, for what has to have a window.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::ui::{kill, program};

/// Runs until it is dropped, or until the thread ends that started it.
pub(crate) struct XServer {
    child: Child,
    display: String,
}

impl XServer {
    /// Starts a server with a screen of that size. It picks a free display by itself and tells which.
    #[track_caller]
    pub(crate) fn start(size: (u32, u32)) -> Self {
        let mut command = own_group(&program(&["Xvfb"], "xvfb"));
        let screen = format!("{}x{}x24", size.0, size.1);
        command.args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp", "-noreset"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Xvfb starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        output.read_line(&mut line).expect("Xvfb tells its display");
        assert!(!line.trim().is_empty(), "Xvfb ended at its start");
        std::thread::spawn(move || drop(output.read_to_end(&mut Vec::new())));
        Self { child, display: format!(":{}", line.trim()) }
    }

    /// What `DISPLAY` has to be for a program to show its windows here.
    pub(crate) fn display(&self) -> &str {
        &self.display
    }
}

impl Drop for XServer {
    fn drop(&mut self) {
        end_group(&mut self.child);
    }
}

/// A command in a process group of its own, which the kernel ends should this thread end without a drop.
pub(crate) fn own_group(binary: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary).process_group(0);
    command
}

/// Ends a command of `own_group` with all that it started.
pub(crate) fn end_group(child: &mut Child) {
    let number = i64::from(child.id());
    kill(&[-number, number]);
    drop(child.wait());
}
