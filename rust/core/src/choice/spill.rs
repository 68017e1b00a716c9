//! Candidates put aside, on disk and in order, until it is decided which of them are kept.
//!
//! A candidate is a frame: the number of its bytes, its numbers (LEB128), its texts, its token ids
//! (`narrow`).
//!
//! Performance note: of 134,850 candidates 56 MB are written, and 105 where each id takes four bytes and
//! each number eight. To hold 64 MiB in memory instead was not faster: pages that are written for the
//! first time cost as much.

use std::io;
use std::path::{Path, PathBuf};

use super::spill_file::{Reading, Writing};
use crate::error::{Error, Result};
use crate::narrow;
use crate::read::Place;
use crate::tokenize::Run;

/// The file's name in the draft directory; it is removed before anything is published.
const SPILL_FILE: &str = "choice.spill";
/// Bytes from which on frames are written, and read, together.
const BUFFER: usize = 512 << 10;
/// Bytes of a frame's length.
const LENGTH: usize = size_of::<u32>();

/// A candidate that nothing is against but the choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aside<'a> {
    /// Its number among the candidates.
    pub example_id: i64,
    /// The number of its template.
    pub template: usize,
    /// Index of its file.
    pub source: usize,
    /// Where its record stands.
    pub place: Place,
    /// What the record is called.
    pub record_id: Option<&'a str>,
    /// Its domain.
    pub domain: Option<&'a str>,
    /// The rationale, where it is stored.
    pub rationale: Option<&'a str>,
    /// Whether its answer was found to be what the rationale concludes.
    pub verified: bool,
    /// UTF-8 bytes of question, rationale and answer.
    pub text_bytes: u64,
    /// Token ids.
    pub ids: &'a [u32],
    /// Their span kinds.
    pub runs: &'a [Run],
    /// Of a pair, how many of the tokens are what is chosen; 0 of a single example.
    pub chosen: u32,
}

/// Where candidates are put aside.
#[derive(Debug)]
pub struct Spill {
    /// Where the file is to be; none in a dry run, which needs the lengths only.
    path: Option<PathBuf>,
    /// Made when the first frames are written to it.
    file: Option<Writing>,
    /// Frames that are not in it yet.
    held: Vec<u8>,
    most: usize,
}

impl Spill {
    /// Nothing yet; it will go to a file in `directory`, or stay in memory where nothing is written.
    pub fn new(directory: Option<&Path>) -> Self {
        Self::holding(BUFFER, directory)
    }

    fn holding(most: usize, directory: Option<&Path>) -> Self {
        Self {
            path: directory.map(|directory| directory.join(SPILL_FILE)),
            file: None,
            held: Vec::new(),
            most,
        }
    }

    /// Puts a candidate aside.
    pub fn write(&mut self, aside: &Aside<'_>) -> Result<()> {
        let frame_start = self.held.len();
        self.held.extend_from_slice(&[0; LENGTH]);
        put(aside, self.path.is_some(), &mut self.held);
        let length = (self.held.len() - frame_start - LENGTH) as u32;
        self.held[frame_start..frame_start + LENGTH].copy_from_slice(&length.to_le_bytes());
        match &self.path {
            Some(path) if self.held.len() > self.most => {
                let file = match self.file.take() {
                    Some(file) => file,
                    None => Writing::begin(path).map_err(Error::io(path))?,
                };
                let file = self.file.insert(file);
                file.hand_over(&mut self.held).map_err(Error::io(path))
            }
            _ => Ok(()),
        }
    }

    /// Takes up every candidate in order, and removes the file.
    pub fn replay(self, mut take: impl FnMut(&Aside<'_>) -> Result<()>) -> Result<()> {
        let mut frames = Frames {
            has_tokens: self.path.is_some(),
            ids: Vec::new(),
            runs: Vec::new(),
            take: &mut take,
        };
        let path = self.path.unwrap_or_else(|| SPILL_FILE.into());
        if let Some(file) = self.file {
            let reading = file
                .end()
                .and_then(|written| Reading::begin(written, &path));
            let mut reading = reading.map_err(Error::io(&path))?;
            while let Some(block) = reading.next() {
                frames.take_all(&block).map_err(Error::io(&path))??;
                reading.reuse(block);
            }
            reading.end().map_err(Error::io(&path))?;
        }
        frames.take_all(&self.held).map_err(Error::io(&path))?
    }
}

/// What is made of frames.
struct Frames<'t> {
    has_tokens: bool,
    ids: Vec<u32>,
    runs: Vec<Run>,
    take: &'t mut dyn FnMut(&Aside<'_>) -> Result<()>,
}

