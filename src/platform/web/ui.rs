//! Page services for the app: dialogs for files, the address, the screen lock, screen readers. They work on the
//! browser's main thread only.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    Blob, BlobPropertyBag, Document, Element, Event, HtmlAnchorElement, HtmlElement, HtmlInputElement, Url, Window,
};

use super::files::PickedFile;
use super::js::{call, call_async, ignore, message, property, text};
use crate::error::{Error, Result};
use crate::platform::picked::Pick;
use crate::platform::types::{Environment, FoundModel, World, browser_name, system_name};

/// Callback for an answer, called on the main thread.
pub type Then<T> = Box<dyn FnOnce(T)>;

/// The page's class for elements that only screen readers perceive.
const UNSEEN: &str = "unseen";

/// An `<input type=file>` in the page, the callback that waits for it, and the listener for its changes.
struct Picker {
    input: HtmlInputElement,
    waiting: Rc<RefCell<Option<Then<Vec<PickedFile>>>>>,
    _changed: Closure<dyn FnMut()>,
}

/// Asks for files in the browser's dialog, right after a click or key of the user. `done` gets the files, or why
/// nothing can be chosen; it is not called if the dialog closes without a choice. The browser sets the title.
pub fn pick(what: Pick, _title: &str, done: impl FnOnce(Result<Vec<PickedFile>>) + 'static) {
    thread_local! {
        static PICKERS: RefCell<HashMap<Pick, Picker>> = RefCell::default();
    }
    let input = PICKERS.with_borrow_mut(|pickers| {
        let picker = match pickers.entry(what) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => place.insert(new_picker(what)?),
        };
        Ok::<_, JsValue>((picker.input.clone(), picker.waiting.clone()))
    });
    match input {
        Ok((input, waiting)) => {
            *waiting.borrow_mut() = Some(Box::new(move |files| done(Ok(files))));
            // Choosing the same file again must count as a change.
            input.set_value("");
            input.click();
        }
        Err(e) => {
            let what = format!("This browser shows no file dialog: {}", message(&e));
            done(Err(Error::device(what, "Drop the files on the page")));
        }
    }
}

/// Puts the input for `what` into the page, where it stays.
fn new_picker(what: Pick) -> std::result::Result<Picker, JsValue> {
    let id = match what {
        Pick::ModelFolder => "pick-model-folder",
        Pick::ModelFiles => "pick-model-files",
        Pick::PairsFile => "pick-pairs",
        Pick::Settings => "pick-settings",
        Pick::Archive => "pick-archive",
        Pick::Adapter => "pick-adapter",
        Pick::Destination => "pick-destination",
    };
    let input: HtmlInputElement = new_element("input", id)?.unchecked_into();
    input.set_type("file");
    input.set_multiple(what.is_multiple());
    if what.is_folder() {
        input.set_attribute("webkitdirectory", "")?;
    }
    let accept: Vec<String> = what.endings().iter().map(|ending| format!(".{ending}")).collect();
    if !accept.is_empty() {
        input.set_accept(&accept.join(","));
    }
    // The app's own widgets open the input, which is of no use without them.
    input.set_class_name(UNSEEN);
    input.set_attribute("aria-hidden", "true")?;
    input.set_tab_index(-1);
    let waiting: Rc<RefCell<Option<Then<Vec<PickedFile>>>>> = Rc::default();
    let changed = {
        let (input, waiting) = (input.clone(), waiting.clone());
        Closure::<dyn FnMut()>::new(move || {
            let files = chosen(&input);
            input.set_value("");
            let done = waiting.borrow_mut().take();
            if let Some(done) = done {
                done(files);
            }
        })
    };
    input.add_event_listener_with_callback("change", changed.as_ref().unchecked_ref())?;
    Ok(Picker { input, waiting, _changed: changed })
}

/// Files in an input. Only files directly in a chosen folder count, although the browser lists all below it.
fn chosen(input: &HtmlInputElement) -> Vec<PickedFile> {
    let Some(list) = input.files() else { return Vec::new() };
    let files = (0..list.length()).filter_map(|i| list.get(i));
    files.filter(|file| text(file, "webkitRelativePath").matches('/').count() <= 1).map(PickedFile::from_file).collect()
}

/// False: a page sees no folder by its path.
pub fn is_folder(_typed: &str) -> bool {
    false
}

/// Fails: a page opens no typed paths.
pub fn files_at(_what: Pick, typed: &str) -> Result<Vec<PickedFile>> {
    Err(Error::input("A page opens no paths", "Choose the file in the browser's dialog, or drop it", typed))
}

