//! Netlink messages (RFC 3549) as bytes, and a socket that sends a batch and hears what the kernel says.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt, socket,
    sockopt,
};

/// What one read takes: the kernel sends dumps in pieces of at most 32 KiB.
const READ_BYTES: usize = 64 << 10;

/// What the kernel keeps of a message beside its bytes when it counts against the send buffer.
const SEND_OVERHEAD_BYTES: usize = 4096;

const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_ACK`: answer, also when all is well.
pub(crate) const ACK: u16 = 4;
/// `NLM_F_DUMP`: all objects.
pub(crate) const DUMP: u16 = 0x300;
/// `NLM_F_CREATE`: make what is not there.
pub(crate) const CREATE: u16 = 0x400;
const NLA_F_NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// Messages one after the other.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
    count: u32,
}

/// Where an open message or attribute began.
pub(crate) struct Mark(usize);

impl Messages {
    /// Begins a netfilter message: `subsystem << 8 | kind`, family, resource.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16, family: u8, resource: u16) -> Mark {
        let mark = Mark(self.bytes.len());
        self.count += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(self.count.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        mark
    }

    /// Ends a message.
    pub(crate) fn end(&mut self, mark: &Mark) {
        let length = u32::try_from(self.bytes.len() - mark.0).expect("a message is cut long before 4 GiB");
        self.bytes[mark.0..mark.0 + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Adds an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, parts: &[&[u8]]) {
        let length: usize = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
        self.bytes.extend(u16::try_from(length).expect("an attribute is cut before 64 KiB").to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Begins an attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16) -> Mark {
        let mark = Mark(self.bytes.len());
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NLA_F_NESTED).to_ne_bytes());
        mark
    }

    /// Ends an attribute that holds attributes.
    pub(crate) fn end_nest(&mut self, mark: &Mark) {
        let length = u16::try_from(self.bytes.len() - mark.0).expect("an attribute is cut before 64 KiB");
        self.bytes[mark.0..mark.0 + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// How long all is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The attributes in `bytes`, as (type, content).
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let content = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// A netlink socket to netfilter.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = SockProtocol::NetlinkNetFilter;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(fd))
    }

    /// Sends `messages` as one datagram, which is how the kernel knows a batch, and reads every answer. The kernel has
    /// answered when the send returns.
    ///
    /// # Errors
    /// The first error that the kernel names.
    pub(crate) fn send(&self, messages: &Messages) -> io::Result<()> {
        self.post(messages)?;
        let mut buffer = vec![0; READ_BYTES];
        let mut first = None;
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(read) => each(&buffer[..read], |kind, body| {
                    if kind == NLMSG_ERROR && first.is_none() {
                        first = error(body);
                    }
                }),
                Err(nix::Error::EAGAIN) => return first.map_or(Ok(()), Err),
                Err(nix::Error::EINTR) => {}
                Err(failed) => return Err(failed.into()),
            }
        }
    }

    /// Sends a dump request and hands every object to `take`, behind its netfilter header.
    pub(crate) fn dump(&self, request: &Messages, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.post(request)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(nix::Error::EINTR) => continue,
                read => read?,
            };
            let (mut done, mut failed) = (read == 0, None);
            each(&buffer[..read], |kind, body| match kind {
                NLMSG_DONE => done = true,
                NLMSG_ERROR => (done, failed) = (true, error(body)),
                _ => take(body.get(4..).unwrap_or_default()),
            });
            if let Some(failed) = failed {
                return Err(failed);
            }
            if done {
                return Ok(());
            }
        }
    }

    fn post(&self, messages: &Messages) -> io::Result<()> {
        let room = messages.len() + SEND_OVERHEAD_BYTES;
        if sockopt_send_buffer(&self.0)? < room {
            setsockopt(&self.0, sockopt::SndBufForce, &room)?;
        }
        let sent = sendto(self.0.as_raw_fd(), &messages.bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        if sent == messages.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

fn sockopt_send_buffer(fd: &OwnedFd) -> io::Result<usize> {
    Ok(nix::sys::socket::getsockopt(fd, sockopt::SndBuf)?)
}

fn each(mut bytes: &[u8], mut take: impl FnMut(u16, &[u8])) {
    while bytes.len() >= 16 {
        let length = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        let Some(body) = bytes.get(16..length) else { return };
        take(kind, body);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The error in an `NLMSG_ERROR`; none when it is an acknowledgement.
fn error(body: &[u8]) -> Option<io::Error> {
    let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    (code != 0).then(|| io::Error::from_raw_os_error(-code))
}
