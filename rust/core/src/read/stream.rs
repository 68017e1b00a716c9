//! The bytes of an input: what it begins with, and those behind, unpacked if need be.

use std::io::{self, Read};

use super::list::List;
use super::unpack::{Codec, Unpacked};
use crate::error::{Error, Result};

/// Bytes that tell formats apart.
const HEAD_BYTES: usize = 8;

/// What a file holds, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Lines, or whatever else no one claims.
    Lines,
    Parquet,
    /// Arrow IPC in a file, which is Feather too.
    ArrowFile,
    ArrowStream,
}

impl Content {
    /// What a file that begins with `head` holds.
    fn of(name: &str, head: &[u8]) -> Result<Self> {
        let other = |what: &str, remedy: &str| Err(Error::input(name, what, remedy));
        match head {
            [b'P', b'A', b'R', b'1', ..] => Ok(Self::Parquet),
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Ok(Self::ArrowFile),
            [0xff, 0xff, 0xff, 0xff, ..] => Ok(Self::ArrowStream),
            [b'F', b'E', b'A', b'1', ..] => other("Feather version 1", "write it as version 2"),
            [b'P', b'K', 3, 4, ..] => other("a zip archive", UNPACK),
            [b'B', b'Z', b'h', ..] => other("packed with bzip2", UNPACK),
            [0x04, 0x22, 0x4d, 0x18, ..] => other("packed with lz4", UNPACK),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => other("UTF-16", "convert it to UTF-8"),
            _ => Ok(Self::Lines),
        }
    }
}

const UNPACK: &str = "unpack it, or pack it with gzip, zstd or xz";

/// An open input.
pub struct Bytes {
    head: io::Cursor<Vec<u8>>,
    body: Body,
    /// Makes lines of a list; none for what is no text.
    list: Option<List>,
}

enum Body {
    Plain(Box<dyn Read + Send>),
    Packed(Unpacked),
}

impl Bytes {
    /// Looks at the beginning of `source` and unpacks it if it is packed.
    pub fn open(
        name: &str,
        mut source: Box<dyn Read + Send>,
        waiting: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Content, Self)> {
        let head = read_head(name, &mut *source, waiting)?;
        let Some(codec) = Codec::of(&head) else {
            let content = Content::of(name, &head)?;
            let head = io::Cursor::new(head);
            let body = Body::Plain(source);
            let list = (content == Content::Lines).then(List::default);
            return Ok((content, Self { head, body, list }));
        };
        let whole = Box::new(io::Cursor::new(head).chain(source));
        let mut unpacked = Unpacked::begin(codec, whole).map_err(Error::io(name))?;
        let head = read_head(name, &mut unpacked, waiting)?;
        if Codec::of(&head).is_some() || Content::of(name, &head)? != Content::Lines {
            let problem = "packed, but does not hold lines of text";
            return Err(Error::input(name, problem, "unpack it"));
        }
        let head = io::Cursor::new(head);
        let body = Body::Packed(unpacked);
        let list = Some(List::default());
        Ok((Content::Lines, Self { head, body, list }))
    }

    /// Bytes of the packed file that were used so far; `None` for one that is not packed.
    pub fn packed_bytes(&self) -> Option<u64> {
        match &self.body {
            Body::Plain(_) => None,
            Body::Packed(unpacked) => Some(unpacked.packed_bytes()),
        }
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match (self.head.read(buffer)?, &mut self.body) {
            (0, Body::Plain(source)) => source.read(buffer),
            (0, Body::Packed(unpacked)) => unpacked.read(buffer),
            (count, _) => Ok(count),
        }?;
        if let Some(list) = &mut self.list {
            list.turn(&mut buffer[..count]);
            if count == 0 && !buffer.is_empty() {
                list.end()?;
            }
        }
        Ok(count)
    }
}

/// The first bytes, fewer only where there are no more.
fn read_head(
    name: &str,
    source: &mut dyn Read,
    waiting: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match source.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => waiting()?,
            Err(fault) => return Err(super::failed(name, fault)),
        }
    }
    head.truncate(filled);
    Ok(head)
}
