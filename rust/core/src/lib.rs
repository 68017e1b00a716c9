//! Rationale records to packed, span-labelled Arrow rows.
//!
//! The way of a record: record → filter → template (spans) → tokenize (one span kind
//! per token) → pack → shard (Arrow), walked by the pipeline. No Python in here.

pub mod answer;
pub mod chat;
pub mod error;
pub mod template;
pub mod tokenize;

pub use error::{Error, Result};