impl Frames<'_> {
    /// Hands on all candidates; the outer result is about the frames, the inner one what `take` says.
    fn take_all(&mut self, mut frames: &[u8]) -> io::Result<Result<()>> {
        while !frames.is_empty() {
            let frame = split_frame(&mut frames);
            let aside = frame.and_then(|frame| {
                Frame(frame).aside(self.has_tokens, &mut self.ids, &mut self.runs)
            });
            let aside = aside.ok_or(io::ErrorKind::InvalidData)?;
            if let Err(fault) = (self.take)(&aside) {
                return Ok(Err(fault));
            }
        }
        Ok(Ok(()))
    }
}

/// Takes the first frame off.
fn split_frame<'a>(frames: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = frames.split_first_chunk()?;
    let (frame, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *frames = rest;
    Some(frame)
}

/// Appends the bytes of a candidate.
fn put(aside: &Aside<'_>, has_tokens: bool, frame: &mut Vec<u8>) {
    let texts = [aside.record_id, aside.domain, aside.rationale];
    let lengths = texts.map(|text| text.map_or(0, |text| text.len() as u64 + 1));
    let numbers = [
        aside.example_id as u64,
        aside.template as u64,
        aside.source as u64,
        aside.place.line,
        aside.place.byte_offset.map_or(0, |offset| offset + 1),
        u64::from(aside.verified),
        aside.text_bytes,
        u64::from(aside.chosen),
        aside.ids.len() as u64,
        aside.runs.len() as u64,
    ];
    for number in numbers.into_iter().chain(lengths) {
        put_number(number, frame);
    }
    for run in aside.runs {
        frame.push(run.kind);
        put_number(run.tokens.into(), frame);
    }
    for text in texts.into_iter().flatten() {
        frame.extend_from_slice(text.as_bytes());
    }
    if has_tokens {
        narrow::put(aside.ids, frame);
    }
}

fn put_number(mut number: u64, frame: &mut Vec<u8>) {
    while number > 0x7f {
        frame.push(number as u8 | 0x80);
        number >>= 7;
    }
    frame.push(number as u8);
}

/// What is left of a frame.
struct Frame<'a>(&'a [u8]);