/// The folder for exports; none, because a browser puts downloads where it is told to.
pub fn export_folder() -> Option<String> {
    None
}

/// Fails: a page shows no folders.
pub fn open_folder(path: &str, failed: impl FnOnce(Error) + 'static) {
    failed(Error::input("A page shows no folders", "Look among the downloads of this browser", path));
}

/// Files directly in a folder with a known path; none, because the browser knows no paths.
pub fn pick_at(_folder: &str) -> Vec<PickedFile> {
    Vec::new()
}

/// Has the browser save a file where it puts downloads. `done` gets its name, or the error; it is not known whether the
/// user let it be saved.
pub fn save_file(name: &str, bytes: &[u8], done: impl FnOnce(Result<String>) + 'static) {
    let failed = |e: JsValue| Error::device(format!("The browser could not save it: {}", message(&e)), "Try again");
    let blob = || {
        let options = BlobPropertyBag::new();
        options.set_type("application/octet-stream");
        let parts = Array::of1(&Uint8Array::from(bytes));
        Blob::new_with_u8_array_sequence_and_options(&parts, &options)
    };
    done(blob().and_then(|blob| download(name, &blob)).map(|()| name.to_owned()).map_err(failed));
}

/// Gives a file of the storage to the user as a download; none of its bytes enter the page's memory.
pub fn save_copy(file: &PickedFile, done: impl FnOnce(Result<String>) + 'static) {
    let name = file.name();
    let failed = |e: JsValue| Error::device(format!("The browser could not save it: {}", message(&e)), "Try again");
    done(download(&name, file.file()).map(|()| name).map_err(failed));
}

fn download(name: &str, blob: &Blob) -> std::result::Result<(), JsValue> {
    const REVOKE_AFTER_MS: i32 = 60_000;
    let url = Url::create_object_url_with_blob(blob)?;
    let link: HtmlAnchorElement = document()?.create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // Wait before revoking: the browser may still be reading, and does not say when it is done.
    let revoke = Closure::once_into_js(move || drop(Url::revoke_object_url(&url)));
    window()?.set_timeout_with_callback_and_timeout_and_arguments_0(revoke.unchecked_ref(), REVOKE_AFTER_MS)?;
    Ok(())
}

/// Names the page, in its tab and in the history.
pub fn set_title(title: &str) {
    if let Ok(document) = document() {
        document.set_title(title);
    }
}

/// Keeps the screen, and with it the computer, from going to sleep while `on` and the page is seen.
pub fn keep_awake(on: bool) {
    AWAKE.with(|awake| {
        let was_on = awake.on.replace(on);
        if !on {
            if let Some(lock) = awake.lock.borrow_mut().take() {
                release(&lock);
            }
        } else if !was_on {
            lock_screen();
            // The browser takes the lock back when the page is hidden.
            let mut seen = awake.seen.borrow_mut();
            if seen.is_none()
                && let Ok(document) = document()
            {
                let closure = Closure::<dyn FnMut()>::new(lock_screen);
                let function: &Function = closure.as_ref().unchecked_ref();
                if document.add_event_listener_with_callback("visibilitychange", function).is_ok() {
                    *seen = Some(closure);
                }
            }
        }
    });
}

thread_local! {
    static AWAKE: Awake = Awake::default();
}

/// The lock on the screen, and whether there should be one.
#[derive(Default)]
struct Awake {
    on: Cell<bool>,
    lock: RefCell<Option<JsValue>>,
    seen: RefCell<Option<Closure<dyn FnMut()>>>,
}

fn lock_screen() {
    let is_wanted = || AWAKE.with(|awake| awake.on.get()) && !hidden();
    if !is_wanted() {
        return;
    }
    spawn_local(async move {
        let Ok(window) = window() else { return };
        let wake_lock = property(&window.navigator(), "wakeLock");
        match call_async(&wake_lock, "request", &["screen".into()]).await {
            Ok(lock) if AWAKE.with(|awake| awake.on.get()) => {
                let old = AWAKE.with(|awake| awake.lock.replace(Some(lock)));
                if let Some(old) = old {
                    release(&old);
                }
            }
            // The lock is no longer wanted.
            Ok(lock) => release(&lock),
            Err(e) => log::warn!("The computer may go to sleep while a model is being trained: {}", message(&e)),
        }
    });
}

fn release(lock: &JsValue) {
    if let Ok(released) = call(lock, "release", &[])
        && let Ok(released) = released.dyn_into::<Promise>()
    {
        ignore(&released);
    }
}

/// Listener for events of the page.
type Listener = Closure<dyn FnMut(Event)>;

