//! The `pairtune` program: natively the command line and the window, in the browser the page.

#[cfg(not(target_arch = "wasm32"))]
mod cli;

#[cfg(all(feature = "app", not(target_arch = "wasm32")))]
use eframe::egui;
#[cfg(feature = "app")]
use pairtune::{app::App, link};

/// Runs the command that was asked for; without one, the app.
#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::main(open_window)
}

/// Shows the app until its window is closed.
#[cfg(all(feature = "app", not(target_arch = "wasm32")))]
fn open_window(window: cli::Window) -> pairtune::Result<()> {
    let cli::Window { store, adapter, model, pairs } = window;
    let icon = eframe::icon_data::from_png_bytes(include_bytes!("../assets/icon.png")).unwrap_or_default();
    let viewport = egui::ViewportBuilder::default()
        .with_title("pairtune")
        .with_app_id("pairtune")
        .with_icon(icon)
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([720.0, 480.0])
        .with_drag_and_drop(true);
    let options = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Glow, ..Default::default() };
    let shown = eframe::run_native(
        "pairtune",
        options,
        Box::new(|cc| {
            let repaint = cc.egui_ctx.clone();
            let engine = link::connect(store.clone(), adapter, move || repaint.request_repaint());
            let app = App::new(&cc.egui_ctx, cc.storage, engine).alone(&cc.egui_ctx, &store);
            Ok(Box::new(app.opening(model, pairs)))
        }),
    );
    shown.map_err(|e| {
        pairtune::Error::device(
            format!("The window does not open: {e}"),
            "Start pairtune in a graphical session with OpenGL, or use the commands (pairtune --help)",
        )
    })
}

/// A build for the command line alone says so.
#[cfg(not(any(feature = "app", target_arch = "wasm32")))]
fn open_window(window: cli::Window) -> pairtune::Result<()> {
    let cli::Window { store: _store, adapter: _adapter, model: _model, pairs: _pairs } = window;
    Err(pairtune::Error::input(
        "This pairtune was built without its window",
        "Build it with the feature `desktop`, which is on by default, or use the commands (pairtune --help)",
        "pairtune app",
    ))
}

/// Shows the app on the page's canvas.
#[cfg(target_arch = "wasm32")]
fn main() {
    use pairtune::platform::host;
    use wasm_bindgen::JsCast as _;

    host::show_crashes();
    eframe::WebLogger::init(log::LevelFilter::Warn).unwrap_or_else(|e| log::warn!("no log: {e}"));
    wasm_bindgen_futures::spawn_local(async {
        let document = web_sys::window().and_then(|window| window.document());
        let canvas = document.as_ref().and_then(|document| document.get_element_by_id("app"));
        let Some(canvas) = canvas.and_then(|canvas| canvas.dyn_into::<web_sys::HtmlCanvasElement>().ok()) else {
            return host::crash("The page has no canvas");
        };
        let started = eframe::WebRunner::new()
            .start(
                canvas,
                eframe::WebOptions::default(),
                Box::new(|cc| {
                    let repaint = cc.egui_ctx.clone();
                    let engine = link::connect(move || repaint.request_repaint());
                    let app = App::new(&cc.egui_ctx, cc.storage, engine).alone(&cc.egui_ctx, "");
                    Ok(Box::new(app.with_drops(Box::new(|file| {
                        file.web_file().map(|file| host::PickedFile::from_file(file.clone())).into_iter().collect()
                    }))))
                }),
            )
            .await;
        match started {
            Ok(()) => host::started(),
            Err(e) => host::crash(&format!("The page cannot draw: {e:?}")),
        }
    });
}
