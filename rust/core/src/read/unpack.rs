//! Gzip, zstd and xz to the bytes that are packed in them, on a thread of its own.
//!
//! The thread is ahead by a few blocks, which bounds the memory; the workers have their time
//! meanwhile. Several members, frames or streams in one file are read as one. What is cut off is an
//! error wherever it stands, never a short file; so is damage, but for a zstd frame that was packed
//! without a checksum.
//!
//! Performance note: xz by liblzma (its C sources are compiled in) ran at 64–70 MB/s of text where
//! the pure Rust `lzma-rust2` ran at 43–48, on a rationale corpus of 127 MB.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use zstd::stream::read::Decoder as ZstdDecoder;

/// Bytes of a block.
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that wait to be read.
const BLOCKS_AHEAD: usize = 4;
/// After so long without a block, or a chunk, who waits for it hears that it may stop.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// What an xz file may ask for; its largest preset takes 65 MiB.
const XZ_MEMORY: u64 = 512 << 20;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Gzip,
    Zstd,
    Xz,
}

impl Codec {
    /// The codec whose files begin like this.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // A frame, or one to skip before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }

    fn decoder(self, source: Counted) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(source)),
            Self::Zstd => Box::new(ZstdDecoder::with_buffer(source)?),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(XzDecoder::new_stream(source, stream))
            }
        })
    }
}

/// The content of a packed file that cannot be read.
#[derive(Debug)]
pub struct Broken {
    /// Bytes of the file that were read before.
    pub packed_bytes: u64,
    codec: Codec,
    fault: io::Error,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "broken {} ({})", self.codec.name(), self.fault)
    }
}

impl std::error::Error for Broken {}

/// What is packed in a file.
///
/// Reading fails with [`io::ErrorKind::Interrupted`] where it takes long, and with [`Broken`] inside
/// an [`io::Error`] where the file is.
#[derive(Debug)]
pub struct Unpacked {
    messages: Receiver<Message>,
    spare: Sender<Vec<u8>>,
    block: Vec<u8>,
    read_bytes: usize,
    packed_bytes: u64,
    ended: bool,
}

#[derive(Debug)]
enum Message {
    Block { bytes: Vec<u8>, packed_bytes: u64 },
    End { packed_bytes: u64 },
    Fault(io::Error),
}

impl Unpacked {
    /// Begins to unpack `source`.
    pub fn begin(codec: Codec, source: Box<dyn Read + Send>) -> io::Result<Self> {
        let (send, messages) = sync_channel(BLOCKS_AHEAD);
        let (spare, spares) = channel();
        thread::Builder::new()
            .name(format!("unpack {}", codec.name()))
            .spawn(move || unpack(codec, source, &send, &spares))?;
        Ok(Self {
            messages,
            spare,
            block: Vec::new(),
            read_bytes: 0,
            packed_bytes: 0,
            ended: false,
        })
    }

    /// Bytes of the file that what was read so far stands for.
    pub fn packed_bytes(&self) -> u64 {
        self.packed_bytes
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read_bytes == self.block.len() && !self.ended {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(Message::Block {
                    bytes,
                    packed_bytes,
                }) => {
                    let read = std::mem::replace(&mut self.block, bytes);
                    // Nobody takes it if the thread has ended; then it is just dropped.
                    let _ = self.spare.send(read);
                    self.read_bytes = 0;
                    self.packed_bytes = packed_bytes;
                }
                Ok(Message::End { packed_bytes }) => {
                    self.packed_bytes = packed_bytes;
                    self.ended = true;
                }
                Ok(Message::Fault(fault)) => return Err(fault),
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::Interrupted.into()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the unpacking thread panicked"));
                }
            }
        }
        let count = (&self.block[self.read_bytes..]).read(buffer)?;
        self.read_bytes += count;
        Ok(count)
    }
}

