//! Calls to people who do not look at the window: by screen readers, by notices of the system.

use pairtune::engine::protocol::Event;
use pairtune::platform::{Environment, World};

use crate::script::{self, Stage};

#[test]
fn screen_readers_are_told_the_notices_of_a_window() {
    let mut stage = Stage::running();
    assert_eq!(stage.said().as_deref(), Some("The run has started"), "the last one");
    stage.say(Event::Paused { run_id: "r1".into(), step: 1 });
    assert_eq!(stage.said().as_deref(), Some("Paused and saved at step 1"), "the next one");
    stage.say(Event::Paused { run_id: "r1".into(), step: 1 });
    assert_eq!(stage.said().as_deref(), Some("Paused and saved at step 1\u{a0}"), "a repeated one is said again");
    let mut page = Stage::in_environment(script::environment(World::Browser), Vec::new());
    page.say(script::ready());
    assert_eq!(page.said(), None, "a page has an element for that");
}

#[test]
fn a_page_asks_at_a_click_whether_it_may_tell_of_the_end() {
    const TELL_ME: &str = "Tell me when it is done";
    let at_work = |asks_to_notify: bool| {
        let environment = Environment { asks_to_notify, ..script::environment(World::Browser) };
        let mut stage = Stage::in_environment(environment, Vec::new());
        stage.say(script::ready());
        stage.plan();
        stage.go("4  Run");
        assert!(!stage.shows(TELL_ME), "nothing is at work");
        stage.say(Event::RunStarted(Box::new(script::run())));
        stage.say(Event::Step { run_id: "r1".into(), metrics: script::step(1), seconds: 0.5 });
        stage
    };
    assert!(!at_work(false).shows(TELL_ME), "that is decided");
    let mut page = at_work(true);
    page.click(TELL_ME);
    assert!(!page.shows(TELL_ME), "nobody is asked twice");
}
