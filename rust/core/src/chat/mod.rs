//! A tokenizer's own Jinja chat template, rendered as HuggingFace's `apply_chat_template`
//! renders it, or refused.
//!
//! Python and Rust differ in many small ways here; `source` closes those of the parser,
//! `python` those of strings, `json` those of `tojson`, `date` those of the clock. The
//! template is untrusted: steps, recursion and output are bounded.

mod date;
mod json;
mod marks;
mod python;
mod source;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error as JinjaError, ErrorKind, Value};
use serde_json::{Map, Value as Json};

pub(crate) use date::{DEFAULT as DEFAULT_DATE, VARIABLE as DATE_VARIABLE};
pub(crate) use marks::Turn;
pub(crate) use python::is_space;

use crate::{Error, Result};

/// Instructions one rendering may take; a chat of two messages takes some hundreds.
const FUEL: u64 = 2_000_000;
const RECURSION: usize = 100;
/// Bytes that a rendering may add to a chat.
const LONGEST_OUTPUT: usize = 1 << 26;
const NAME: &str = "chat";

/// A compiled chat template with the variables it is rendered with.
pub struct ChatTemplate {
    env: Environment<'static>,
    variables: Vec<(String, Value)>,
}

impl ChatTemplate {
    /// Compiles `source`; `variables` are what `apply_chat_template` takes as keywords, and
    /// the special tokens (`bos_token`, …).
    ///
    /// The variable `strftime_now` (`YYYY-MM-DD`, default 2024-07-26) is the day that the
    /// function of this name tells.
    ///
    /// # Errors
    /// [`Error::Input`] at `place` for a template that does not parse or that Python would
    /// read differently, and for a date that is none.
    pub fn compile(place: &str, source: &str, variables: &Map<String, Json>) -> Result<Self> {
        let source = source::prepare(place, source)?;
        let mut variables = variables.clone();
        let today = match variables.shift_remove(DATE_VARIABLE) {
            None => date::Date::parse(DEFAULT_DATE)?,
            Some(Json::String(text)) => date::Date::parse(&text)?,
            Some(other) => date::Date::parse(&other.to_string())?,
        };
        let mut env = Environment::new();
        env.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|error| invalid(place, &error))?,
        );
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(RECURSION);
        python::install(&mut env);
        env.add_function(
            "raise_exception",
            |message: String| -> Result<Value, JinjaError> {
                Err(JinjaError::new(ErrorKind::InvalidOperation, message))
            },
        );
        env.add_function("strftime_now", move |format: String| {
            today.format(&format).ok_or_else(|| {
                JinjaError::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now does not know the format {format:?}"),
                )
            })
        });
        env.add_template_owned(NAME, source)
            .map_err(|error| invalid(place, &error))?;
        Ok(Self {
            env,
            variables: variables
                .into_iter()
                .map(|(name, value)| Ok((name, as_value(value)?)))
                .collect::<Result<_>>()?,
        })
    }

    /// Renders `messages`, a list of mappings.
    fn render(&self, messages: Value, add_generation_prompt: bool) -> Result<String, JinjaError> {
        let fixed = [
            ("messages", messages),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        let given = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        let context = Value::from_pairs(fixed.into_iter().chain(given));
        let mut out = Bounded(Vec::new());
        self.env
            .get_template(NAME)?
            .render_captured_to(context, &mut out)?;
        String::from_utf8(out.0)
            .map_err(|_| JinjaError::new(ErrorKind::BadSerialization, "the output is not UTF-8"))
    }
}