/// Sends blocks until the file, or the interest in it, ends.
fn unpack(
    codec: Codec,
    source: Box<dyn Read + Send>,
    send: &SyncSender<Message>,
    spares: &Receiver<Vec<u8>>,
) {
    let count = Arc::new(Count::default());
    let source = Counted {
        source: BufReader::with_capacity(BLOCK_BYTES, source),
        count: Arc::clone(&count),
    };
    let fault = |fault| {
        if count.failed.load(Ordering::Relaxed) {
            return Message::Fault(fault);
        }
        let packed_bytes = count.bytes.load(Ordering::Relaxed);
        Message::Fault(io::Error::other(Broken {
            packed_bytes,
            codec,
            fault,
        }))
    };
    let mut decoder = match codec.decoder(source) {
        Ok(decoder) => decoder,
        Err(error) => return send.send(fault(error)).unwrap_or_default(),
    };
    loop {
        let mut bytes = spares.try_recv().unwrap_or_default();
        bytes.resize(BLOCK_BYTES, 0);
        let (filled, end) = fill(&mut *decoder, &mut bytes);
        bytes.truncate(filled);
        let packed_bytes = count.bytes.load(Ordering::Relaxed);
        let block = Message::Block {
            bytes,
            packed_bytes,
        };
        let last = match end {
            None => None,
            Some(Ok(())) => Some(Message::End { packed_bytes }),
            Some(Err(error)) => Some(fault(error)),
        };
        // What came before a fault is read too: a record in it may be the first fault.
        let sent = send.send(block).is_ok();
        match last {
            Some(last) if sent => return send.send(last).unwrap_or_default(),
            None if sent => {}
            _ => return, // the reader is gone
        }
    }
}

/// Fills `bytes` as far as it goes; says how it ended, if it did.
fn fill(decoder: &mut dyn Read, bytes: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while filled < bytes.len() {
        match decoder.read(&mut bytes[filled..]) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(count) => filled += count,
            Err(fault) => return (filled, Some(Err(fault))),
        }
    }
    (filled, None)
}

/// How much of a source was used, and whether it failed by itself.
#[derive(Default)]
struct Count {
    bytes: AtomicU64,
    failed: AtomicBool,
}

struct Counted {
    source: BufReader<Box<dyn Read + Send>>,
    count: Arc<Count>,
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.source.fill_buf() {
                Ok(_) => return Ok(self.source.buffer()),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => {
                    self.count.failed.store(true, Ordering::Relaxed);
                    return Err(fault);
                }
            }
        }
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
        self.count.bytes.fetch_add(amount as u64, Ordering::Relaxed);
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text() -> Vec<u8> {
        (0..200_000_u32)
            .flat_map(|number| format!("{}\n", number.wrapping_mul(number) % 9973).into_bytes())
            .collect()
    }

    fn pack(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        match codec {
            Codec::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    /// Reads to the end as `Lines` does, and says how much of the file that took.
    fn unpack(codec: Codec, packed: Vec<u8>) -> io::Result<(Vec<u8>, u64)> {
        let mut unpacked = Unpacked::begin(codec, Box::new(io::Cursor::new(packed)))?;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 70_001];
        loop {
            match unpacked.read(&mut buffer) {
                Ok(0) => return Ok((bytes, unpacked.packed_bytes())),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    const CODECS: [Codec; 3] = [Codec::Gzip, Codec::Zstd, Codec::Xz];

    #[test]
    fn members_frames_and_streams_are_one_text() {
        let text = text();
        for codec in CODECS {
            let cut = text.len() / 3;
            let parts = [&text[..cut], b"", &text[cut..]];
            let packed = parts.map(|part| pack(codec, part)).concat();
            assert_eq!(Codec::of(&packed), Some(codec));
            let size = packed.len() as u64;
            let (found, packed_bytes) = unpack(codec, packed).unwrap();
            assert!(found == text, "{codec:?}");
            assert_eq!(packed_bytes, size, "{codec:?}");
        }
    }

    #[test]
    fn every_cut_and_every_wrong_end_is_found() {
        let text = text();
        for codec in CODECS {
            let whole = pack(codec, &text);
            let mut faults = Vec::new();
            for cut in [7, 20, whole.len() / 2, whole.len() - 1] {
                faults.push(whole[..cut].to_vec());
                faults.push([&whole, &whole[..cut]].concat());
            }
            faults.push([&whole[..], b"and more"].concat());
            let mut damaged = whole.clone();
            damaged[whole.len() / 2] ^= 0x55;
            faults.push(damaged);
            for (index, packed) in faults.into_iter().enumerate() {
                let size = packed.len() as u64;
                let Err(fault) = unpack(codec, packed) else {
                    panic!("{codec:?} {index} was read");
                };
                let broken = fault
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<Broken>());
                let broken = broken.unwrap_or_else(|| panic!("{codec:?} {index}: {fault}"));
                assert!(broken.packed_bytes <= size, "{codec:?} {index}");
                assert!(broken.to_string().starts_with("broken "), "{broken}");
            }
        }
    }

    #[test]
    fn a_source_that_fails_is_not_called_broken() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is on fire"))
            }
        }
        let mut unpacked = Unpacked::begin(Codec::Gzip, Box::new(Failing)).unwrap();
        let fault = unpacked.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(fault.to_string(), "the disk is on fire");
    }
}
