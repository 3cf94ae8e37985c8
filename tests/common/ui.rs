//! A test's actions on a window, be it a page in the browser or a desktop program: find a widget by its name, click on
//! it with the real pointer, type, look. The window says where its widgets are; everything else is input events.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time that a widget may take to appear when a test does not say.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at the window.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// Roles that only show text. If such a node and a control have the same name, the control is meant.
const TEXT_ROLES: &[&str] = &["", "none", "label", "text", "statictext", "textrun", "paragraph", "heading", "tooltip"];

/// One widget, with its place in the window in CSS pixels or points.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) disabled: bool,
    pub(crate) checked: Option<bool>,
    pub(crate) focused: bool,
}

impl Node {
    pub(crate) fn centre(&self) -> (f64, f64) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    fn is(&self, role: &str, name: &str, how: Match) -> bool {
        let named = match how {
            Match::Whole => self.name == name,
            Match::Start => self.name.starts_with(name),
        };
        named && (role.is_empty() || self.role.eq_ignore_ascii_case(role))
    }

    fn is_text(&self) -> bool {
        TEXT_ROLES.iter().any(|role| self.role.eq_ignore_ascii_case(role))
    }

    fn line(&self) -> String {
        let mut text = format!("{} {:?}", self.role, self.name);
        if !self.value.is_empty() {
            text += &format!(" = {:?}", self.value);
        }
        text += &format!(" at {:.0},{:.0} {:.0}x{:.0}", self.x, self.y, self.width, self.height);
        let marks = [
            (self.disabled, "disabled"),
            (self.focused, "focused"),
            (self.checked == Some(true), "checked"),
            (self.checked == Some(false), "not checked"),
        ];
        for (_, mark) in marks.into_iter().filter(|(on, _)| *on) {
            text += &format!(", {mark}");
        }
        text
    }
}

/// The nodes of a JSON list, as the app's tree and the page's mirror write them.
pub(crate) fn read_nodes(list: &Value) -> Vec<Node> {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let all = list.as_array().into_iter().flatten().map(|node| Node {
        id: text(&node["id"]),
        role: text(&node["role"]),
        name: text(&node["name"]),
        value: text(&node["value"]),
        x: number(&node["x"]),
        y: number(&node["y"]),
        width: number(&node["width"]),
        height: number(&node["height"]),
        disabled: node["disabled"] == true,
        checked: node["checked"].as_bool(),
        focused: node["focused"] == true,
    });
    all.collect()
}

/// Rule by which a name is compared.
#[derive(Clone, Copy)]
pub(crate) enum Match {
    Whole,
    Start,
}

/// A window under test. The first methods are what a kind of window has to offer; the others follow from them.
///
/// A role of `""` means any; roles are compared without regard to case, names with.
pub(crate) trait Ui {
    /// The widgets as the window tells them now; empty while there is nothing to tell.
    fn nodes(&self) -> Vec<Node>;
    /// Width and height of what can be clicked.
    fn inner_size(&self) -> (f64, f64);
    fn hover_at(&self, x: f64, y: f64);
    fn click_at(&self, x: f64, y: f64);
    /// Presses at one point and lets go at the other, with the way between in a few steps.
    fn drag(&self, from: (f64, f64), to: (f64, f64));
    /// Turns the wheel over a point; a positive `dy` shows what is further down.
    fn scroll_at(&self, x: f64, y: f64, dy: f64);
    fn type_text(&self, text: &str);
    /// One key or chord, named as in DOM events: `Enter`, `Escape`, `ArrowLeft`, `Control+a`, `Shift+Tab`.
    fn press(&self, key: &str);
    fn screenshot(&self, path: &Path);
    /// Further text for a test that fails: errors, the end of a log.
    fn report(&self) -> String;

    /// Waits until what moves has been drawn anew.
    fn frame(&self) {
        std::thread::sleep(POLL);
    }

    /// True if typed text goes to that widget.
    fn is_focused(&self, name: &str) -> bool {
        self.find("", name).is_some_and(|node| node.focused)
    }

    fn find(&self, role: &str, name: &str) -> Option<Node> {
        self.nodes().into_iter().find(|node| node.is(role, name, Match::Whole))
    }

    fn find_starting(&self, role: &str, start: &str) -> Option<Node> {
        self.nodes().into_iter().find(|node| node.is(role, start, Match::Start))
    }

    /// The first node of that name, as soon as there is one.
    #[track_caller]
    fn wait_for(&self, name: &str, timeout: Duration) -> Node {
        self.wait_that(&format!("{name:?} to appear"), timeout, || self.find("", name))
    }

    /// The first node whose name begins so, as soon as there is one.
    #[track_caller]
    fn wait_for_starting(&self, start: &str, timeout: Duration) -> Node {
        self.wait_that(&format!("a name that starts with {start:?}"), timeout, || self.find_starting("", start))
    }

    #[track_caller]
    fn wait_gone(&self, name: &str, timeout: Duration) {
        self.wait_that(&format!("{name:?} to go away"), timeout, || self.find("", name).is_none().then_some(()));
    }

    /// Asks until there is an answer; fails with what the window showed and a screenshot of it.
    #[track_caller]
    fn wait_that<T>(&self, what: &str, timeout: Duration, ask: impl FnMut() -> Option<T>) -> T {
        let answer = poll(timeout, ask);
        answer.unwrap_or_else(|| self.fail(&format!("waited {:.1} s for {what}", timeout.as_secs_f64())))
    }

