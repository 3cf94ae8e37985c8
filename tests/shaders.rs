//! Every kernel's WGSL against its Rust side, by reflection and without a GPU: bindings, `Params`, WebGPU's limits,
//! the header comment, and that no file in `shaders/` is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pairtune::gpu::{Bind, Kernel};
use wgpu::naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use wgpu::naga::{AddressSpace, GlobalVariable, Module, ShaderStage, StorageAccess, TypeInner, front};

// What WebGPU promises everywhere.
const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_SIZE: [u32; 3] = [256, 256, 64];
const MAX_WORKGROUP_BYTES: u32 = 16_384;
const UNPACK_F16: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

#[test]
fn every_kernel_agrees_with_its_shader() {
    let kernels = pairtune::kernels::all();
    assert!(!kernels.is_empty(), "there are kernels");
    let found = kernels.iter().flat_map(|kernel| kernel_problems(kernel));
    assert_none(found.collect());
}

#[test]
fn kernel_names_are_unique() {
    let mut seen = BTreeSet::new();
    let twice = pairtune::kernels::all().into_iter().filter(|kernel| !seen.insert(kernel.name));
    assert_none(twice.map(|kernel| format!("{}: two kernels have this name", kernel.name)).collect());
}

#[test]
fn names_are_made_of_operation_variant_and_format() {
    let (files, libs) = (wgsl_files("shaders"), wgsl_files("shaders/lib"));
    let mut problems = Vec::new();
    for kernel in pairtune::kernels::all() {
        let (stem, used_libs) = parts(kernel, &files, &libs).expect("another test finds what is wrong");
        let join = |parts: &[&str]| parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("_");
        if join(&[&stem, kernel.format]) != kernel.name {
            problems.push(format!("{}: not {stem} with the format {:?}", kernel.name, kernel.format));
        }
        let weights: Vec<&str> = used_libs.iter().filter_map(|lib| lib.strip_prefix("weight_")).collect();
        if weights.iter().copied().ne(Some(kernel.format).filter(|format| !format.is_empty())) {
            problems.push(format!("{}: reads {weights:?}, but says {:?}", kernel.name, kernel.format));
        }
        let varied = variant_of(&stem);
        if varied.map_or("", |(_, variant)| variant) != kernel.variant {
            problems.push(format!("{}: its variant is not {:?}", kernel.name, kernel.variant));
        }
        let operation = varied.map_or(stem.as_str(), |(operation, _)| operation);
        let file = [operation, kernel.variant, kernel.format, "wgsl"];
        let file = file.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        if kernel.file_name() != file {
            problems.push(format!("{}: written as {}, not {file}", kernel.name, kernel.file_name()));
        }
    }
    assert_none(problems);
}

