//! Small writes become large ones before they are encrypted: HTTP/2 hands on frames of 16 KiB and 9 bytes, and each would
//! be two TLS records and a call of its own into the kernel.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is encrypted and sent at a time: what rustls takes at once, four whole records.
const GATHERED_BYTES: usize = 64 * 1024;

/// A stream whose writes wait for a flush, or until there is enough.
#[derive(Debug)]
pub struct Gather<S> {
    inner: S,
    waiting: Vec<u8>,
    /// How many of them have gone out.
    sent: usize,
}

impl<S> Gather<S> {
    /// Writes to `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, waiting: Vec::new(), sent: 0 }
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Hands on what waits. An idle connection keeps no room for it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(context, &self.waiting[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        (self.waiting, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= GATHERED_BYTES {
            ready!(self.poll_send(context))?;
        }
        let before = self.waiting.len();
        for piece in pieces {
            let room = GATHERED_BYTES - self.waiting.len();
            self.waiting.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Poll::Ready(Ok(self.waiting.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Notes the sizes of what is written to it.
    #[derive(Default)]
    struct Sizes(Vec<usize>);

    impl AsyncWrite for Sizes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn frames_go_out_together() {
        let mut stream = Gather::new(Sizes::default());
        stream.write_all(&[1; 9]).await.unwrap();
        stream.write_all(&[2; 100]).await.unwrap();
        assert_eq!(stream.inner.0, [0; 0]);
        stream.flush().await.unwrap();
        for _ in 0..5 {
            stream.write_all(&[3; 16_393]).await.unwrap();
        }
        stream.shutdown().await.unwrap();
        assert_eq!(stream.inner.0, [109, GATHERED_BYTES, 5 * 16_393 - GATHERED_BYTES]);
        assert_eq!(stream.waiting.capacity(), 0);
    }

    #[tokio::test]
    async fn nothing_is_lost_or_turned_round_on_a_slow_stream() {
        let (near, mut far) = tokio::io::duplex(1000);
        let sent: Vec<u8> = (0..300_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let mut stream = Gather::new(near);
        let write = async {
            for piece in sent.chunks(7_001) {
                stream.write_all(piece).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let (_, count) = tokio::join!(write, far.read_to_end(&mut read));
        assert_eq!((count.unwrap(), read == sent), (sent.len(), true));
    }
}
