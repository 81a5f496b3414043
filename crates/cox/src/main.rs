//! `cox`: the whole cluster or one component of it, chosen by the first word of the command line.
fn main() {}