#[test]
fn every_file_belongs_to_a_kernel() {
    let (files, libs) = (wgsl_files("shaders"), wgsl_files("shaders/lib"));
    let mut unused: BTreeSet<String> = files.keys().map(|stem| format!("shaders/{stem}.wgsl")).collect();
    unused.extend(libs.keys().map(|stem| format!("shaders/lib/{stem}.wgsl")));
    let mut problems = Vec::new();
    for kernel in pairtune::kernels::all() {
        match parts(kernel, &files, &libs) {
            Ok((stem, used_libs)) => {
                unused.remove(&format!("shaders/{stem}.wgsl"));
                unused.retain(|path| !used_libs.iter().any(|lib| *path == format!("shaders/lib/{lib}.wgsl")));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(unused.iter().map(|path| format!("{path}: no kernel in kernels::all() uses it")));
    assert_none(problems);
}

#[test]
fn every_file_has_a_header() {
    let (files, libs) = (wgsl_files("shaders"), wgsl_files("shaders/lib"));
    let mut problems = Vec::new();
    for kernel in pairtune::kernels::all() {
        if let Ok((stem, used_libs)) = parts(kernel, &files, &libs) {
            let reads = kernel.binds.contains(&Bind::Read);
            problems.extend(header_problems(&stem, &files[&stem], reads, &used_libs));
        }
    }
    for (stem, text) in &libs {
        if !text.starts_with(&format!("// lib/{stem}.wgsl:")) {
            problems.push(format!("shaders/lib/{stem}.wgsl:1: does not begin with `// lib/{stem}.wgsl: <its use>`"));
        }
    }
    problems.sort();
    problems.dedup();
    assert_none(problems);
}

/// What is wrong with a kernel, one line each.
fn kernel_problems(kernel: &Kernel) -> Vec<String> {
    let mut problems = text_problems(kernel.wgsl);
    match front::wgsl::parse_str(kernel.wgsl) {
        Err(e) => problems.push(format!("does not parse: {}", e.emit_to_string(kernel.wgsl))),
        Ok(module) => {
            if let Err(e) = validator(kernel).subgroup_stages(ShaderStages::COMPUTE).validate(&module) {
                problems.push(format!("is not valid: {}", e.emit_to_string(kernel.wgsl)));
            } else {
                problems.extend(module_problems(kernel, &module));
            }
        }
    }
    problems.into_iter().map(|problem| format!("{}: {problem}", kernel.name)).collect()
}

/// f16 and whatever else a device may lack are refused; what stays is `unpack2x16float`, which every WebGPU device has,
/// and subgroups in the kernels that say so.
fn validator(kernel: &Kernel) -> Validator {
    let subgroups = if kernel.subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let mut validator = Validator::new(ValidationFlags::all(), UNPACK_F16 | subgroups);
    validator.subgroup_operations(SubgroupOperationSet::all());
    validator
}

/// What Tint refuses and naga does not, and what would need a feature.
fn text_problems(wgsl: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (i, line) in wgsl.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("3.4028235e38") || code.contains("3.4028235e+38") {
            problems.push(format!("line {}: Tint rejects f32's largest value as a literal; use -1e30 to mask", i + 1));
        }
        if ["enable", "requires"].iter().any(|word| code.trim_start().starts_with(&format!("{word} "))) {
            problems.push(format!("line {}: `{}` asks for what not every device has", i + 1, code.trim()));
        }
    }
    problems
}

fn module_problems(kernel: &Kernel, module: &Module) -> Vec<String> {
    let mut problems = Vec::new();
    match &module.entry_points[..] {
        [entry] if entry.name == "main" && entry.stage == ShaderStage::Compute => {
            let size = entry.workgroup_size;
            let invocations: u32 = size.iter().product();
            if invocations > MAX_INVOCATIONS || size.iter().zip(MAX_WORKGROUP_SIZE).any(|(&n, max)| n > max) {
                problems.push(format!("a workgroup of {size:?} is beyond {MAX_INVOCATIONS} or {MAX_WORKGROUP_SIZE:?}"));
            }
        }
        entries => {
            let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            problems.push(format!("needs one entry point, a compute shader named main, and has {names:?}"));
        }
    }
    if !module.overrides.is_empty() {
        problems.push("has an `override`, which `Kernel` cannot set: use `const` or Params".to_owned());
    }
    problems.extend(params_problems(kernel, module));
    problems.extend(storage_problems(kernel, module));
    let workgroup = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    let bytes: u32 = workgroup.map(|(_, v)| size_of_variable(module, v).next_multiple_of(16)).sum();
    if bytes > MAX_WORKGROUP_BYTES {
        problems.push(format!("{bytes} bytes of workgroup memory are more than {MAX_WORKGROUP_BYTES}"));
    }
    problems
}

/// Binding 0: `var<uniform> params: Params`, 4-byte members without gaps, as large as the Rust struct.
fn params_problems(kernel: &Kernel, module: &Module) -> Vec<String> {
    let uniforms: Vec<&GlobalVariable> =
        module.global_variables.iter().map(|(_, v)| v).filter(|v| v.space == AddressSpace::Uniform).collect();
    let [params] = uniforms[..] else {
        return vec![format!("needs one var<uniform>, the Params, and has {}", uniforms.len())];
    };
    let mut problems = Vec::new();
    if group_and_binding(params) != Some((0, 0)) {
        problems.push("the uniform is not at @group(0) @binding(0)".to_owned());
    }
    let ty = &module.types[params.ty];
    let TypeInner::Struct { members, span } = &ty.inner else {
        problems.push("the uniform is not a struct".to_owned());
        return problems;
    };
    if ty.name.as_deref() != Some("Params") {
        problems.push(format!("the uniform's struct is named {:?}, not Params", ty.name));
    }
    if *span as usize != kernel.params_bytes {
        problems.push(format!("Params has {span} bytes here and {} in Rust", kernel.params_bytes));
    }
    for (i, member) in members.iter().enumerate() {
        let bytes = module.types[member.ty].inner.size(module.to_ctx());
        if bytes != 4 || member.offset as usize != 4 * i {
            let name = member.name.as_deref().unwrap_or("?");
            problems.push(format!("Params.{name} has {bytes} bytes at {}, not 4 at {}", member.offset, 4 * i));
        }
    }
    problems
}

/// Bindings 1, 2, ...: the storage buffers of `Kernel::binds`, in order.
fn storage_problems(kernel: &Kernel, module: &Module) -> Vec<String> {
    let mut problems = Vec::new();
    let mut buffers = BTreeMap::new();
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.as_deref().unwrap_or("?");
        match variable.space {
            AddressSpace::Storage { access } => {
                if let Some(before) = buffers.insert(group_and_binding(variable), (name, access)) {
                    problems.push(format!("{name} has the binding of {}", before.0));
                }
            }
            AddressSpace::Handle => problems.push(format!("{name} is a texture or sampler; kernels use buffers only")),
            _ => {}
        }
    }
    if buffers.len() > MAX_STORAGE_BUFFERS {
        problems.push(format!("{} storage buffers are more than {MAX_STORAGE_BUFFERS}", buffers.len()));
    }
    if buffers.len() != kernel.binds.len() {
        problems.push(format!("{} storage buffers here, {} in Kernel::binds", buffers.len(), kernel.binds.len()));
    }
    for (i, bind) in kernel.binds.iter().enumerate() {
        let (binding, wanted) = match bind {
            Bind::Read => (i as u32 + 1, StorageAccess::LOAD),
            Bind::Write => (i as u32 + 1, StorageAccess::LOAD | StorageAccess::STORE),
        };
        match buffers.get(&Some((0, binding))) {
            None => problems.push(format!("no storage buffer at @group(0) @binding({binding})")),
            Some((name, access)) if *access != wanted => {
                problems.push(format!("{name} at binding {binding} is {access:?}, but Kernel::binds has {bind:?}"));
            }
            Some(_) => {}
        }
    }
    problems
}

fn group_and_binding(variable: &GlobalVariable) -> Option<(u32, u32)> {
    variable.binding.map(|at| (at.group, at.binding))
}

fn size_of_variable(module: &Module, variable: &GlobalVariable) -> u32 {
    module.types[variable.ty].inner.size(module.to_ctx())
}

/// Grid, reads, writes and twin, in this order, in the comment that a shader begins with; and the libs it is made with.
fn header_problems(stem: &str, text: &str, reads: bool, libs: &[String]) -> Vec<String> {
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
    let place = |start: &str| header.iter().position(|line| line.starts_with(start));
    // A variant computes what the kernel it varies computes.
    let varied = variant_of(stem).map_or(stem, |(operation, _)| operation);
    let twin = format!("// Twin    reference::{varied}");
    let mut problems = Vec::new();
    let mut needed = vec!["// Grid    ", "// Reads   ", "// Writes  ", &twin];
    if !reads {
        needed.remove(1);
    }
    let places: Vec<_> = needed.iter().map(|start| place(start)).collect();
    for (start, place) in needed.iter().zip(&places) {
        if place.is_none() {
            problems.push(format!("shaders/{stem}.wgsl:1: the header has no line `{}`", start.trim_end()));
        }
    }
    if !places.is_sorted() && problems.is_empty() {
        problems.push(format!("shaders/{stem}.wgsl:1: the header's order is grid, reads, writes, twin"));
    }
    if !header.iter().any(|line| *line == twin) && problems.is_empty() {
        problems.push(format!("shaders/{stem}.wgsl:1: the twin's line is not exactly `{twin}`"));
    }
    if header.first().is_none_or(|line| line.len() < 10 || needed.iter().any(|start| line.starts_with(start))) {
        problems.push(format!("shaders/{stem}.wgsl:1: the first line does not say what is computed"));
    }
    let with = place("// With    ").map_or("", |at| header[at]);
    for lib in libs {
        // A family is written `lib/weight_{f32,f16,bf16}.wgsl`.
        let (family, variant) = lib.split_once('_').unwrap_or((lib, ""));
        let listed = with.contains(&format!("{family}_{{")) && with.contains(variant);
        if !listed && !with.contains(&format!("lib/{lib}.wgsl")) {
            problems.push(format!("shaders/{stem}.wgsl:1: the header has no `// With    lib/{lib}.wgsl`"));
        }
    }
    problems
}

/// The operation and the variant of a file that computes one of several variants.
fn variant_of(stem: &str) -> Option<(&str, &'static str)> {
    ["subgroup", "wide"].into_iter().find_map(|variant| Some((stem.strip_suffix(variant)?.strip_suffix('_')?, variant)))
}

/// The file a kernel is made of, and the libs before it; its name is the stem, with a suffix for a variant.
fn parts(
    kernel: &Kernel,
    files: &BTreeMap<String, String>,
    libs: &BTreeMap<String, String>,
) -> Result<(String, Vec<String>), String> {
    let Some((stem, file)) = files.iter().find(|(_, file)| kernel.wgsl.ends_with(file.as_str())) else {
        return Err(format!("{}: its text does not end with a file of shaders/", kernel.name));
    };
    let variant = kernel.name.strip_prefix(stem.as_str());
    if !variant.is_some_and(|variant| variant.is_empty() || variant.starts_with('_')) {
        return Err(format!("{}: the kernel is made of shaders/{stem}.wgsl, and needs its name", kernel.name));
    }
    let mut before = &kernel.wgsl[..kernel.wgsl.len() - file.len()];
    let mut used = Vec::new();
    while !before.is_empty() {
        let Some((lib, text)) = libs.iter().find(|(_, lib)| before.starts_with(lib.as_str())) else {
            return Err(format!("{}: there is text that is no file of shaders/lib/", kernel.name));
        };
        used.push(lib.clone());
        before = &before[text.len()..];
    }
    Ok((stem.clone(), used))
}

/// Texts of the `.wgsl` files directly in a folder, by stem; none of them is empty.
fn wgsl_files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).expect("the shaders are there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let stem = |path: &Path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let files: BTreeMap<String, String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"))
        .map(|path| (stem(&path), std::fs::read_to_string(&path).expect("a shader is UTF-8")))
        .collect();
    assert!(!files.is_empty() && files.values().all(|text| !text.is_empty()), "{}: an empty file", folder.display());
    files
}

