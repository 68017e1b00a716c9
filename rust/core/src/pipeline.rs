//! The whole way in one streaming pass: chunks → candidates (on all threads) → rows (on one).

use std::fs;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::batch::Batch;
use crate::candidate::Worker;
use crate::collect::{Collector, Totals};
use crate::config::{Config, Packing};
use crate::error::{Error, Result};
use crate::filter::{Earlier, Plan};
use crate::manifest::{FORMAT, Manifest, Steps, span_kind_codes};
use crate::ordered::{self, Flow};
use crate::publish::{Draft, sync_tree};
use crate::read::{Chunk, Chunks};
use crate::shard::{MANIFEST_FILE, TOKENIZER_DIR, write_dataset_info, write_state};
use crate::tokenize::Renderer;

/// How far a preparation is.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    /// Input bytes that are done.
    pub bytes: u64,
    /// Input bytes in all; 0 where standard input is read.
    pub total_bytes: u64,
    /// Candidates that are done.
    pub records: u64,
    /// Of these, the kept.
    pub kept: u64,
    /// Of these, the rejected.
    pub rejected: u64,
    /// `prepare`, then `write`.
    pub stage: &'static str,
}

/// Is told how far things are, some times a second, and may end them.
///
/// Performance note: not after every chunk, for Python was asked 484 times in 1.3 s, which took 16 ms.
pub type OnProgress<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Prepares `config.inputs` and publishes `config.output_dir`, or in a dry run nothing.
///
/// # Errors
/// [`Error::Input`] for what the user can mend, [`Error::Cancelled`] if `on_progress` breaks; in any
/// case nothing is published and nothing left behind.
pub fn prepare(config: &Config, on_progress: &mut OnProgress<'_>) -> Result<Manifest> {
    let chunks = Chunks::open(&config.inputs)?;
    let plan = Plan::load(&config.filters)?;
    let draft = match config.dry_run {
        false => Some(Draft::begin(&config.output_dir, config.overwrite)?),
        true => None,
    };
    let directory = draft.as_ref().map(Draft::path);
    let renderer = Renderer::load(&config.tokenizer, &config.render)?;
    let earlier = Earlier::new(&plan, config.render.templates().count());
    let mut flow = Preparation {
        progress: Progress {
            bytes: 0,
            total_bytes: chunks.total_bytes,
            records: 0,
            kept: 0,
            rejected: 0,
            stage: "prepare",
        },
        chunks,
        collector: Collector::new(config, &plan, &earlier, directory)?,
        earlier: &earlier,
        idle: Vec::new(),
        on_progress,
        told: Instant::now(),
    };
    flow.tell()?;
    // The tokenizer's megabytes are on the disk long before the last row is.
    let tokenizer_sha256 = thread::scope(|scope| {
        let tokenizer = scope.spawn(|| save_tokenizer(&renderer, directory));
        ordered::run(
            &mut flow,
            config.thread_count(),
            || Worker::new(config, &renderer, &plan, &earlier),
            |worker, (chunk, batch)| worker.work(chunk, batch),
        )?;
        tokenizer
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    flow.progress.stage = "write";
    flow.tell()?;
    let Preparation {
        progress,
        on_progress,
        collector,
        ..
    } = flow;
    let manifest = manifest(config, &renderer, tokenizer_sha256, collector.finish()?);
    if let Some(draft) = draft {
        write_manifest(&draft, &manifest)?;
        write_dataset_info(draft.path())?;
        tell(on_progress, &progress)?;
        draft.publish(|directory| write_state(directory, &manifest.fingerprint))?;
    }
    Ok(manifest)
}

/// Writes the tokenizer's files, if anything is written; returns the hash of the first.
fn save_tokenizer(renderer: &Renderer, directory: Option<&Path>) -> Result<String> {
    if let Some(directory) = directory {
        let tokenizer = directory.join(TOKENIZER_DIR);
        renderer.save_tokenizer(&tokenizer)?;
        sync_tree(&tokenizer)?;
    }
    Ok(renderer.tokenizer_sha256())
}

/// What passes at least between two times that it is told how far things are.
const PAUSE: Duration = Duration::from_millis(100);

/// A chunk and the candidates in it.
type Item = (Chunk, Batch);

struct Preparation<'a, 'p> {
    chunks: Chunks,
    collector: Collector<'a>,
    earlier: &'a Earlier,
    /// Batches whose buffers wait for the next chunk.
    idle: Vec<Batch>,
    progress: Progress,
    on_progress: &'p mut OnProgress<'p>,
    /// When it was told how far things are.
    told: Instant,
}

impl Preparation<'_, '_> {
    fn tell(&mut self) -> Result<()> {
        self.told = Instant::now();
        tell(self.on_progress, &self.progress)
    }
}

fn tell(on_progress: &mut OnProgress<'_>, progress: &Progress) -> Result<()> {
    match on_progress(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

impl Flow for Preparation<'_, '_> {
    type Item = Item;

    fn next(&mut self) -> Result<Option<Item>> {
        let Self {
            chunks,
            idle,
            on_progress,
            progress,
            ..
        } = self;
        let chunk = chunks.next(&mut || tell(on_progress, progress))?;
        Ok(chunk.map(|chunk| (chunk, idle.pop().unwrap_or_default())))
    }

    fn accept(&mut self, (chunk, batch): Item) -> Result<()> {
        self.collector.totals.sources[chunk.source].format = chunk.format;
        self.collector.add(chunk.source, &batch)?;
        let records = self.collector.totals.records();
        self.progress.bytes += chunk.size;
        if self.progress.total_bytes > 0 {
            self.earlier
                .expect(self.progress.bytes as f64 / self.progress.total_bytes as f64);
        }
        self.progress.records = records.read;
        // What waits for a choice counts as kept until it is made.
        self.progress.kept = records.read - records.rejected.total();
        self.progress.rejected = records.rejected.total();
        self.chunks.reuse(chunk);
        self.idle.push(batch);
        match self.told.elapsed() < PAUSE {
            true => Ok(()),
            false => self.tell(),
        }
    }
}

fn manifest(
    config: &Config,
    renderer: &Renderer,
    tokenizer_sha256: String,
    totals: Totals,
) -> Manifest {
    let records = totals.records();
    Manifest {
        format: FORMAT,
        sources: totals.sources,
        bytes_kept: totals.bytes_kept,
        tokens: totals.tokens,
        stored_tokens: (config.packing == Packing::Trie).then_some(totals.rows.stored_tokens),
        span_kind_codes: span_kind_codes(),
        domains: totals.domains,
        rows: totals.rows.count,
        examples: records.kept,
        // A dry run may have kept nothing.
        fill: totals.rows.stored_tokens as f64
            / (totals.rows.count.max(1) as f64 * config.max_length as f64),
        max_length: config.max_length,
        steps: Steps {
            packed: totals.rows.count,
            unpacked: records.kept,
        },
        template: config.render.template.name.clone(),
        templates: config.template_names().map(str::to_owned).collect(),
        render: renderer.resolved(),
        fingerprint: totals.rows.hash.unwrap_or_default(),
        tokenizer_sha256,
        recipe_sha256: config.recipe_sha256.clone(),
        versions: config.versions.clone(),
        dropped: totals.dropped,
        records,
    }
}

fn write_manifest(draft: &Draft, manifest: &Manifest) -> Result<()> {
    let path = draft.path().join(MANIFEST_FILE);
    let mut json =
        serde_json::to_vec_pretty(manifest).map_err(|fault| Error::io(&path)(fault.into()))?;
    json.push(b'\n');
    fs::write(&path, json).map_err(Error::io(&path))
}
