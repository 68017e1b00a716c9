//! Candidates put aside, on disk and in order, until it is decided which of them are kept.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::read::Place;
use crate::template::SpanKind;
use crate::tokenize::Run;

/// The file's name in the draft directory; it is removed before anything is published.
const SPILL_FILE: &str = "choice.spill";
/// Bytes that are written or read together, few enough to stay in a core's own cache.
const BUFFER: usize = 128 << 10;
const KINDS: usize = SpanKind::ALL.len();
/// Bytes of a run.
const RUN_BYTES: usize = 5;
/// Numbers at the head of each candidate.
const NUMBERS: usize = 13 + KINDS;

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
    /// Tokens of each span kind.
    pub tokens_by_kind: [u32; KINDS],
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
    sink: Sink,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Sink {
    File(PathBuf, BufWriter<File>),
    /// For a dry run, which needs the lengths only.
    Lengths(Vec<u8>),
}

impl Spill {
    /// A file in `directory`, or none where nothing is written.
    pub fn create(directory: Option<&Path>) -> Result<Self> {
        let sink = match directory {
            None => Sink::Lengths(Vec::new()),
            Some(directory) => {
                let path = directory.join(SPILL_FILE);
                let file = File::options()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&path)
                    .map_err(Error::io(&path))?;
                Sink::File(path, BufWriter::with_capacity(BUFFER, file))
            }
        };
        let bytes = Vec::new();
        Ok(Self { sink, bytes })
    }

    /// Puts a candidate aside.
    pub fn write(&mut self, aside: &Aside<'_>) -> Result<()> {
        let texts = [aside.record_id, aside.domain, aside.rationale];
        let lengths = texts.map(|text| text.map_or(0, |text| text.len() as u64 + 1));
        let numbers = [
            aside.example_id as u64,
            aside.source as u64,
            aside.place.line,
            aside.place.byte_offset.map_or(0, |offset| offset + 1),
            u64::from(aside.verified),
            aside.text_bytes,
            aside.ids.len() as u64,
            aside.runs.len() as u64,
            aside.template as u64,
            u64::from(aside.chosen),
        ];
        let bytes = &mut self.bytes;
        bytes.clear();
        let kinds = aside.tokens_by_kind.map(u64::from);
        for number in numbers.into_iter().chain(lengths).chain(kinds) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for text in texts.into_iter().flatten() {
            bytes.extend_from_slice(text.as_bytes());
        }
        for run in aside.runs {
            bytes.push(run.kind);
            bytes.extend_from_slice(&run.tokens.to_le_bytes());
        }
        match &mut self.sink {
            Sink::Lengths(all) => {
                all.extend_from_slice(bytes);
                Ok(())
            }
            Sink::File(path, file) => {
                bytes.extend(aside.ids.iter().flat_map(|id| id.to_le_bytes()));
                file.write_all(bytes).map_err(Error::io(&*path))
            }
        }
    }

    /// Takes up every candidate in order, and removes the file.
    pub fn replay(self, mut take: impl FnMut(&Aside<'_>) -> Result<()>) -> Result<()> {
        match self.sink {
            Sink::Lengths(all) => {
                read(&mut Cursor::new(all), false, &mut take).map_err(Error::io(SPILL_FILE))?
            }
            Sink::File(path, file) => {
                let taken = file
                    .into_inner()
                    .map_err(std::io::IntoInnerError::into_error)
                    .and_then(|mut file| {
                        file.rewind()?;
                        read(&mut BufReader::with_capacity(BUFFER, file), true, &mut take)
                    })
                    .map_err(Error::io(&path))?;
                fs::remove_file(&path).map_err(Error::io(&path))?;
                taken
            }
        }
    }
}

