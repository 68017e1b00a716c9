//! `tojson` as HuggingFace defines it for chat templates: Python's `json.dumps`.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::python::float_repr;

/// The filter: `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let dumper = Dumper {
        ensure_ascii: options
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent: indent
            .filter(|value| !value.is_none())
            .map(unit_of_indent)
            .transpose()?,
        separators,
    };
    options.assert_all_used()?;
    let mut out = String::new();
    dumper.value(&mut out, value, 0)?;
    Ok(out)
}

fn unit_of_indent(value: Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Ok(" ".repeat(usize::try_from(value)?.min(64))),
    }
}

struct Dumper {
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    separators: Option<Vec<String>>,
}

impl Dumper {
    fn separator(&self, which: usize) -> &str {
        match (&self.separators, &self.indent) {
            (Some(separators), _) => separators.get(which).map_or("", String::as_str),
            (None, Some(_)) if which == 0 => ",",
            (None, _) => [", ", ": "][which],
        }
    }

    fn new_line(&self, out: &mut String, depth: usize) {
        if let Some(unit) = &self.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(unit));
        }
    }

    fn value(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        const DEEPEST: usize = 64;
        if depth > DEEPEST {
            return Err(invalid("a value is nested too deeply for tojson"));
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&number(value)?),
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.block(out, ['[', ']'], &items, depth, |out, item| {
                    self.value(out, item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.block(out, ['{', '}'], &keys, depth, |out, key| {
                    match key.kind() {
                        ValueKind::String => self.string(out, key.as_str().unwrap_or_default()),
                        ValueKind::Number => self.string(out, &number(key)?),
                        _ => return Err(invalid("tojson: a key is neither a string nor a number")),
                    }
                    out.push_str(self.separator(1));
                    self.value(out, &value.get_item(key)?, depth + 1)
                })?;
            }
            kind => {
                return Err(invalid(format!(
                    "tojson cannot write a value of kind {kind}"
                )));
            }
        }
        Ok(())
    }

    fn block(
        &self,
        out: &mut String,
        [open, close]: [char; 2],
        items: &[Value],
        depth: usize,
        write: impl Fn(&mut String, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(self.separator(0));
            }
            self.new_line(out, depth + 1);
            write(out, item)?;
        }
        if !items.is_empty() {
            self.new_line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x08' => out.push_str("\\b"),
                '\x0c' => out.push_str("\\f"),
                c if c < ' ' || (self.ensure_ascii && c > '~') => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    Ok(float_repr(f64::try_from(value.clone())?))
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}