    /// Clicks the one enabled control of that name, once it has stopped moving.
    #[track_caller]
    fn click(&self, name: &str) {
        self.click_role("", name);
    }

    #[track_caller]
    fn click_role(&self, role: &str, name: &str) {
        let (x, y) = self.settled(role, name, Match::Whole, 0, true).centre();
        self.click_at(x, y);
    }

    #[track_caller]
    fn click_starting(&self, start: &str) {
        let (x, y) = self.settled("", start, Match::Start, 0, true).centre();
        self.click_at(x, y);
    }

    /// Clicks one of several controls of the same name, counted from 0 in the window's own order.
    #[track_caller]
    fn click_nth(&self, name: &str, index: usize) {
        let (x, y) = self.settled("", name, Match::Whole, index, false).centre();
        self.click_at(x, y);
    }

    #[track_caller]
    fn hover(&self, name: &str) {
        let (x, y) = self.settled("", name, Match::Whole, 0, true).centre();
        self.hover_at(x, y);
    }

    /// Turns the wheel over a widget.
    #[track_caller]
    fn scroll(&self, name: &str, dy: f64) {
        let (x, y) = self.settled("", name, Match::Whole, 0, true).centre();
        self.scroll_at(x, y, dy);
    }

    /// Turns the wheel over `over` until the centre of `name` lies between `over`'s upper and lower edge.
    #[track_caller]
    fn scroll_to(&self, name: &str, over: &Node) {
        let (x, y) = over.centre();
        self.wait_that(&format!("{name:?} to be scrolled into {:?}", over.name), PATIENCE, || {
            let (_, now) = self.find("", name)?.centre();
            if now > over.y + 8.0 && now < over.y + over.height - 8.0 {
                return Some(());
            }
            self.scroll_at(x, y, (now - y).clamp(-200.0, 200.0));
            self.frame();
            None
        });
    }

    /// Clicks a text field, selects what is in it and types over it.
    #[track_caller]
    fn fill(&self, name: &str, text: &str) {
        self.click(name);
        self.wait_that(&format!("{name:?} to take text"), PATIENCE, || self.is_focused(name).then_some(()));
        // The window says so a frame before the keys arrive there.
        std::thread::sleep(2 * POLL);
        self.press("Control+a");
        self.type_text(text);
    }

    /// The node that is meant, enabled, inside the window and in the same place for two looks.
    #[track_caller]
    fn settled(&self, role: &str, name: &str, how: Match, index: usize, only: bool) -> Node {
        let start = Instant::now();
        let mut last: Option<Node> = None;
        loop {
            let mut found: Vec<Node> = self.nodes().into_iter().filter(|node| node.is(role, name, how)).collect();
            if found.iter().any(|node| !node.is_text()) {
                found.retain(|node| !node.is_text());
            }
            let (width, height) = self.inner_size();
            let count = found.len();
            let now = (!only || count == 1).then(|| found.into_iter().nth(index)).flatten();
            let trouble = match &now {
                None if count > 1 && only => format!("there are {count} of that name: use click_role or click_nth"),
                None => "it is not there".to_owned(),
                Some(node) if node.disabled => "it stays disabled".to_owned(),
                Some(node) if node.width <= 0.0 || node.height <= 0.0 => "it has no size".to_owned(),
                Some(node) => {
                    let (x, y) = node.centre();
                    if x < 0.0 || y < 0.0 || x >= width || y >= height {
                        format!("it is outside of the window of {width}x{height}: use scroll_to")
                    } else {
                        let same = last.as_ref().is_some_and(|last| {
                            (last.x, last.y, last.width, last.height) == (node.x, node.y, node.width, node.height)
                        });
                        if same {
                            return node.clone();
                        }
                        "it keeps moving".to_owned()
                    }
                }
            };
            if start.elapsed() > PATIENCE {
                self.fail(&format!("cannot click {name:?}: {trouble}"));
            }
            last = now;
            self.frame();
        }
    }

    /// Ends the test with everything that helps to see why.
    #[track_caller]
    fn fail(&self, why: &str) -> ! {
        let mut lines: Vec<String> = self.nodes().iter().map(|node| format!("  {}", node.line())).collect();
        if lines.is_empty() {
            lines.push("  nothing".to_owned());
        }
        let picture = failure_path();
        self.screenshot(&picture);
        panic!("{why}\nthe window shows:\n{}\n{}\nscreenshot: {}", lines.join("\n"), self.report(), picture.display());
    }
}

/// Asks until there is an answer, or none in time.
pub(crate) fn poll<T>(timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || start.elapsed() > timeout {
            return answer;
        }
        std::thread::sleep(POLL);
    }
}

/// A new name for a picture in target/browser-failures/, after the test that is running.
fn failure_path() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser-failures");
    std::fs::create_dir_all(&folder).expect("target/ can be written");
    let thread = std::thread::current();
    let test: String = thread
        .name()
        .unwrap_or("test")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .collect();
    (1..).map(|i| folder.join(format!("{test}-{i}.png"))).find(|path| !path.exists()).expect("a free name")
}
