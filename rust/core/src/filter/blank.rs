//! `empty`: a field that is needed has nothing but white space.

use super::{Reason, Rejection};
use crate::record::trimmed;

/// Rejects blank fields; what is `None` the template does without.
pub fn check(
    question: &str,
    answer: Option<&str>,
    rationale: Option<&str>,
) -> Result<(), Rejection> {
    let fields = [
        ("question", Some(question)),
        ("answer", answer),
        ("rationale", rationale),
    ];
    for (field, text) in fields {
        if text.is_some_and(|text| trimmed(text).is_empty()) {
            return Err(Rejection::new(Reason::Empty, field, "blank"));
        }
    }
    Ok(())
}