impl<'a> Frame<'a> {
    /// The candidate; `None` where a frame says something else than was put into it.
    fn aside<'r>(
        &mut self,
        has_tokens: bool,
        ids: &'r mut Vec<u32>,
        runs: &'r mut Vec<Run>,
    ) -> Option<Aside<'r>>
    where
        'a: 'r,
    {
        let mut number = || self.number();
        let example_id = number()? as i64;
        let (template, source) = (number()? as usize, number()? as usize);
        let (line, offset, verified) = (number()?, number()?, number()? == 1);
        let (text_bytes, chosen) = (number()?, number()? as u32);
        let (id_count, run_count) = (number()? as usize, number()?);
        let lengths = [number()?, number()?, number()?];
        runs.clear();
        for _ in 0..run_count {
            let [kind] = *self.bytes()?;
            let tokens = self.number()? as u32;
            runs.push(Run { kind, tokens });
        }
        let mut text = |length: u64| match length.checked_sub(1) {
            None => Some(None),
            Some(length) => Some(Some(str::from_utf8(self.slice(length as usize)?).ok()?)),
        };
        let (record_id, domain, rationale) =
            (text(lengths[0])?, text(lengths[1])?, text(lengths[2])?);
        ids.clear();
        match has_tokens {
            true => narrow::take(&mut self.0, id_count, ids)?,
            false => ids.resize(id_count, 0),
        }
        Some(Aside {
            example_id,
            template,
            source,
            place: Place {
                line,
                byte_offset: offset.checked_sub(1),
            },
            record_id,
            domain,
            rationale,
            verified,
            text_bytes,
            ids,
            runs,
            chosen,
        })
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = *self.bytes()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte <= 0x7f {
                return Some(number);
            }
        }
        None
    }

    fn bytes<const COUNT: usize>(&mut self) -> Option<&'a [u8; COUNT]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(bytes)
    }

    fn slice(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn aside<'a>(ids: &'a [u32], runs: &'a [Run]) -> Aside<'a> {
        Aside {
            example_id: 3,
            template: 2,
            source: 1,
            place: Place {
                line: 7,
                byte_offset: Some(0),
            },
            record_id: Some("é"),
            domain: None,
            rationale: Some(""),
            verified: true,
            text_bytes: 1 << 40,
            ids,
            runs,
            chosen: 2,
        }
    }

    #[test]
    fn what_is_put_aside_comes_back_and_the_file_goes() {
        let root = tempfile::tempdir().unwrap();
        let runs = [
            Run { kind: 3, tokens: 2 },
            Run {
                kind: 6,
                tokens: 300,
            },
        ];
        // A group in two bytes each, one in four, and a rest.
        let ids: Vec<u32> = (65_520..65_560).collect();
        let first = aside(&ids, &runs);
        let second = Aside {
            record_id: None,
            domain: Some("sums"),
            rationale: None,
            place: Place {
                line: 1,
                byte_offset: None,
            },
            ids: &[],
            runs: &[],
            chosen: 0,
            ..first
        };
        // In memory, on disk, the first on disk and the second in memory.
        for most in [BUFFER, 0, 30] {
            for directory in [Some(root.path()), None] {
                let mut spill = Spill::holding(most, directory);
                spill.write(&first).unwrap();
                spill.write(&second).unwrap();
                let is_on_disk = directory.is_some() && most < BUFFER;
                assert_eq!(root.path().join(SPILL_FILE).exists(), is_on_disk);
                assert_eq!(spill.held.is_empty(), is_on_disk && most == 0);
                let mut count = 0;
                spill
                    .replay(|aside| {
                        let expected = [&first, &second][count];
                        // Without a directory only the number of tokens is known.
                        assert_eq!(aside.ids.len(), expected.ids.len());
                        let ids = match directory {
                            Some(_) => aside.ids,
                            None => expected.ids,
                        };
                        assert_eq!(&Aside { ids, ..*aside }, expected);
                        count += 1;
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(count, 2);
                assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(number in any::<u64>(), shift in 0..64_u32) {
            let mut bytes = Vec::new();
            put_number(number >> shift, &mut bytes);
            let mut frame = Frame(&bytes);
            prop_assert_eq!(frame.number(), Some(number >> shift));
            prop_assert!(frame.0.is_empty());
        }
    }

    #[test]
    fn a_broken_frame_is_an_error() {
        for broken in [&[9, 0, 0, 0, 1][..], &[1, 0], &[1, 0, 0, 0, 1]] {
            let mut frames = Frames {
                has_tokens: true,
                ids: Vec::new(),
                runs: Vec::new(),
                take: &mut |_| Ok(()),
            };
            let fault = frames.take_all(broken).unwrap_err();
            assert_eq!(fault.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn who_stops_leaves_no_thread_behind() {
        let root = tempfile::tempdir().unwrap();
        let mut spill = Spill::holding(0, Some(root.path()));
        for _ in 0..20 {
            spill.write(&aside(&[1; 40], &[])).unwrap();
        }
        let stopped = spill.replay(|_| Err(Error::Cancelled));
        assert!(matches!(stopped, Err(Error::Cancelled)));
        // Removed by then, not some time later.
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut spill = Spill::new(None);
        spill.write(&aside(&[], &[])).unwrap();
        spill.write(&aside(&[], &[])).unwrap();
        let mut count = 0;
        let ended = spill.replay(|_| {
            count += 1;
            Err(Error::Cancelled)
        });
        assert!(matches!((ended, count), (Err(Error::Cancelled), 1)));
    }
}