#[track_caller]
fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} found:\n{}", problems.len(), problems.join("\n"));
}

/// A shader with nothing wrong, to be spoilt by the tests below.
const GOOD: &str = "\
struct Params { n: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    tile[lane] = x[lane];
    y[lane] = params.scale * tile[lane];
}
";

/// A kernel without bindings.
fn plain(name: &'static str, wgsl: &'static str) -> Kernel {
    Kernel { name, variant: "", format: "", wgsl, params_bytes: 0, binds: &[], subgroups: false }
}

/// Makes each replacement in `GOOD` and expects one problem that contains `problem`.
#[track_caller]
fn assert_spoilt(replacements: &[(&str, &str)], problem: &str) {
    let mut wgsl = GOOD.to_owned();
    for (from, to) in replacements {
        assert!(wgsl.contains(from), "{from} is in the good shader");
        wgsl = wgsl.replace(from, to);
    }
    let wgsl: &'static str = wgsl.leak();
    let kernel = Kernel { params_bytes: 8, binds: &[Bind::Read, Bind::Write], ..plain("spoilt", wgsl) };
    let found = kernel_problems(&kernel);
    assert!(found.iter().any(|line| line.contains(problem)), "expected {problem:?}, found {found:?}");
}

#[test]
fn a_good_kernel_passes() {
    let kernel = Kernel { binds: &[Bind::Read, Bind::Write], params_bytes: 8, ..plain("good", GOOD) };
    assert_none(kernel_problems(&kernel));
}

