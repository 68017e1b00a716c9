//! Rationale records to packed, span-labelled Arrow rows.
//!
//! The way of a record: record → filter → template (spans) → tokenize (one span kind
//! per token) → pack → shard (Arrow), walked by the pipeline. No Python in here.

pub mod ahead;
pub mod answer;
pub mod arrange;
pub mod asked;
pub mod background;
mod balance;
pub mod batch;
mod block;
pub mod candidate;
pub mod chat;
pub mod choice;
pub mod chunked;
pub mod collect;
pub mod config;
pub mod error;
pub mod filter;
pub mod hashed;
pub mod held_out;
pub mod import;
pub mod input;
pub mod large;
pub mod manifest;
mod narrow;
pub mod ordered;
pub mod pack;
pub mod pair;
pub mod pipeline;
pub mod publish;
pub mod rationale_control;
pub mod read;
pub mod record;
pub mod shard;
pub mod template;
pub mod tokenize;
pub mod trie;
pub mod window;
pub mod windows;

pub use config::Config;
pub use error::{Error, Result};
pub use manifest::Manifest;
pub use pipeline::{Progress, prepare};