/// Has the browser ask before the page is left, while `on`.
pub fn warn_before_leaving(on: bool) {
    thread_local! {
        static ASKING: RefCell<Option<Listener>> = const { RefCell::new(None) };
    }
    const EVENT: &str = "beforeunload";
    let Ok(window) = window() else { return };
    ASKING.with_borrow_mut(|asking| {
        if !on && let Some(closure) = asking.take() {
            drop(window.remove_event_listener_with_callback(EVENT, closure.as_ref().unchecked_ref()));
        }
        if on && asking.is_none() {
            let closure = Closure::<dyn FnMut(Event)>::new(|event: Event| {
                event.prevent_default();
                // Some browsers ignore the line above and need this.
                drop(Reflect::set(&event, &"returnValue".into(), &"Training is running.".into()));
            });
            if window.add_event_listener_with_callback(EVENT, closure.as_ref().unchecked_ref()).is_ok() {
                *asking = Some(closure);
            }
        }
    });
}

/// Fragment of the page's address (after the `#`), still encoded.
pub fn fragment() -> String {
    let hash = window().and_then(|window| window.location().hash()).unwrap_or_default();
    hash.strip_prefix('#').unwrap_or(&hash).to_owned()
}

/// The page's address without its fragment.
pub fn address() -> String {
    let href = window().and_then(|window| window.location().href()).unwrap_or_default();
    href.split('#').next().unwrap_or_default().to_owned()
}

/// Sets the fragment of the page's address, without a step in the history.
pub fn set_fragment(fragment: &str) {
    let replaced = window().and_then(|window| {
        let location = window.location();
        let address = match fragment {
            "" => location.pathname()? + &location.search()?,
            fragment => format!("#{fragment}"),
        };
        window.history()?.replace_state_with_url(&JsValue::NULL, "", Some(&address))
    });
    if let Err(e) = replaced {
        log::warn!("The page's address could not be changed: {}", message(&e));
    }
}

/// Has screen readers say something when they are done with what they are saying.
pub fn announce(text: &str) {
    let announced = element("live", || {
        let live = new_element("div", "live")?;
        live.set_class_name(UNSEEN);
        live.set_attribute("role", "status")?;
        live.set_attribute("aria-live", "polite")?;
        Ok(live)
    });
    match announced {
        Ok(live) => {
            // A repeated text must differ from the last one to be said again.
            let is_same = live.text_content().as_deref() == Some(text);
            live.set_text_content(Some(&if is_same { format!("{text}\u{a0}") } else { text.to_owned() }));
        }
        Err(e) => log::warn!("{text} (not said to screen readers: {})", message(&e)),
    }
}

/// Asks the user whether this page may show notices of the system, right after a click.
pub fn ask_to_notify() {
    let notification = property(&js_sys::global(), "Notification");
    // Old browsers return no promise.
    if let Ok(asked) = call(&notification, "requestPermission", &[])
        && let Ok(asked) = asked.dyn_into::<Promise>()
    {
        ignore(&asked);
    }
}

/// Shows a notice of the system if the user has allowed that to this page; nobody is asked.
pub fn notify(said: &str) {
    let Ok(window) = window() else { return };
    let notification = property(&window, "Notification");
    if text(&notification, "permission") != "granted" {
        return;
    }
    // Some browsers on phones have the permission, but no constructor.
    let shown = notification.dyn_into::<Function>().and_then(|new| Reflect::construct(&new, &Array::of1(&said.into())));
    if let Err(e) = shown {
        log::warn!("{said} (not shown as a notice: {})", message(&e));
    }
}

/// True if nobody can see the page now.
fn hidden() -> bool {
    document().is_ok_and(|document| document.hidden())
}

/// True if the computer is known to run on its battery; not every browser tells.
pub fn on_battery() -> bool {
    thread_local! {
        static BATTERY: RefCell<Option<JsValue>> = const { RefCell::new(None) };
    }
    BATTERY.with_borrow_mut(|battery| match battery {
        Some(battery) => property(battery, "charging") == JsValue::FALSE,
        None => {
            *battery = Some(JsValue::UNDEFINED);
            spawn_local(async {
                let Ok(window) = window() else { return };
                if let Ok(found) = call_async(&window.navigator(), "getBattery", &[]).await {
                    BATTERY.set(Some(found));
                }
            });
            false
        }
    })
}