#[test]
fn a_wrong_binding_is_found() {
    assert_spoilt(&[("@binding(2)", "@binding(3)")], "no storage buffer at @group(0) @binding(2)");
    assert_spoilt(&[("@group(0) @binding(1)", "@group(1) @binding(1)")], "no storage buffer at @group(0) @binding(1)");
    assert_spoilt(&[("storage, read>", "storage, read_write>")], "x at binding 1");
    assert_spoilt(&[("@binding(0)", "@binding(9)")], "not at @group(0) @binding(0)");
    let third = "@group(0) @binding(3) var<storage, read> z: array<f32>;\n@compute";
    assert_spoilt(&[("@compute", third)], "3 storage buffers here, 2 in Kernel::binds");
    let many: String =
        (3..=9).map(|i| format!("@group(0) @binding({i}) var<storage, read> z{i}: array<f32>;\n")).collect();
    assert_spoilt(&[("@compute", &format!("{many}@compute"))], "9 storage buffers are more than 8");
}

#[test]
fn wrong_params_are_found() {
    assert_spoilt(&[("n: u32, ", "")], "Params has 4 bytes here and 8 in Rust");
    assert_spoilt(&[("n: u32, scale", "n: vec2<u32>, scale")], "Params.n has 8 bytes");
    assert_spoilt(&[("scale: f32 }", "@align(16) scale: f32 }")], "Params.scale has 4 bytes at 16, not 4 at 4");
    assert_spoilt(&[("Params", "Scalars")], "not Params");
    let private = "var<private> params: Params;";
    assert_spoilt(&[("@group(0) @binding(0) var<uniform> params: Params;", private)], "needs one var<uniform>");
}

