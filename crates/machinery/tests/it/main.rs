//! What the crate promises to whoever sends it bytes.

#[path = "../../../../fuzz/targets/smoke.rs"]
mod smoke;
#[path = "../../../../fuzz/targets/machinery.rs"]
mod targets;

#[test]
fn no_input_is_fatal() {
    smoke::run(targets::ALL);
}
