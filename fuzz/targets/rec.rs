//! The recurrence language: any text is a recurrence or gives diagnostics, and printing and parsing a
//! recurrence does not change it.

#![no_main]

use bptt::Recurrence;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Recurrence::parse("fuzz.rec", text) {
        Ok(recurrence) => {
            let source = recurrence.source().expect("what was read can be printed");
            let again = Recurrence::parse("again.rec", &source).expect("what was printed can be read");
            let second = again.source().expect("what was read can be printed");
            assert_eq!(source, second, "printing is not a fixed point");
        }
        Err(diagnostics) => {
            let text = diagnostics.to_string();
            assert!(text.len() < 1 << 20, "diagnostics of {} characters", text.len());
        }
    }
});
