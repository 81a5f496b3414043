//! The client's side of SPDY/3.1, as far as runtimes' streaming servers need it: streams that we open, data both ways.
//!
//! Flow control windows are not kept: the servers do not keep them either, TCP does the work. Headers that come are not
//! read, since all that matters was said in those that went.

mod dictionary;
mod frame;

use std::io;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use self::frame::{DATA_LIMIT, Frame, Header};

/// Writes frames.
pub(crate) struct Writer<W> {
    io: W,
    headers: Compress,
    next: u32,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(io: W) -> io::Result<Self> {
        let mut headers = Compress::new(Compression::default(), true);
        headers.set_dictionary(&dictionary::text()).map_err(io::Error::other)?;
        Ok(Self { io, headers, next: 1 })
    }

    /// Opens a stream with one header; gives its number.
    pub(crate) async fn open(&mut self, name: &str, value: &str) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        let block = self.compress(&frame::header_block(&[(name, value)]))?;
        self.io.write_all(&frame::syn_stream(stream, &block)).await?;
        self.io.flush().await?;
        Ok(stream)
    }

    /// Sends data, in as many frames as it takes; `last` closes our side of the stream.
    pub(crate) async fn data(&mut self, stream: u32, data: &[u8], last: bool) -> io::Result<()> {
        let mut pieces = data.chunks(DATA_LIMIT).peekable();
        if pieces.peek().is_none() {
            self.io.write_all(&frame::data_header(stream, 0, last)).await?;
        }
        while let Some(piece) = pieces.next() {
            self.io.write_all(&frame::data_header(stream, piece.len(), last && pieces.peek().is_none())).await?;
            self.io.write_all(piece).await?;
        }
        self.io.flush().await
    }

    /// Answers a ping.
    pub(crate) async fn pong(&mut self, id: u32) -> io::Result<()> {
        self.io.write_all(&frame::ping(id)).await?;
        self.io.flush().await
    }

    fn compress(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        // A flushed block is never larger than this.
        let mut out = Vec::with_capacity(block.len() * 2 + 64);
        self.headers.compress_vec(block, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        Ok(out)
    }
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Data of a stream; `last` closes the peer's side of it.
    Data { stream: u32, data: Bytes, last: bool },
    /// A stream was broken off.
    Reset { stream: u32 },
    /// A ping that wants an answer.
    Ping { id: u32 },
    /// The peer goes away.
    End,
}

/// Reads frames.
pub(crate) struct Reader<R>(R);

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(io: R) -> Self {
        Self(io)
    }

    /// The next thing that matters.
    pub(crate) async fn next(&mut self) -> io::Result<Event> {
        loop {
            let mut head = [0; frame::HEAD];
            match self.0.read_exact(&mut head).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Event::End),
                other => other?,
            };
            let header = Header::parse(head);
            let mut body = vec![0; header.length];
            self.0.read_exact(&mut body).await?;
            match header.frame(&body) {
                Frame::Data { stream, last } => return Ok(Event::Data { stream, data: body.into(), last }),
                Frame::Reset { stream } => return Ok(Event::Reset { stream }),
                // Even numbers are the peer's own pings.
                Frame::Ping { id } if id % 2 == 0 => return Ok(Event::Ping { id }),
                Frame::GoAway => return Ok(Event::End),
                Frame::Ping { .. } | Frame::Other => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn opens_streams_and_carries_data() {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let mut writer = Writer::new(ours).unwrap();
        let first = writer.open("streamtype", "error").await.unwrap();
        let second = writer.open("streamtype", "stdin").await.unwrap();
        writer.data(second, b"hello", false).await.unwrap();
        writer.data(second, b"", true).await.unwrap();
        drop(writer);
        assert_eq!((first, second), (1, 3));
        let mut reader = Reader::new(theirs);
        assert_eq!(reader.next().await.unwrap(), Event::Data { stream: 3, data: "hello".into(), last: false });
        assert_eq!(reader.next().await.unwrap(), Event::Data { stream: 3, data: "".into(), last: true });
        assert_eq!(reader.next().await.unwrap(), Event::End);
    }

    #[test]
    fn header_blocks_are_compressed_with_the_dictionary() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let plain = frame::header_block(&[("streamtype", "stdout")]);
        let packed = writer.compress(&plain).unwrap();
        // The checksum of the dictionary that the protocol prescribes.
        assert_eq!(packed[2..6], [0xe3, 0xc6, 0xa7, 0xc2]);
        let mut unpack = flate2::Decompress::new(true);
        let mut out = Vec::with_capacity(1024);
        assert!(unpack.decompress_vec(&packed, &mut out, flate2::FlushDecompress::Sync).is_err());
        unpack.set_dictionary(&dictionary::text()).unwrap();
        unpack.decompress_vec(&packed[6..], &mut out, flate2::FlushDecompress::Sync).unwrap();
        assert_eq!(out, plain);
    }
}
