//! One row of a file as importers read it: the keys they know, and what stands in each.

use std::borrow::Cow;

use crate::record::{Fault, Value};

/// The known keys of a row that are neither missing nor null.
#[derive(Debug, Default, PartialEq)]
pub struct Row<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> FromIterator<(&'static str, Value<'a>)> for Row<'a> {
    fn from_iter<T: IntoIterator<Item = (&'static str, Value<'a>)>>(fields: T) -> Self {
        let there = |(_, value): &(_, Value<'_>)| *value != Value::Absent;
        Self(fields.into_iter().filter(there).collect())
    }
}

impl<'a> Row<'a> {
    /// What stands under `key`, if anything.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// Whether anything stands under any of `keys`.
    pub fn has(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| self.get(key).is_some())
    }

    /// Takes what stands under `key`.
    pub fn take(&mut self, key: &str) -> Value<'a> {
        self.0
            .iter_mut()
            .find(|(known, _)| *known == key)
            .map_or(Value::Absent, |(_, value)| std::mem::take(value))
    }

    /// Takes the first of `keys` that is there.
    pub fn first(&mut self, keys: &[&'static str]) -> Option<(&'static str, Value<'a>)> {
        keys.iter()
            .map(|key| (*key, self.take(key)))
            .find(|(_, value)| *value != Value::Absent)
    }

    /// Takes the text under `key`.
    pub fn text(&mut self, key: &'static str) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.take(key) {
            Value::Absent => Ok(None),
            value => text(key, value).map(Some),
        }
    }

    /// Takes the text under `key`, which must be there.
    pub fn required(&mut self, key: &'static str) -> Result<Cow<'a, str>, Fault> {
        self.text(key)?.ok_or_else(|| Fault::at(key, "missing"))
    }
}

/// The text that `value`, which stands at `field`, should be.
pub fn text<'a>(
    field: impl Into<Cow<'static, str>>,
    value: Value<'a>,
) -> Result<Cow<'a, str>, Fault> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(Fault::at(field, other.instead_of("text"))),
    }
}