#[test]
fn limits_are_checked() {
    assert_spoilt(&[("@workgroup_size(64)", "@workgroup_size(64, 8)")], "a workgroup of [64, 8, 1]");
    assert_spoilt(&[("@workgroup_size(64)", "@workgroup_size(1, 1, 128)")], "a workgroup of [1, 1, 128]");
    assert_spoilt(&[("array<f32, 64>", "array<f32, 4100>")], "16400 bytes of workgroup memory");
    assert_spoilt(&[("fn main", "fn start")], "named main");
    assert_spoilt(&[("@compute", "override wide = true;\n@compute")], "has an `override`");
    assert_spoilt(&[("struct Params", "enable f16;\nstruct Params")], "asks for what not every device has");
    assert_spoilt(&[("params.scale", "3.4028235e38")], "Tint rejects");
    assert_spoilt(&[("tile[lane] = x[lane]", "tile[lane] = x")], "is not valid");
    assert_spoilt(&[("tile[lane] = x[lane]", "tile[lane] =")], "does not parse");
}

#[test]
fn a_wrong_header_is_found() {
    let good = "// Adds two vectors.\n//\n// Grid    One.\n// Reads   x\n// Writes  y =\n// Twin    reference::add\n\
                // With    lib/weight_{f32,f16}.wgsl\nconst A = 1;\n";
    let libs = ["weight_f16".to_owned()];
    assert_none(header_problems("add", good, true, &libs));
    for line in ["// Adds two vectors.", "// Grid", "// Reads", "// Writes", "// Twin", "// With"] {
        let from = good.find(line).expect("the line is there");
        let to = from + good[from..].find('\n').expect("the line ends") + 1;
        let without = format!("{}{}", &good[..from], &good[to..]);
        assert_eq!(header_problems("add", &without, true, &libs).len(), 1, "without {line}");
    }
    assert_none(header_problems("add", &good.replace("// Reads   x\n", ""), false, &libs));
    assert_eq!(header_problems("sub", good, true, &libs).len(), 1, "another twin");
    assert_eq!(header_problems("ad", good, true, &libs).len(), 1, "a twin that only begins alike");
}

#[test]
fn text_that_is_no_file_is_found() {
    let files = BTreeMap::from([("add".to_owned(), "fn main() {}\n".to_owned())]);
    let libs = BTreeMap::from([("reduce".to_owned(), "const WG = 64u;\n".to_owned())]);
    let of = |name, wgsl| parts(&plain(name, wgsl), &files, &libs);
    let with_lib = "const WG = 64u;\nfn main() {}\n";
    assert_eq!(of("add_f16", with_lib), Ok(("add".to_owned(), vec!["reduce".to_owned()])), "a good one");
    assert!(of("add", "fn other() {}\n").is_err(), "another text");
    assert!(of("sub", with_lib).is_err(), "another name");
    assert!(of("adder", with_lib).is_err(), "a name that only begins alike");
    assert!(of("add", "const X = 1;\nfn main() {}\n").is_err(), "text made in Rust");
}
