//! The scripts that install and check: installs hold where a published lock file does not, and the checks leave no test
//! out. No GPU, no network: a stub stands in the place of cargo.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `script` with `scripts/install.sh` sourced, in an empty home, with a `cargo` that does what `cargo` says.
fn install(cargo: &str, script: &str) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let stub = home.path().join("cargo");
    std::fs::write(&stub, format!("#!/bin/sh\necho \"cargo $*\" >>\"$HOME/calls\"\n{cargo}\n")).expect("a stub");
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let path = std::env::join_paths([home.path(), Path::new("/usr/bin"), Path::new("/bin")]).expect("a path");
    let mut command = Command::new("bash");
    command.args(["-c", &format!("set -euo pipefail; source scripts/install.sh; {script}; cat \"$HOME/calls\"")]);
    command.current_dir(root()).env("PATH", path).env("HOME", home.path()).env("CARGO_HOME", home.path());
    command.output().expect("bash runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Puts the tool that is asked for where cargo would.
const INSTALLS: &str = "mkdir -p \"$HOME/bin\"; printf '#!/bin/sh\\necho wasm-bindgen %s\\n' \"$4\" >\"$HOME/bin/$2\"
    cp \"$HOME/bin/$2\" \"$HOME/bin/wasm-bindgen\"; chmod +x \"$HOME\"/bin/*";

#[test]
fn a_tool_is_installed_with_its_published_lock_file() {
    let output = install(INSTALLS, "install_to_build_the_page");
    let said = said(&output);
    assert!(output.status.success(), "both tools are there: {said}");
    assert!(said.contains("== trunk 0.21.14 is installed with its published lock file"), "it is told: {said}");
    let calls = said.lines().filter(|line| line.starts_with("cargo install")).count();
    assert_eq!(calls, 2, "once for each tool: {said}");
}

#[test]
fn a_tool_whose_lock_file_does_not_resolve_is_installed_without_it() {
    let output =
        install(&format!("case \"$*\" in *--locked*) exit 101;; esac\n{INSTALLS}"), "install_to_build_the_page");
    let said = said(&output);
    assert!(output.status.success(), "both tools are there: {said}");
    for tool in ["wasm-bindgen-cli", "trunk"] {
        let told = said.lines().any(|line| {
            line.starts_with(&format!("== {tool} "))
                && line.ends_with("is installed without its lock file, which did not resolve")
        });
        assert!(told, "{tool} tells which way it went: {said}");
    }
}

#[test]
fn a_tool_that_cannot_be_installed_is_asked_for() {
    let output = install("exit 101", "install_to_build_the_page");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "it stops there: {said}");
    let version = wasm_bindgen_version();
    let wanted = format!("wasm-bindgen is missing. Run: cargo install wasm-bindgen-cli --version {version}");
    assert!(said.contains(&wanted), "{wanted:?} in {said}");
}

/// The version of the library in the lock file, which the command must have, too.
fn wasm_bindgen_version() -> String {
    let lock = read("Cargo.lock");
    let (_, after) = lock.split_once("name = \"wasm-bindgen\"\nversion = \"").expect("it is locked");
    after.split('"').next().expect("a version").to_owned()
}

/// Runs the hook of the page's build on a few files, with `WASM_OPT` so, and a `brotli` that copies; returns the names
/// of the files that are there then, and the service worker.
fn hook(optimizer: &str) -> (BTreeSet<String>, String) {
    let (dist, tools) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for file in ["index.html", "pairtune-1.js", "pairtune-1_bg.wasm", "worker.js", "worker_bg.wasm", "style.css"] {
        std::fs::write(dist.path().join(file), file).expect("a file");
    }
    std::fs::copy(root().join("web/sw.js"), dist.path().join("sw.js")).expect("a file");
    let stub = tools.path().join("brotli");
    std::fs::write(&stub, "#!/bin/sh\nfor file; do :; done\ncp \"$file\" \"$file.br\"\n").expect("a stub");
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let path = std::env::join_paths([tools.path(), Path::new("/usr/bin"), Path::new("/bin")]).expect("a path");
    let mut command = Command::new("sh");
    command.arg("web/hook.sh").current_dir(root()).env("PATH", path).env("WASM_OPT", optimizer);
    command.env("TRUNK_STAGING_DIR", dist.path()).env("TRUNK_PROFILE", "release");
    let output = command.output().expect("sh runs");
    assert!(output.status.success(), "{}", said(&output));
    let entries = std::fs::read_dir(dist.path()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    (names.collect(), std::fs::read_to_string(dist.path().join("sw.js")).expect("a file"))
}

#[test]
fn a_released_page_has_compressed_files_beside_its_large_ones() {
    let (names, worker) = hook("missing");
    let packed: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.ends_with(".br")).collect();
    let large = ["pairtune-1.js.br", "pairtune-1_bg.wasm.br", "sw.js.br", "worker.js.br", "worker_bg.wasm.br"];
    assert_eq!(packed, large, "and no others");
    assert!(large.iter().all(|name| names.contains(&name.replace(".br", ".gz"))), "by gzip, too: {names:?}");
    assert!(worker.contains("pairtune-1_bg.wasm") && !worker.contains(".br\"") && !worker.contains(".gz"), "{worker}");
    let (names, _) = hook("none");
    assert!(!names.iter().any(|name| name.ends_with(".gz") || name.ends_with(".br")), "not under test: {names:?}");
}

