//! JSONL: chunks of whole lines.

use std::io::{self, Read};

use super::{Chunk, Place};
use crate::error::{Error, Result};

/// Bytes of a chunk, unless one line alone has more: small enough to share a small file among
/// threads and to answer Ctrl-C at once, large enough that handing it over costs nothing.
const CHUNK_BYTES: usize = 256 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A stream of lines, cut into chunks behind line ends.
pub struct Lines<R> {
    reader: R,
    /// The beginning of the line that the last chunk cut off.
    rest: Vec<u8>,
    line: u64,
    byte: u64,
    any: bool,
    ended: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            rest: Vec::new(),
            line: 1,
            byte: 0,
            any: false,
            ended: false,
        }
    }

    /// Whether any line so far was not blank.
    pub fn any(&self) -> bool {
        self.any
    }

    /// Fills `chunk`; false at the end of the file.
    pub fn next(
        &mut self,
        name: &str,
        chunk: &mut Chunk,
        waiting: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        let bytes = &mut chunk.bytes;
        bytes.append(&mut self.rest);
        let mut searched = bytes.len();
        while !self.ended {
            let filled = bytes.len();
            bytes.resize(filled.max(CHUNK_BYTES / 2) + CHUNK_BYTES / 2, 0);
            let count = match self.reader.read(&mut bytes[filled..]) {
                Ok(count) => count,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {
                    bytes.truncate(filled);
                    waiting()?;
                    continue;
                }
                Err(fault) => return Err(Error::io(name)(fault)),
            };
            bytes.truncate(filled + count);
            self.ended = count == 0;
            if bytes.len() < CHUNK_BYTES {
                continue;
            }
            // A line of any length is searched once, not once a read.
            if let Some(cut) = memchr::memrchr(b'\n', &bytes[searched..]) {
                self.rest.extend_from_slice(&bytes[searched + cut + 1..]);
                bytes.truncate(searched + cut + 1);
                break;
            }
            searched = bytes.len();
        }
        chunk.line_start = self.line;
        chunk.byte_start = self.byte;
        self.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
        chunk.size = bytes.len() as u64;
        self.byte += chunk.size;
        self.any = self.any
            || bytes
                .iter()
                .any(|byte| !BLANK.contains(byte) && !BOM.contains(byte));
        Ok(!bytes.is_empty())
    }
}

/// What JSON takes for white space.
const BLANK: &[u8] = b" \t\r\n";

/// Calls `record` with each line that is not blank; a byte order mark before the first is skipped.
pub fn for_each<'a>(chunk: &'a Chunk, mut record: impl FnMut(Place, &'a [u8])) {
    let mut line_start = 0;
    let mut line_number = chunk.line_start;
    while line_start < chunk.bytes.len() {
        let rest = &chunk.bytes[line_start..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let byte_offset = chunk.byte_start + line_start as u64;
        let mut line = &rest[..end];
        if byte_offset == 0 {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.iter().any(|byte| !BLANK.contains(byte)) {
            let place = Place {
                line: line_number,
                byte_offset: Some(byte_offset),
            };
            record(place, line);
        }
        line_start += end + 1;
        line_number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a few bytes at a time, as pipes do, and is interrupted now and then.
    struct Drip<'a>(&'a [u8], u32);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let step = buffer.len().min(70_001);
            self.0.read(&mut buffer[..step])
        }
    }

    fn read(bytes: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
        let mut lines = Lines::new(Drip(bytes, 0));
        let mut chunk = Chunk::default();
        let mut found = Vec::new();
        while {
            chunk.bytes.clear();
            lines.next("test", &mut chunk, &mut || Ok(())).unwrap()
        } {
            for_each(&chunk, |place, line| {
                found.push((place.line, place.byte_offset.unwrap(), line.to_vec()));
            });
        }
        found
    }

    #[test]
    fn lines_arrive_whole_and_placed_however_they_are_cut() {
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for number in 0..5_000_u64 {
            let long = if number == 700 {
                900_000
            } else {
                number as usize % 300
            };
            let line = format!("{number}:{}", "x".repeat(long)).into_bytes();
            expected.push((number + 1, text.len() as u64, line.clone()));
            text.extend(line);
            text.push(b'\n');
        }
        text.pop(); // the last line needs no end
        assert_eq!(read(&text), expected);
    }

    #[test]
    fn blank_lines_count_but_are_no_records() {
        let found = read(b"\xef\xbb\xbfa\r\n\n \t\r\nb");
        assert_eq!(found, [(1, 0, b"a\r".to_vec()), (4, 11, b"b".to_vec())]);
    }

    #[test]
    fn waiting_may_end_the_reading() {
        let mut lines = Lines::new(Drip(b"a\n", 4));
        let stopped = lines.next("test", &mut Chunk::default(), &mut || Err(Error::Cancelled));
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
