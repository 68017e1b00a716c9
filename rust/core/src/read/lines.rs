//! JSONL: chunks of whole lines.

use std::io::{self, Read};
use std::ops::Range;

use super::{Chunk, Place, failed};
use crate::error::Result;
use crate::record::Fault;

/// Bytes of a chunk, unless one line alone has more: small enough to share a small file among
/// threads and to answer Ctrl-C at once, large enough that handing it over costs nothing.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes of a line at most. Four chunks a thread are under way, and a few ahead, and each may hold one such
/// line.
const LINE_BYTES: usize = 16 << 20;

const BOM: &str = "\u{feff}";

/// Bytes of a file, and whether they are text.
#[derive(Debug, Clone, PartialEq)]
pub enum Stretch {
    /// UTF-8.
    Text(String),
    /// Somewhere in them is what is not.
    Bytes(Vec<u8>),
}

impl Default for Stretch {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Stretch {
    /// Some bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(fault) => Self::Bytes(fault.into_bytes()),
        }
    }

    /// The bytes, of which nothing is left here.
    fn take(&mut self) -> Vec<u8> {
        match std::mem::take(self) {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Forgets the bytes; their memory stays.
    pub fn clear(&mut self) {
        let mut bytes = self.take();
        bytes.clear();
        *self = Self::of(bytes);
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Some of the bytes as text, or where they are none.
    fn text(&self, range: Range<usize>) -> Result<&str, Fault> {
        match self {
            Self::Text(text) => Ok(&text[range]),
            Self::Bytes(bytes) => str::from_utf8(&bytes[range]).map_err(|fault| {
                Fault::line(format!("not UTF-8 (byte {})", fault.valid_up_to() + 1))
            }),
        }
    }
}

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

    /// Where the lines come from.
    pub fn source(&self) -> &R {
        &self.reader
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
        chunk.too_long = false;
        let mut bytes = chunk.lines.take();
        bytes.clear();
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
                Err(fault) => return Err(failed(name, fault)),
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
            if searched > LINE_BYTES {
                return self.skip_line(name, chunk, bytes, waiting);
            }
        }
        chunk.line_start = self.line;
        chunk.byte_start = self.byte;
        self.line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        chunk.size = bytes.len() as u64;
        self.byte += chunk.size;
        self.any = self.any
            || bytes
                .iter()
                .any(|byte| !BLANK.contains(byte) && !BOM.as_bytes().contains(byte));
        chunk.lines = Stretch::of(bytes);
        Ok(chunk.size > 0)
    }

    /// Makes `chunk` the fault that its line is, which begins with `buffer`, and reads on to the line's end.
    fn skip_line(
        &mut self,
        name: &str,
        chunk: &mut Chunk,
        mut buffer: Vec<u8>,
        waiting: &mut dyn FnMut() -> Result<()>,
    ) -> Result<bool> {
        chunk.line_start = self.line;
        chunk.byte_start = self.byte;
        chunk.too_long = true;
        let mut skipped = buffer.len() as u64;
        buffer.truncate(CHUNK_BYTES);
        while !self.ended {
            waiting()?; // a line without an end can be left
            let count = match self.reader.read(&mut buffer) {
                Ok(count) => count,
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                Err(fault) => return Err(failed(name, fault)),
            };
            self.ended = count == 0;
            if let Some(end) = memchr::memchr(b'\n', &buffer[..count]) {
                self.rest.extend_from_slice(&buffer[end + 1..count]);
                skipped += end as u64 + 1;
                break;
            }
            skipped += count as u64;
        }
        buffer.clear();
        chunk.lines = Stretch::of(buffer);
        chunk.size = skipped;
        self.line += 1;
        self.byte += skipped;
        self.any = true;
        Ok(true)
    }
}

/// What JSON takes for white space.
const BLANK: &[u8] = b" \t\r\n";

/// Calls `record` with each line that is not blank; a byte order mark before the first is skipped.
pub fn for_each<'a>(chunk: &'a Chunk, mut record: impl FnMut(Place, Result<&'a str, Fault>)) {
    let place = |line, line_start| Place {
        line,
        byte_offset: Some(chunk.byte_start + line_start as u64),
    };
    if chunk.too_long {
        let problem = format!("longer than {} MiB", LINE_BYTES >> 20);
        return record(place(chunk.line_start, 0), Err(Fault::line(problem)));
    }
    let bytes = chunk.lines.as_bytes();
    let (mut line_start, mut number) = (0, chunk.line_start);
    while line_start < bytes.len() {
        let rest = &bytes[line_start..];
        let line_end = line_start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let place = place(number, line_start);
        let mut line = chunk.lines.text(line_start..line_end);
        if place.byte_offset == Some(0) {
            line = line.map(|line| line.strip_prefix(BOM).unwrap_or(line));
        }
        if !matches!(line, Ok(line) if line.bytes().all(|byte| BLANK.contains(&byte))) {
            record(place, line);
        }
        line_start = line_end + 1;
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

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
        while lines.next("test", &mut chunk, &mut || Ok(())).unwrap() {
            for_each(&chunk, |place, line| {
                let line = line.map_or(b"too long".to_vec(), |line| line.as_bytes().to_vec());
                found.push((place.line, place.byte_offset.unwrap(), line));
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
    fn of_what_is_no_text_the_line_is_told() {
        let chunk = Chunk {
            lines: Stretch::of(b"\xef\xbb\xbfone\ntw\xff\n\xe9\xa0\n\nfive".to_vec()),
            line_start: 1,
            ..Chunk::default()
        };
        let mut found = Vec::new();
        for_each(&chunk, |place, line| {
            let line = line.map_err(|fault| fault.problem.into_owned());
            found.push((place.line, line));
        });
        let fault = |byte| Err(format!("not UTF-8 (byte {byte})"));
        let expected = [
            (1, Ok("one")),
            (2, fault(3)),
            (3, fault(1)),
            (5, Ok("five")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_without_measure_is_one_fault() {
        for end in [&b"\n"[..], b"\nb\n", b""] {
            let long = vec![b'x'; LINE_BYTES + 1_000_000];
            let found = read(&[b"a\n", &long[..], end].concat());
            let mut expected = vec![(1, 0, b"a".to_vec()), (2, 2, b"too long".to_vec())];
            if end.contains(&b'b') {
                expected.push((3, 3 + long.len() as u64, b"b".to_vec()));
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn waiting_may_end_the_reading() {
        let mut lines = Lines::new(Drip(b"a\n", 4));
        let stopped = lines.next("test", &mut Chunk::default(), &mut || Err(Error::Cancelled));
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