/// Reads candidates to the end; the outer result is about the file, the inner one what `take` says.
fn read(
    from: &mut impl Read,
    has_tokens: bool,
    take: &mut dyn FnMut(&Aside<'_>) -> Result<()>,
) -> std::io::Result<Result<()>> {
    let (mut text, mut bytes) = (String::new(), Vec::new());
    let (mut ids, mut runs) = (Vec::new(), Vec::new());
    let mut head = [0; 8 * NUMBERS];
    loop {
        // The end is where a candidate would begin.
        match from.read(&mut head[..1])? {
            0 => return Ok(Ok(())),
            _ => from.read_exact(&mut head[1..])?,
        }
        let mut numbers = [0; NUMBERS];
        for (number, bytes) in numbers.iter_mut().zip(head.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *number = u64::from_le_bytes(word);
        }
        let length = numbers[6] as usize;
        let mut texts = [None; 3];
        let mut start = 0;
        for (range, &stored) in texts.iter_mut().zip(&numbers[10..13]) {
            if let Some(length) = stored.checked_sub(1) {
                let end = start + length as usize;
                *range = Some((start, end));
                start = end;
            }
        }
        text.clear();
        from.by_ref().take(start as u64).read_to_string(&mut text)?;
        bytes.resize(RUN_BYTES * numbers[7] as usize, 0);
        from.read_exact(&mut bytes)?;
        runs.clear();
        runs.extend(bytes.chunks_exact(RUN_BYTES).map(|run| Run {
            kind: run[0],
            tokens: u32::from_le_bytes([run[1], run[2], run[3], run[4]]),
        }));
        ids.resize(length, 0);
        if has_tokens {
            bytes.resize(4 * length, 0);
            from.read_exact(&mut bytes)?;
            for (id, bytes) in ids.iter_mut().zip(bytes.chunks_exact(4)) {
                *id = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        let [record_id, domain, rationale] =
            texts.map(|range| range.map(|(start, end)| &text[start..end]));
        let mut tokens_by_kind = [0; KINDS];
        for (kind, &count) in tokens_by_kind.iter_mut().zip(&numbers[13..]) {
            *kind = count as u32;
        }
        let aside = Aside {
            example_id: numbers[0] as i64,
            template: numbers[8] as usize,
            source: numbers[1] as usize,
            place: Place {
                line: numbers[2],
                byte_offset: numbers[3].checked_sub(1),
            },
            record_id,
            domain,
            rationale,
            verified: numbers[4] == 1,
            text_bytes: numbers[5],
            tokens_by_kind,
            ids: &ids,
            runs: &runs,
            chosen: numbers[9] as u32,
        };
        if let Err(fault) = take(&aside) {
            return Ok(Err(fault));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_comes_back_and_the_file_goes() {
        let root = tempfile::tempdir().unwrap();
        let first = Aside {
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
            tokens_by_kind: [1, 2, 3, 4, 5, 6, 7, 8],
            ids: &[0, 70_000, 3],
            runs: &[Run { kind: 3, tokens: 2 }, Run { kind: 6, tokens: 1 }],
            chosen: 2,
        };
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
        for directory in [Some(root.path()), None] {
            let mut spill = Spill::create(directory).unwrap();
            spill.write(&first).unwrap();
            spill.write(&second).unwrap();
            let mut count = 0;
            spill
                .replay(|aside| {
                    let expected = [&first, &second][count];
                    // Without a file only the number of tokens is known.
                    assert_eq!(aside.ids.len(), expected.ids.len());
                    let ids = if directory.is_some() {
                        aside.ids
                    } else {
                        expected.ids
                    };
                    assert_eq!(&Aside { ids, ..*aside }, expected);
                    count += 1;
                    Ok(())
                })
                .unwrap();
            assert_eq!(count, 2);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut spill = Spill::create(None).unwrap();
        let aside = Aside {
            example_id: 0,
            template: 0,
            source: 0,
            place: Place {
                line: 1,
                byte_offset: None,
            },
            record_id: None,
            domain: None,
            rationale: None,
            verified: false,
            text_bytes: 0,
            tokens_by_kind: [0; KINDS],
            ids: &[],
            runs: &[],
            chosen: 0,
        };
        spill.write(&aside).unwrap();
        spill.write(&aside).unwrap();
        let mut count = 0;
        let ended = spill.replay(|_| {
            count += 1;
            Err(Error::Cancelled)
        });
        assert!(matches!((ended, count), (Err(Error::Cancelled), 1)));
    }
}