/// Claims the GPU against other tabs of the browser, for as long as this one is open: `done` gets true if no other tab
/// has claimed it. A second claim of the same tab is refused, too. A browser has one storage for all tabs.
pub fn claim_gpu(_store: &str, done: impl FnOnce(bool) + 'static) {
    let Ok(window) = window() else { return done(true) };
    let locks = property(&window.navigator(), "locks");
    if locks.is_undefined() {
        return done(true);
    }
    let waiting: Rc<Cell<Option<Then<bool>>>> = Rc::new(Cell::new(Some(Box::new(done))));
    spawn_local(async move {
        let answer = {
            let waiting = waiting.clone();
            Closure::once_into_js(move |lock: JsValue| {
                let is_free = !lock.is_null();
                if let Some(done) = waiting.take() {
                    done(is_free);
                }
                // The browser keeps the lock until this promise resolves: never.
                if is_free { Promise::new(&mut |_, _| {}).into() } else { JsValue::UNDEFINED }
            })
        };
        let options = js_sys::Object::new();
        drop(Reflect::set(&options, &"ifAvailable".into(), &true.into()));
        let claimed = call_async(&locks, "request", &["pairtune-gpu".into(), options.into(), answer]).await;
        // A browser that refuses to say is no reason not to begin.
        if let (Err(e), Some(done)) = (claimed, waiting.take()) {
            log::warn!("Other tabs may be using the GPU: {}", message(&e));
            done(true);
        }
    });
}

/// Environment that the app runs in.
pub fn environment() -> Environment {
    let navigator = property(&js_sys::global(), "navigator");
    let agent = text(&navigator, "userAgent");
    let is_true = |value: JsValue, unknown: bool| value.as_bool().unwrap_or(unknown);
    Environment {
        world: World::Browser,
        browser: browser_name(&agent),
        system: system_name(&agent).to_owned(),
        webgpu: !property(&navigator, "gpu").is_falsy(),
        secure: is_true(property(&js_sys::global(), "isSecureContext"), false),
        online: is_true(property(&navigator, "onLine"), true),
        asks_to_notify: text(&property(&js_sys::global(), "Notification"), "permission") == "default",
        policy: policy().unwrap_or_default(),
    }
}

/// The page's Content-Security-Policy.
fn policy() -> Option<String> {
    let document = window().ok()?.document()?;
    let meta = document.query_selector("meta[http-equiv='Content-Security-Policy']").ok()??;
    meta.get_attribute("content")
}

/// Loads the page again.
pub fn reload() {
    if let Err(e) = window().and_then(|window| window.location().reload()) {
        log::warn!("The page could not be loaded again: {}", message(&e));
    }
}

/// Asks the browser not to clear the app's storage by itself, then calls `done`. A worker cannot ask.
pub fn persist(done: impl FnOnce() + 'static) {
    spawn_local(async move {
        let Ok(window) = window() else { return };
        let storage = property(&window.navigator(), "storage");
        if let Err(e) = call_async(&storage, "persist", &[]).await {
            log::warn!("The browser may clear what is stored: {}", message(&e));
        }
        done();
    });
}

/// Models that other programs have put on this computer; a page cannot see them.
pub fn system_models(done: impl FnOnce(Vec<FoundModel>) + 'static) {
    done(Vec::new());
}

/// The element of this id, made and put into the page if it is not there.
pub(super) fn element(
    id: &str,
    make: impl FnOnce() -> std::result::Result<Element, JsValue>,
) -> std::result::Result<Element, JsValue> {
    match document()?.get_element_by_id(id) {
        Some(element) => Ok(element),
        None => make(),
    }
}

/// Puts a new element into the page.
pub(super) fn new_element(tag: &str, id: &str) -> std::result::Result<Element, JsValue> {
    let document = document()?;
    let element = document.create_element(tag)?;
    element.set_id(id);
    let body: HtmlElement = document.body().ok_or("the page has no body")?;
    body.append_child(&element)?;
    Ok(element)
}

pub(super) fn window() -> std::result::Result<Window, JsValue> {
    web_sys::window().ok_or_else(|| "this is not the page's main thread".into())
}

pub(super) fn document() -> std::result::Result<Document, JsValue> {
    window()?.document().ok_or_else(|| "the page has no document".into())
}

/// Shows panics of this thread on the page, with what to do.
pub fn show_crashes() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        crash(&info.to_string());
    }));
}

/// Shows the page's crash screen, because the app cannot continue.
pub fn crash(text: &str) {
    let page = property(&js_sys::global(), "pairtune");
    if let Err(e) = call(&page, "crash", &[text.into()]) {
        log::error!("the page shows no crash screen: {e:?}");
    }
}

/// Takes the loading screen away: the app draws from here on.
pub fn started() {
    let document = web_sys::window().and_then(|window| window.document());
    if let Some(loading) = document.and_then(|document| document.get_element_by_id("loading")) {
        loading.remove();
    }
}
