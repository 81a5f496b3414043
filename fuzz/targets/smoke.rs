// A short search without instrumentation: the kept inputs of each target, and copies of them with changes that a seed
// decides. Shared by the tests of the crates that own the targets.

use std::path::Path;

/// Changed copies of each input, unless `COX_FUZZ_COPIES` says how many.
const COPIES: u64 = 25;

/// Changes in a copy, at most.
const CHANGES: usize = 6;

/// Pieces that mean something to one of the parsers.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"0",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"\n",
    b"---\n",
    b"&a",
    b"*a",
    b"<<: ",
    b"!!",
    b"\xff",
    b"\0",
    b"%",
    b"%zz",
    b"/",
    b"..",
    b"=",
    b"!",
    b"(",
    b")",
    b" in ",
    b"Gi",
    b"E",
    b"\"name\"",
    b"\"$patch\":\"delete\"",
    b"\"k:{\\\"a\\\":1}\"",
    b"9223372036854775807",
    b"-9223372036854775808",
];

/// A target: its name, which is also that of its corpus, and what it checks.
type Target = (&'static str, fn(&[u8]));

/// Runs every target over its corpus.
pub fn run(targets: &[Target]) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let copies = std::env::var("COX_FUZZ_COPIES").ok().and_then(|count| count.parse().ok()).unwrap_or(COPIES);
    for (name, target) in targets {
        let inputs = kept(&corpus.join(name));
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for (at, input) in inputs.iter().enumerate() {
            target(input);
            for copy in 0..copies {
                let other = &inputs[(at + usize::try_from(copy).unwrap_or_default()) % inputs.len()];
                target(&changed(input, other, copy + 1));
            }
        }
    }
}

/// The inputs that have a name: what a search leaves behind has none.
fn kept(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some());
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a readable file")).collect()
}

fn changed(input: &[u8], other: &[u8], seed: u64) -> Vec<u8> {
    let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::try_from(input.len()).unwrap_or_default();
    let mut below = |limit: usize| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance >> 33).unwrap_or_default() % limit.max(1)
    };
    let mut bytes = input.to_vec();
    for _ in 0..=below(CHANGES) {
        let at = below(bytes.len() + 1);
        let end = (at + below(8)).min(bytes.len());
        match below(5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, PIECES[below(PIECES.len())].iter().copied())),
            2 => drop(bytes.splice(at..end, PIECES[below(PIECES.len())].iter().copied())),
            3 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            _ => {
                let from = below(other.len() + 1);
                let to = (from + below(32)).min(other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}
