//! A `.run` archive. What can be unpacked can be packed again, and is the same afterwards.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pairtune::files::{pack, unpack};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(files) = unpack("a.run", bytes) {
        let packed = pack(&files).expect("names and sizes were accepted");
        assert_eq!(unpack("b.run", &packed).as_ref(), Ok(&files), "the same files");
    }
});
