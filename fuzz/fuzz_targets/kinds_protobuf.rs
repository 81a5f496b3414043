#![no_main]

#[allow(dead_code, reason = "each binary is one of the targets")]
#[path = "../targets/kinds.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::kinds_protobuf(bytes));
