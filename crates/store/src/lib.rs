//! Bytes and revisions: the store trait, its in-memory and embedded engines; knows no JSON.
