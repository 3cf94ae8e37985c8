//! A desktop program under test, in a window on its own X server without a screen. The program writes its widgets as
//! JSON to the file that PAIRTUNE_UI_TREE names; pointer and keys are xdotool's.
//!
//! No window manager runs: the window is expected at 0,0, and the scale factor is 1.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{end_group, own_group, program};
use super::ui::{Node, Ui, read_nodes};
use super::xserver::XServer;

/// DOM names of keys that X calls differently.
const KEYSYMS: &[(&str, &str)] = &[
    ("Enter", "Return"),
    ("Backspace", "BackSpace"),
    ("Space", "space"),
    ("PageUp", "Prior"),
    ("PageDown", "Next"),
    ("ArrowLeft", "Left"),
    ("ArrowUp", "Up"),
    ("ArrowRight", "Right"),
    ("ArrowDown", "Down"),
    ("Control", "ctrl"),
    ("Shift", "shift"),
    ("Alt", "alt"),
    ("Meta", "super"),
];
/// Wheel steps are of this many points in most toolkits.
const STEP: f64 = 50.0;

/// A program and its X server. Both end when this is dropped, with all that they started, or when the thread ends that
/// started them.
pub(crate) struct XvfbApp {
    server: XServer,
    app: Child,
    size: (u32, u32),
    home: tempfile::TempDir,
}

