//! The pause program: what a pod sandbox runs, so that its namespaces have an owner. Built in, so no pull is needed.
//!
//! It is a 64-bit ELF file of one segment, put together here from a handful of machine instructions: reap children
//! by ignoring SIGCHLD, block SIGINT and SIGTERM, wait for either, exit with 0.

use crate::image::archive::{self, Content, Entry, Launch};

/// The name under which the runtime knows the image.
pub const IMAGE: &str = "registry.k8s.io/pause:3.10";

const LOAD_ADDRESS: u64 = 0x40_0000;
const HEADERS: usize = 64 + 56;
/// The signal set {SIGINT, SIGTERM} as the kernel has it: bit N-1 for signal N.
const SIGNALS: u64 = 1 << (2 - 1) | 1 << (15 - 1);
const SIGCHLD: u32 = 17;
const SIG_IGN: u64 = 1;
/// The size of the kernel's signal set, which these calls want to hear.
const SET_SIZE: u32 = 8;

/// A machine that the pause program exists for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// `amd64` in Go's words.
    X86_64,
    /// `arm64` in Go's words.
    Aarch64,
}

impl Machine {
    /// The machine that this program was built for; `None` where there is no pause program for it.
    #[must_use]
    pub fn here() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    fn elf_number(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }

    fn code(self) -> Vec<u8> {
        match self {
            Self::X86_64 => x86_64(),
            Self::Aarch64 => aarch64(),
        }
    }
}

/// The image as an archive that a runtime imports.
#[must_use]
pub fn image(machine: Machine) -> Vec<u8> {
    let program = Entry { path: "pause".into(), mode: 0o755, content: Content::File(program(machine)) };
    let launch = Launch { entrypoint: vec!["/pause".into()], user: "65535:65535".into(), ..Launch::default() };
    archive::write(IMAGE, machine.go_name(), &launch, &[program])
}

/// The ELF file: headers, code, then the data that the code points at.
fn program(machine: Machine) -> Vec<u8> {
    let code = machine.code();
    let size = (HEADERS + code.len()) as u64;
    let mut file = Vec::new();
    file.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for half in [2u16, machine.elf_number()] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1u32.to_le_bytes());
    for word in [LOAD_ADDRESS + HEADERS as u64, 64, 0] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, 1, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    // The one segment: load, readable and executable.
    for word in [1u32, 5] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for word in [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&code);
    file
}

/// The kernel's `sigaction` that ignores, then the signal set.
fn data() -> Vec<u8> {
    [SIG_IGN, 0, 0, 0, SIGNALS].iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Where the signal set starts inside [`data`].
const SET_OFFSET: usize = 32;

fn x86_64() -> Vec<u8> {
    // Each call: eax = number, edi, rsi = address, edx, r10d = set size; an address is a hole filled in afterwards.
    fn call(
        code: &mut Vec<u8>,
        number: u32,
        edi: u32,
        data_offset: usize,
        holes: &mut Vec<(usize, usize)>,
        rsi_is_set: bool,
    ) {
        code.push(0xb8);
        code.extend_from_slice(&number.to_le_bytes());
        if rsi_is_set {
            code.push(0xbf); // mov edi, imm32
            code.extend_from_slice(&edi.to_le_bytes());
            code.extend_from_slice(&[0x48, 0x8d, 0x35]); // lea rsi, [rip + hole]
        } else {
            code.extend_from_slice(&[0x31, 0xf6]); // xor esi, esi
            code.extend_from_slice(&[0x48, 0x8d, 0x3d]); // lea rdi, [rip + hole]
        }
        holes.push((code.len(), data_offset));
        code.extend_from_slice(&[0; 4]);
        code.extend_from_slice(&[0x31, 0xd2]); // xor edx, edx
        code.extend_from_slice(&[0x41, 0xba]); // mov r10d, imm32
        code.extend_from_slice(&SET_SIZE.to_le_bytes());
        code.extend_from_slice(&[0x0f, 0x05]); // syscall
    }
    let (mut code, mut holes) = (Vec::new(), Vec::new());
    call(&mut code, 13, SIGCHLD, 0, &mut holes, true); // rt_sigaction
    call(&mut code, 14, 0, SET_OFFSET, &mut holes, true); // rt_sigprocmask(SIG_BLOCK)
    let again = code.len();
    call(&mut code, 128, 0, SET_OFFSET, &mut holes, false); // rt_sigtimedwait, for ever
    code.extend_from_slice(&[0x85, 0xc0, 0x7e]); // test eax, eax; jle again
    code.push((again as i64 - (code.len() as i64 + 1)) as i8 as u8);
    code.extend_from_slice(&[0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]); // exit_group(0)
    code.resize(code.len().next_multiple_of(8), 0x90);
    let start = code.len();
    for (hole, offset) in holes {
        let distance = (start + offset - (hole + 4)) as u32;
        code[hole..hole + 4].copy_from_slice(&distance.to_le_bytes());
    }
    code.extend_from_slice(&data());
    code
}

fn aarch64() -> Vec<u8> {
    const CALL: u32 = 0xd400_0001; // svc #0
    /// x`register` = `value`
    fn set(register: u32, value: u32) -> u32 {
        0xd280_0000 | value << 5 | register
    }
    /// x`register` = the address `distance` bytes ahead
    fn address(register: u32, distance: usize) -> u32 {
        let distance = distance as u32;
        0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5 | register
    }
    const WORDS: usize = 26;
    let at = |index: usize, offset: usize| (WORDS - index) * 4 + offset;
    #[rustfmt::skip]
    let mut words = vec![
        set(8, 134), set(0, SIGCHLD), address(1, at(2, 0)), set(2, 0), set(3, SET_SIZE), CALL, // rt_sigaction
        set(8, 135), set(0, 0), address(1, at(8, SET_OFFSET)), set(2, 0), set(3, SET_SIZE), CALL, // rt_sigprocmask
        set(8, 137), address(0, at(13, SET_OFFSET)), set(1, 0), set(2, 0), set(3, SET_SIZE), CALL, // rt_sigtimedwait
        0xf100_001f, // cmp x0, #0
        0x5400_000d | ((12i32 - 19) as u32 & 0x7_ffff) << 5, // b.le to the wait
        set(8, 94), set(0, 0), CALL, // exit_group(0)
    ];
    words.resize(WORDS, 0xd503_201f); // nop
    words.iter().flat_map(|word| word.to_le_bytes()).chain(data()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    #[test]
    fn both_machines_have_a_program_under_a_page() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let file = program(machine);
            assert!(file.starts_with(b"\x7fELF") && file.len() < 4096, "{}", file.len());
        }
    }

    #[test]
    fn it_waits_for_a_signal_and_exits_with_0() {
        let Some(machine) = Machine::here() else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, program(machine)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        let waits = format!("{} ", if machine == Machine::X86_64 { 128 } else { 137 });
        let path = format!("/proc/{}/syscall", child.id());
        let at_its_wait = || std::fs::read_to_string(&path).is_ok_and(|call| call.starts_with(&waits));
        for _ in 0..1_000_000 {
            if at_its_wait() {
                break;
            }
            std::thread::yield_now();
        }
        assert!(at_its_wait(), "{:?}", child.try_wait());
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None));
    }
}
