//! Programs that a test starts: where they are, what they say at their start, and how they end.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The first of these programs that is installed, or a panic that says `how` to get it.
#[track_caller]
pub(crate) fn program(names: &[&str], how: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&folders).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let found = places.find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{} is not installed, and this test needs it: {how}", names.join(" or ")))
}

/// A command in a process group of its own, which the kernel ends should this thread end without a drop.
pub(crate) fn own_group(binary: &Path) -> Command {
    own_group_ended_by("KILL", binary)
}

/// The same as `own_group`, but ended by a signal of that name.
pub(crate) fn own_group_ended_by(signal: &str, binary: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(binary).process_group(0).stdin(Stdio::null());
    command
}

/// Ends a command of `own_group` with all that it started.
pub(crate) fn end_group(child: &mut Child) {
    let number = i64::from(child.id());
    kill(&[-number, number]);
    drop(child.wait());
}

/// Ends processes by `kill`; a negative number is a process group. Processes that are already gone do not matter.
pub(crate) fn kill(targets: &[i64]) {
    let numbers = targets.iter().map(i64::to_string);
    let mut run = Command::new("kill");
    run.arg("-KILL").arg("--").args(numbers).stderr(Stdio::null());
    drop(run.status());
}

/// Returns the text after `mark` in the first line of a program's output that has it. Panics with the output if the
/// program ends without such a line. The rest of the output is read and thrown away, since a full pipe would stop the
/// program.
#[track_caller]
pub(crate) fn wait_for_line(output: impl Read + Send + 'static, mark: &str) -> String {
    let mut lines = BufReader::new(output).lines();
    let mut said = Vec::new();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let rest = line.split_once(mark).map(|(_, rest)| rest.trim().to_owned());
        said.push(line);
        rest
    });
    std::thread::spawn(move || lines.for_each(drop));
    found.unwrap_or_else(|| panic!("a program ended before it said {mark:?}:\n{}", said.join("\n")))
}