/// Renders `messages` (a JSON list of messages) as `apply_chat_template` would.
///
/// # Errors
/// [`Error::Input`] where the template fails, or where Python would render it differently.
pub fn render_chat(
    template: &str,
    messages: &str,
    variables: &str,
    add_generation_prompt: bool,
) -> Result<String> {
    const PLACE: &str = "chat_template";
    let json = |place: &str, text: &str| {
        serde_json::from_str::<Json>(text)
            .map_err(|error| Error::input(place, format!("no JSON: {error}"), "pass JSON"))
    };
    let Json::Object(variables) = json("variables", variables)? else {
        return Err(Error::input(
            "variables",
            "no JSON object",
            "pass an object",
        ));
    };
    let Json::Array(messages) = json("messages", messages)? else {
        return Err(Error::input(
            "messages",
            "no JSON list",
            "pass a list of messages",
        ));
    };
    let messages = messages.into_iter().map(as_huggingface).map(as_value);
    let messages = messages.collect::<Result<Vec<_>>>()?.into_iter().collect();
    ChatTemplate::compile(PLACE, template, &variables)?
        .render(messages, add_generation_prompt)
        .map_err(|error| invalid(PLACE, &error))
}

/// A message as `apply_chat_template` hands it over: no key is null, and reasoning goes by
/// all its names.
fn as_huggingface(message: Json) -> Json {
    let Json::Object(mut message) = message else {
        return message;
    };
    message.retain(|_, value| !value.is_null());
    let reasoning = ["reasoning_content", "thinking", "reasoning"]
        .iter()
        .find_map(|name| message.get(*name))
        .cloned();
    if let Some(reasoning) = reasoning {
        message
            .entry("thinking")
            .or_insert_with(|| reasoning.clone());
        message.insert("reasoning_content".into(), reasoning);
    }
    Json::Object(message)
}

fn as_value(json: Json) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::from(value),
            (None, Some(value)) => Value::from(value),
            (None, None) => float(number.as_f64().unwrap_or(f64::NAN))?,
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => {
            let items = items.into_iter().map(as_value);
            items.collect::<Result<Vec<_>>>()?.into_iter().collect()
        }
        Json::Object(entries) => {
            let entries = entries
                .into_iter()
                .map(|(name, value)| Ok((name, as_value(value)?)));
            Value::from_pairs(entries.collect::<Result<Vec<_>>>()?)
        }
    })
}

/// Joined to a string (`~`) a float is printed by minijinja, which knows no exponents.
fn float(value: f64) -> Result<Value> {
    let number = Value::from(value);
    let text = python::float_repr(value);
    if number.to_string() == text {
        return Ok(number);
    }
    let remedy = "pass it as text";
    Err(Error::input(
        "prepare.chat_variables",
        format!("{text} is no plain number"),
        remedy,
    ))
}

fn invalid(place: &str, error: &JinjaError) -> Error {
    Error::input(
        place,
        described(error),
        "mend the template, or set prepare.style to plain",
    )
}

/// The error with its causes, on one line.
fn described(error: &JinjaError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text.replace('\n', " ")
}

/// A buffer that refuses to grow without end.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_OUTPUT {
            return Err(io::Error::other("the chat template writes without end"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str) -> Result<String> {
        render_chat(template, r#"[{"role":"user","content":"hi"}]"#, "{}", true)
    }

    #[test]
    fn the_dialect_is_huggingface_s() {
        let template = "{% for m in messages %}\n  {% generation %}{{ m['content'] }}{% endgeneration %}\n{% endfor %}\n";
        assert_eq!(render(template).unwrap(), "hi");
        assert_eq!(
            render("{{ '<' | tojson }} {{ {'b': 'é', 'a': 1e16} | tojson(sort_keys=true) }}")
                .unwrap(),
            "\"<\" {\"a\": 1e+16, \"b\": \"é\"}"
        );
        assert_eq!(
            render("{{ strftime_now('%d %B %Y') }}").unwrap(),
            "26 July 2024"
        );
        assert_eq!(
            render("{{ none }}{{ true }}{{ missing }}").unwrap(),
            "NoneTrue"
        );
    }

    #[test]
    fn what_the_template_raises_is_told() {
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
    }

    #[test]
    fn lists_are_not_printed() {
        assert!(render("{{ messages }}").is_err());
        assert!(render("{{ '%s' % 'x' }}").is_err());
    }

    #[test]
    fn a_template_cannot_run_or_write_without_end() {
        assert!(
            render("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}")
                .is_err()
        );
        assert!(render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").is_err());
        assert!(render("{% for a in range(9999) %}{{ 'x' * 99999 }}{% endfor %}").is_err());
    }
}