impl XvfbApp {
    /// Starts `binary` on a fresh display of that size, with empty home folders, and waits for its window.
    #[track_caller]
    pub(crate) fn start(binary: &Path, args: &[&str], env: &[(&str, &str)], size: (u32, u32)) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(home, binary, args, env, size)
    }

    /// The same as `start`, but with the home folder that an earlier program left behind by `quit`.
    #[track_caller]
    pub(crate) fn start_in(
        home: tempfile::TempDir,
        binary: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        size: (u32, u32),
    ) -> Self {
        let server = XServer::start(size);
        let at = |name: &str| {
            let folder = home.path().join(name);
            std::fs::create_dir_all(&folder).expect("the home folder can be written");
            folder
        };
        let log = std::fs::File::create(home.path().join("log.txt")).expect("the home folder can be written");
        let errors = log.try_clone().expect("a file can be shared");
        let mut command = own_group(binary);
        command.args(args).env("DISPLAY", server.display()).env_remove("WAYLAND_DISPLAY").env("HOME", home.path());
        command
            .env("XDG_CONFIG_HOME", at("config"))
            .env("XDG_DATA_HOME", at("data"))
            .env("XDG_CACHE_HOME", at("cache"));
        command.env("XDG_STATE_HOME", at("state")).env("XDG_RUNTIME_DIR", at("runtime"));
        command.env("PAIRTUNE_UI_TREE", home.path().join("ui.json")).envs(env.iter().copied());
        private(&at("runtime"));
        let app = command.stdout(log).stderr(errors).spawn();
        let app = app.unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let mut started = Self { server, app, size, home };
        started.focus();
        started
    }

    /// The folder that the program takes for the user's home.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The file in which the program tells its widgets.
    pub(crate) fn tree(&self) -> PathBuf {
        self.home.path().join("ui.json")
    }

    /// Output of the program.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log.txt")).unwrap_or_default()
    }

    /// The exit status, once the program has ended by itself.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, timeout: Duration) -> std::process::ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.app.try_wait().expect("the program can be asked") {
                return status;
            }
            if start.elapsed() > timeout {
                self.fail("the program does not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the program at once, and gives the home folder for another start.
    pub(crate) fn quit(mut self) -> tempfile::TempDir {
        end_group(&mut self.app);
        std::mem::replace(&mut self.home, tempfile::tempdir().expect("a temporary folder"))
    }

    /// Waits for the largest window and gives it the keyboard, which is a window manager's work otherwise.
    #[track_caller]
    fn focus(&mut self) {
        let start = Instant::now();
        loop {
            let found = self.xdotool(&["search", "--onlyvisible", "--name", "."]).unwrap_or_default();
            let windows = found.lines().map(str::to_owned);
            let largest = windows.max_by_key(|window| self.area(window));
            if let Some(window) = largest.filter(|window| self.xdotool(&["windowfocus", "--sync", window]).is_ok()) {
                drop(window);
                return;
            }
            if let Ok(Some(status)) = self.app.try_wait() {
                panic!("the program ended at its start, {status}:\n{}", self.log());
            }
            if start.elapsed() > Duration::from_secs(60) {
                self.fail("the program shows no window");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn area(&self, window: &str) -> u64 {
        let text = self.xdotool(&["getwindowgeometry", "--shell", window]).unwrap_or_default();
        let side = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap_or(0);
        side("WIDTH=") * side("HEIGHT=")
    }

    fn xdotool(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program(&["xdotool"], "apt-get install xdotool"));
        let output = command.args(args).env("DISPLAY", self.server.display()).stdin(Stdio::null()).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("xdotool {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    #[track_caller]
    fn input(&self, args: &[&str]) {
        if let Err(error) = self.xdotool(args) {
            panic!("{error}\n{}", self.report());
        }
    }
}

impl Ui for XvfbApp {
    fn nodes(&self) -> Vec<Node> {
        // The file may be missing or half written; the next look is soon.
        let text = std::fs::read_to_string(self.tree()).unwrap_or_default();
        read_nodes(&serde_json::from_str(&text).unwrap_or_default())
    }

    fn inner_size(&self) -> (f64, f64) {
        (f64::from(self.size.0), f64::from(self.size.1))
    }

    #[track_caller]
    fn hover_at(&self, x: f64, y: f64) {
        self.input(&["mousemove", &whole(x), &whole(y)]);
    }

    #[track_caller]
    fn click_at(&self, x: f64, y: f64) {
        let (x, y) = (whole(x), whole(y));
        self.input(&["mousemove", &x, &y, "sleep", "0.05", "mousedown", "1", "sleep", "0.05", "mouseup", "1"]);
    }

    #[track_caller]
    fn drag(&self, from: (f64, f64), to: (f64, f64)) {
        let mut words = vec!["mousemove".to_owned(), whole(from.0), whole(from.1)];
        words.extend(["sleep", "0.05", "mousedown", "1"].map(str::to_owned));
        for step in 1..=8 {
            let part = f64::from(step) / 8.0;
            let (x, y) = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            words.extend(["sleep".to_owned(), "0.02".to_owned(), "mousemove".to_owned(), whole(x), whole(y)]);
        }
        words.extend(["sleep", "0.05", "mouseup", "1"].map(str::to_owned));
        self.input(&words.iter().map(String::as_str).collect::<Vec<&str>>());
    }

    #[track_caller]
    fn scroll_at(&self, x: f64, y: f64, dy: f64) {
        let steps = ((dy.abs() / STEP).ceil() as u32).to_string();
        let button = if dy < 0.0 { "4" } else { "5" };
        self.input(&["mousemove", &whole(x), &whole(y), "click", "--repeat", &steps, "--delay", "20", button]);
    }

    #[track_caller]
    fn type_text(&self, text: &str) {
        // Letters that the keyboard lacks are put on a spare key one by one, and the program has to notice each time.
        let delay = if text.is_ascii() { "12" } else { "100" };
        self.input(&["type", "--delay", delay, "--", text]);
    }

    #[track_caller]
    fn press(&self, key: &str) {
        let part = |name: &str| {
            let keysym = KEYSYMS.iter().find(|(known, _)| *known == name);
            keysym.map_or_else(|| name.to_owned(), |(_, keysym)| (*keysym).to_owned())
        };
        let chord: Vec<String> = key.split('+').map(part).collect();
        self.input(&["key", "--", &chord.join("+")]);
    }

    #[track_caller]
    fn screenshot(&self, path: &Path) {
        let mut command = Command::new(program(&["import"], "apt-get install imagemagick"));
        // No picture is taken if the server is gone; the caller then has a more important error to report.
        drop(command.args(["-window", "root"]).arg(path).env("DISPLAY", self.server.display()).status());
    }

    fn report(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("the end of its output:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for XvfbApp {
    fn drop(&mut self) {
        end_group(&mut self.app);
    }
}

/// Runtime folders are refused by some programs unless they are the user's alone.
fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder, mode).expect("a folder of our own can be changed");
}

fn whole(number: f64) -> String {
    (number.round() as i64).to_string()
}
