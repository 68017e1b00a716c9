//! Windows that become rows while the next one is filled.
//!
//! A thread of its own arranges the examples of a full window and lays out their rows, so that those who work
//! on records do not.
//!
//! Performance note: the pass without filters takes 12 per cent less time by that (medians of ten processes in
//! turns, one thread that works); where the choice puts rows off to the end it makes no difference.

use std::io;
use std::path::{Path, PathBuf};

use crate::arrange::Arranger;
use crate::background::{Background, Work};
use crate::config::{Config, Packing};
use crate::error::{Error, Result};
use crate::shard::{ROWS_FILE, RowWriter};
use crate::window::{Packed, Window};

/// Takes examples, and makes rows of them.
pub struct Windows {
    open: Window,
    most: usize,
    making: Background<Making>,
    /// Where the rows go.
    path: PathBuf,
}

/// What has been made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many rows.
    pub count: u64,
    /// Tokens in them: fewer than those of the examples where prompts are shared.
    pub stored_tokens: u64,
    /// The hash of the file, if one is written.
    pub hash: Option<String>,
}

impl Windows {
    /// Windows whose rows go to a file in `directory`, or in a dry run nowhere.
    pub fn new(config: &Config, directory: Option<&Path>) -> Result<Self> {
        let path = directory.map(|directory| directory.join(ROWS_FILE));
        let is_trie = config.packing == Packing::Trie;
        let writer = path
            .as_deref()
            .map(|path| RowWriter::create(path, config.pairs, is_trie).map_err(Error::io(path)));
        let making = Making {
            arranger: Arranger::new(config.packing, config.max_length),
            writer: writer.transpose()?,
            rows: Rows::default(),
        };
        // In a dry run nothing is there.
        let path = path.unwrap_or_else(|| ROWS_FILE.into());
        Ok(Self {
            open: Window::default(),
            most: config.packing_window,
            making: Background::begin("rows", making).map_err(Error::io(&path))?,
            path,
        })
    }

    /// Adds an example.
    pub fn push(&mut self, example: Packed<'_>) -> Result<()> {
        self.open.push(example);
        match self.open.is_full(self.most) {
            true => self.hand_over(),
            false => Ok(()),
        }
    }

    /// Makes rows of what is left.
    pub fn finish(mut self) -> Result<Rows> {
        if !self.open.is_empty() {
            self.hand_over()?;
        }
        self.making.finish().map_err(Error::io(self.path))
    }

    fn hand_over(&mut self) -> Result<()> {
        let handed = self.making.hand_over(&mut self.open);
        handed.map_err(Error::io(&self.path))
    }
}

/// The making of rows.
struct Making {
    arranger: Arranger,
    writer: Option<RowWriter>,
    rows: Rows,
}

impl Work for Making {
    type Block = Window;
    type Made = Rows;

    /// Each is handed over when the one before it has become rows, so no more than two are held.
    const WAITING: usize = 0;

    fn take(&mut self, window: &mut Window) -> io::Result<()> {
        let Self {
            arranger,
            writer,
            rows,
        } = self;
        rows.count += arranger.empty(window, |row| {
            for example in row {
                rows.stored_tokens += example.stored_tokens() as u64;
                if let Some(writer) = writer {
                    writer.example(&example);
                }
            }
            writer.as_mut().map_or(Ok(()), RowWriter::end_row)
        })?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<Rows> {
        self.rows.hash = self.writer.map(RowWriter::finish).transpose()?;
        Ok(self.rows)
    }
}
