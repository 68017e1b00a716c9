//! What one preparation is asked to do, as the caller hands it over in JSON.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::filter::{Filter, Reason};
use crate::held_out::VALIDATION;
use crate::input::Input;
use crate::rationale_control::RationaleControl;
use crate::tokenize::RenderConfig;

/// Everything that decides what a preparation reads, keeps and writes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The files to read, in order.
    pub inputs: Vec<Input>,
    /// The directory to publish; its siblings `.NAME.partial` and `.NAME.lock` are used meanwhile.
    pub output_dir: PathBuf,
    /// Replace an earlier preparation at `output_dir`.
    #[serde(default)]
    pub overwrite: bool,
    /// Stop at the first malformed candidate instead of rejecting it.
    #[serde(default)]
    pub strict: bool,
    /// Do all but write.
    #[serde(default)]
    pub dry_run: bool,
    /// Threads that work on records; 0 means one for each core.
    #[serde(default)]
    pub threads: usize,
    /// Records that name another split are no candidates.
    #[serde(default = "default_split")]
    pub split: String,
    /// Share of the questions that is held out for validation.
    #[serde(default)]
    pub validation: f64,
    /// Tokens of a packed row, and of an example at most.
    pub max_length: usize,
    /// Tokens of an example at least.
    #[serde(default)]
    pub min_length: usize,
    /// How examples share rows.
    pub packing: Packing,
    /// Examples that are packed together, fewer where they are long.
    pub packing_window: usize,
    /// Decides what is drawn from sources with weights, and the order of shuffled words.
    #[serde(default)]
    pub seed: u64,
    /// What is done to rationales before they are rendered.
    #[serde(default)]
    pub rationale_control: RationaleControl,
    /// Filters that are switched on, in the recipe's order.
    pub filters: Vec<Filter>,
    /// A directory with `tokenizer.json`, or that file.
    pub tokenizer: PathBuf,
    /// How a record becomes text and tokens.
    pub render: RenderConfig,
    /// Make a chosen and a rejected example of every record, which then must have what is rejected.
    #[serde(default)]
    pub pairs: bool,
    /// Store the rationale's text in `examples.arrow`, which then is required of every record.
    #[serde(default)]
    pub keep_rationale: bool,
    /// Hash of the recipe, for the manifest.
    #[serde(default)]
    pub recipe_sha256: String,
    /// Versions of the software at work, for the manifest.
    #[serde(default)]
    pub versions: Map<String, Value>,
}

/// How examples share rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// Best fit decreasing.
    Bfd,
    /// Every row mixes the domains as its window does.
    DomainBalanced,
    /// Examples of one prompt share it: in each row it is written once.
    Trie,
    /// One example a row.
    None,
}

fn default_split() -> String {
    "train".to_owned()
}

impl Config {
    /// Reads the JSON text of a configuration and checks what no type can say.
    pub fn parse(json: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(json).map_err(|fault| {
            Error::input("prepare", fault.to_string(), "see the keys of `prepare`")
        })?;
        if config.inputs.is_empty() {
            return Err(Error::input(
                "prepare",
                "there is no input file",
                "name a JSONL or Parquet file, or `-` for standard input",
            ));
        }
        config.inputs.iter().try_for_each(Input::check)?;
        config.check_questions()?;
        if config.max_length == 0 || config.max_length > MAX_LENGTH {
            return Err(Error::input(
                "prepare.max_length",
                format!("{} is not between 1 and {MAX_LENGTH}", config.max_length),
                "say how many tokens a row may have",
            ));
        }
        if !(0.0..1.0).contains(&config.validation) {
            return Err(Error::input(
                "data.validation",
                format!("{} is no share of the questions", config.validation),
                "give 0 or more, and less than 1",
            ));
        }
        if config.validation > 0.0 && config.split == VALIDATION {
            return Err(Error::input(
                "data.validation",
                "the validation split itself is prepared",
                "leave the share out, or choose another `prepare.split`",
            ));
        }
        if config.packing_window == 0 {
            return Err(Error::input(
                "prepare.packing_window",
                "a window of 0 examples packs nothing",
                "give at least 1, or packing: none",
            ));
        }
        Ok(config)
    }

    /// Checks that there are unlabelled sources and a template for them, or neither.
    fn check_questions(&self) -> Result<()> {
        let unlabelled = self.inputs.iter().find(|input| !input.labelled);
        let template = self.render.templates().find(|each| each.is_question_only());
        match (unlabelled, template) {
            (Some(input), None) => Err(Error::input(
                format!("{}: labelled", input.path),
                "no template has an empty completion, so none takes a question without an answer",
                "add the template `question-only`",
            )),
            (None, Some(template)) => Err(Error::input(
                "prepare.template",
                format!(
                    "{:?} has an empty completion, and no source is unlabelled",
                    template.name
                ),
                "take it out, or say `labelled: false` of a source",
            )),
            _ => Ok(()),
        }
    }

    /// Whether the filter that gives `reason` is on.
    pub fn has(&self, reason: Reason) -> bool {
        self.filters.iter().any(|filter| filter.reason() == reason)
    }

    /// The names of the templates, in the order of their numbers.
    pub fn template_names(&self) -> impl Iterator<Item = &str> {
        self.render.templates().map(|template| &*template.name)
    }

    /// How many threads will work.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// Far beyond any context; the packer keeps a word for each possible free space.
const MAX_LENGTH: usize = 1 << 24;
