//! Takes the operating system's chance away: hash maps and tokio's wake-up order draw from a fixed sequence, so that a
//! seed replays in every process. The standard library calls `getrandom` by a weak symbol for exactly this.

#![allow(unsafe_code, reason = "the only way to decide what the standard library seeds its hash maps with")]

use std::sync::atomic::{AtomicU64, Ordering};

/// Where the sequence begins; each draw adds the constant of the SplitMix64 generator.
static STATE: AtomicU64 = AtomicU64::new(0x636f_7873_7761_696e);
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Stands in for the C library's function of this name: fills the buffer and never fails.
///
/// # Safety
/// `buffer` has `length` writable bytes, as callers of the C function promise.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in buffer.chunks_mut(8) {
        chunk.copy_from_slice(&draw().to_le_bytes()[..chunk.len()]);
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

fn draw() -> u64 {
    let state = STATE.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