#[test]
fn the_checks_run_every_test_binary() {
    let found = unrun_tests(&read("check.sh"), &read("Cargo.toml"), &test_files());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_test_binary_that_is_not_run_is_found() {
    let files = ["tests/a.rs", "tests/slow/main.rs"].map(str::to_owned);
    let manifest = "[[test]]\nname = \"slow\"\npath = \"tests/slow/main.rs\"\ntest = false\n\n[[bench]]\nname = \"x\"";
    let good = "build() { cargo test --tests --test slow; }\nrun_tests() { cargo test; }\nstep t run_tests\n\
                step t run_tests --test slow";
    assert_eq!(unrun_tests(good, manifest, &files), [""; 0], "all are run");
    let found = unrun_tests("step t run_tests", manifest, &files);
    assert_eq!(found, ["check.sh does not name `slow`, which cargo does not run by itself"], "one is left out");
    let found = unrun_tests(&format!("{good}\nstep t run_tests --test gone"), manifest, &files);
    assert_eq!(found, ["check.sh names `gone`, which does not exist"], "one does not exist");
    let found = unrun_tests(&good.replace("step t run_tests\n", ""), manifest, &files);
    assert_eq!(found, ["check.sh has no `run_tests` without a name, which runs all the others"], "the others");
    let found = unrun_tests(good, manifest, &files[..1]);
    assert_eq!(found.len(), 2, "a manifest that names no file: {found:?}");
}

/// Test binaries that `check.sh` names and that do not exist, or that it does not run. Cargo runs all by itself whose
/// target does not say `test = false`.
fn unrun_tests(check: &str, manifest: &str, files: &[String]) -> Vec<String> {
    let exist: BTreeSet<&str> = files.iter().map(|file| name_of(file)).collect();
    let lines: Vec<&str> = check.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let words: Vec<&str> = lines.iter().flat_map(|line| line.split([' ', ';'])).collect();
    let named: BTreeSet<&str> = words.windows(2).filter(|pair| pair[0] == "--test").map(|pair| pair[1]).collect();
    let mut found: Vec<String> = Vec::new();
    for gone in named.difference(&exist) {
        found.push(format!("check.sh names `{gone}`, which does not exist"));
    }
    if !lines.iter().any(|line| line.trim_start().starts_with("step ") && line.ends_with(" run_tests")) {
        found.push("check.sh has no `run_tests` without a name, which runs all the others".to_owned());
    }
    for target in manifest.split("\n[[").filter(|target| target.trim_start_matches("[[").starts_with("test]]")) {
        let field = |key: &str| {
            let value = target.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")))?;
            Some(value.trim_matches('"'))
        };
        let name = field("name").unwrap_or_default();
        let run = lines.iter().any(|line| line.contains(&format!("run_tests --test {name}")));
        if field("test") == Some("false") && !run {
            found.push(format!("check.sh does not name `{name}`, which cargo does not run by itself"));
        }
        if !exist.contains(name) {
            found.push(format!("Cargo.toml names the test `{name}`, which does not exist"));
        }
    }
    found
}

#[test]
fn every_slow_test_is_listed() {
    let (list, mut missing) = (read("docs/testing.md"), Vec::new());
    for file in sources(&root().join("tests/end_to_end")) {
        let text = std::fs::read_to_string(&file).expect("a source");
        let tests = text.split("#[test]\n").skip(1).filter_map(|after| after.trim_start().strip_prefix("fn "));
        let names = tests.map(|after| after.split('(').next().unwrap_or_default().to_owned());
        // A test of both browsers has one row.
        let stem = |name: &str| name.trim_end_matches("_in_chromium").trim_end_matches("_in_firefox").to_owned();
        missing.extend(names.map(|name| stem(&name)).filter(|name| !list.contains(&format!("`{name}`"))));
    }
    assert!(missing.is_empty(), "docs/testing.md does not say what these prove and how long they take: {missing:?}");
}

/// Every file of tests that cargo finds, from the root of the repository.
fn test_files() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("tests")).expect("there are tests").flatten();
    let files = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().join("main.rs").is_file() {
            true => Some(format!("tests/{name}/main.rs")),
            false => name.ends_with(".rs").then(|| format!("tests/{name}")),
        }
    });
    files.collect()
}

fn name_of(file: &str) -> &str {
    let name = file.trim_start_matches("tests/");
    name.strip_suffix("/main.rs").or(name.strip_suffix(".rs")).unwrap_or(name)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}
