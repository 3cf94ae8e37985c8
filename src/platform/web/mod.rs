//! The platform facade over the browser, for a page and for the engine in its worker.

mod clock;
mod files;
mod gpu;
mod hub;
mod js;
mod mirror;
mod store;
mod ui;

pub use clock::{network_ledger, seconds, sleep, unix_seconds, yield_now};
pub use files::PickedFile;
pub use gpu::{adapter_names, available_memory, video_memory};
pub use hub::{Fetched, Hub};
pub use mirror::mirror;
pub use store::{Store, StoreWriter};
pub use ui::{
    Then, address, announce, ask_to_notify, claim_gpu, crash, environment, export_folder, files_at, fragment,
    is_folder, keep_awake, notify, on_battery, open_folder, persist, pick, pick_at, reload, save_copy, save_file,
    set_fragment, set_title, show_crashes, started, system_models, warn_before_leaving,
};
