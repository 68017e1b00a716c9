//! Python's string methods, filters and tests, where minijinja's differ or are missing.
//!
//! What cannot be matched on any text (letter classes outside ASCII) is refused there, so
//! that a chat is rendered as HuggingFace would or not at all.

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

/// Whitespace as `str.strip` and `str.split` know it: Rust's, and four ASCII separators.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Puts Python's behaviour in place of minijinja's.
pub(super) fn install(env: &mut Environment<'_>) {
    env.set_unknown_method_callback(method);
    env.set_formatter(print);
    env.add_filter("trim", |text: &Value, chars: Option<String>| {
        printable(text).map(|text| strip(&text, chars.as_deref(), true, true).to_owned())
    });
    env.add_filter("string", |value: &Value| printable(value));
    env.add_filter("title", |text: &Value| titled(&printable(text)?));
    env.add_filter("capitalize", |text: &Value| capitalized(&printable(text)?));
    env.add_filter("tojson", super::json::tojson);
    env.add_filter("join", join);
    // Jinja2's return marked-up strings, which escape what they are later joined with.
    for name in ["escape", "e", "forceescape", "urlencode"] {
        env.remove_filter(name);
    }
    // Python asks for a length and items, which an undefined value has, too.
    env.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined => true,
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    });
    env.add_test("iterable", |value: &Value| {
        value.is_undefined()
            || matches!(
                value.kind(),
                ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Iterable
            )
    });
    // `True` is an int in Python.
    env.add_test("number", |value: &Value| {
        matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
    });
}

/// `{{ value }}`: lists and mappings are printed by Python's `repr`, so they are refused.
fn print(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = printable(value)?;
    out.write_str(&text).map_err(Error::from)
}

/// `str(value)`, for values whose text is the same in Python.
fn printable(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Number if !value.is_integer() => Ok(float_repr(f64::try_from(value.clone())?)),
        ValueKind::Undefined | ValueKind::None | ValueKind::Bool | ValueKind::Number => {
            Ok(value.to_string())
        }
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        kind => Err(refusal(format!(
            "the template prints a {kind} as Python would; use tojson"
        ))),
    }
}

fn join(items: &Value, separator: Option<String>, options: Kwargs) -> Result<String, Error> {
    let attribute: Option<String> = options.get("attribute")?;
    let separator = match separator {
        Some(separator) => separator,
        None => options.get::<Option<String>>("d")?.unwrap_or_default(),
    };
    options.assert_all_used()?;
    let mut texts = Vec::new();
    if let Some(text) = items.as_str() {
        texts.extend(text.chars().map(String::from));
    } else {
        for item in items.try_iter()? {
            texts.push(match &attribute {
                Some(name) => printable(&item.get_attr(name)?)?,
                None => printable(&item)?,
            });
        }
    }
    Ok(texts.join(&separator))
}

/// Python's `repr` of a float: the shortest digits, an exponent below 1e-4 and from 1e16 on.
pub(super) fn float_repr(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return if value.is_nan() {
            "nan".into()
        } else {
            scientific
        };
    };
    match exponent.parse::<i32>() {
        Ok(power) if value != 0.0 && !(-4..16).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", power.unsigned_abs())
        }
        _ => {
            let text = value.to_string();
            if text.contains('.') {
                text
            } else {
                text + ".0"
            }
        }
    }
}

fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        match string_method(text, name, args) {
            Err(error) if error.kind() == ErrorKind::UnknownMethod => {}
            result => return result,
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

fn string_method(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            Value::from(strip(text, chars, name != "rstrip", name != "lstrip"))
        }
        "split" | "rsplit" => {
            let (positional, options): (Rest<Value>, Kwargs) = from_args(args)?;
            let mut positional = positional.0.into_iter();
            let separator = match positional.next() {
                Some(value) => Some(value),
                None => options.get("sep")?,
            };
            let limit = match positional.next() {
                Some(value) => Some(i64::try_from(value)?),
                None => options.get("maxsplit")?,
            };
            options.assert_all_used()?;
            let separator = separator.filter(|value| !value.is_none());
            let separator = match &separator {
                Some(value) => match value.as_str() {
                    Some("") | None => return Err(refusal("split: the separator must be text")),
                    text => text,
                },
                None => None,
            };
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            listed(&if name == "split" {
                split(text, separator, limit)
            } else {
                rsplit(text, separator, limit)
            })
        }
        "splitlines" => {
            let (keep_ends,): (Option<bool>,) = from_args(args)?;
            listed(&lines(text, keep_ends.unwrap_or(false)))
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            let found = if name == "partition" {
                text.split_once(separator)
            } else {
                text.rsplit_once(separator)
            };
            listed(&match (found, name) {
                _ if separator.is_empty() => return Err(refusal("partition: empty separator")),
                (Some((before, after)), _) => vec![before, separator, after],
                (None, "partition") => vec![text, "", ""],
                (None, _) => vec!["", "", text],
            })
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "ljust" | "rjust" => {
            const WIDEST: usize = 1 << 16;
            let (width, fill): (i64, Option<char>) = from_args(args)?;
            let width = usize::try_from(width).unwrap_or(0);
            if width > WIDEST {
                return Err(refusal("the width is too large"));
            }
            let missing = width.saturating_sub(text.chars().count());
            let padding = fill.unwrap_or(' ').to_string().repeat(missing);
            Value::from(if name == "ljust" {
                format!("{text}{padding}")
            } else {
                format!("{padding}{text}")
            })
        }
        "title" => {
            let () = from_args(args)?;
            Value::from(python_title(ascii(text)?))
        }
        "capitalize" => {
            let () = from_args(args)?;
            Value::from(capitalized(text)?)
        }
        "isspace" => {
            let () = from_args(args)?;
            Value::from(!text.is_empty() && text.chars().all(is_space))
        }
        "isdigit" | "isnumeric" | "isdecimal" | "isalpha" | "isalnum" | "islower" | "isupper" => {
            let () = from_args(args)?;
            let bytes = ascii(text)?.as_bytes();
            let all = |class: fn(&u8) -> bool| !bytes.is_empty() && bytes.iter().all(class);
            Value::from(match name {
                "isalpha" => all(u8::is_ascii_alphabetic),
                "isalnum" => all(u8::is_ascii_alphanumeric),
                "islower" => cased(bytes, u8::is_ascii_lowercase, u8::is_ascii_uppercase),
                "isupper" => cased(bytes, u8::is_ascii_uppercase, u8::is_ascii_lowercase),
                _ => all(u8::is_ascii_digit),
            })
        }
        "count" => {
            let (what,): (&str,) = from_args(args)?;
            Value::from(text.matches(what).count())
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

fn listed(texts: &[&str]) -> Value {
    texts.iter().copied().map(Value::from).collect()
}

fn cased(bytes: &[u8], wanted: fn(&u8) -> bool, unwanted: fn(&u8) -> bool) -> bool {
    bytes.iter().any(wanted) && !bytes.iter().any(unwanted)
}

fn strip<'t>(text: &'t str, chars: Option<&str>, left: bool, right: bool) -> &'t str {
    let strips = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if left {
        text.trim_start_matches(strips)
    } else {
        text
    };
    if right {
        text.trim_end_matches(strips)
    } else {
        text
    }
}

fn split<'t>(text: &'t str, separator: Option<&str>, limit: Option<usize>) -> Vec<&'t str> {
    if let Some(separator) = separator {
        return match limit {
            Some(limit) => text.splitn(limit.saturating_add(1), separator).collect(),
            None => text.split(separator).collect(),
        };
    }
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        // The last of a limited number of words keeps the whitespace at its end.
        let is_last = limit.is_some_and(|limit| words.len() >= limit);
        let end = rest.find(is_space).filter(|_| !is_last);
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        words.push(word);
        rest = after.trim_start_matches(is_space);
    }
    words
}

fn rsplit<'t>(text: &'t str, separator: Option<&str>, limit: Option<usize>) -> Vec<&'t str> {
    let mut words: Vec<&str> = Vec::new();
    match separator {
        Some(separator) => match limit {
            Some(limit) => words.extend(text.rsplitn(limit.saturating_add(1), separator)),
            None => words.extend(text.rsplit(separator)),
        },
        None => {
            let mut rest = text.trim_end_matches(is_space);
            while !rest.is_empty() {
                if limit.is_some_and(|limit| words.len() >= limit) {
                    words.push(rest);
                    break;
                }
                let word_start = rest.rfind(is_space).map_or(0, |at| {
                    at + rest[at..].chars().next().map_or(1, char::len_utf8)
                });
                words.push(&rest[word_start..]);
                rest = rest[..word_start].trim_end_matches(is_space);
            }
        }
    }
    words.reverse();
    words
}

/// `str.splitlines`: every line boundary that Unicode knows, CRLF as one.
fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let mark = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        lines.push(&rest[..if keep_ends { at + mark } else { at }]);
        rest = &rest[at + mark..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// `str.title`: a capital after anything that is no letter.
fn python_title(text: &str) -> String {
    let mut after_letter = false;
    text.chars()
        .map(|c| {
            let cased = if after_letter {
                c.to_ascii_lowercase()
            } else {
                c.to_ascii_uppercase()
            };
            after_letter = c.is_ascii_alphabetic();
            cased
        })
        .collect()
}

/// Jinja's `title` filter: a capital after whitespace, `-`, `(`, `{`, `[` and `<`.
fn titled(text: &str) -> Result<String, Error> {
    let mut starts = true;
    Ok(ascii(text)?
        .chars()
        .map(|c| {
            let cased = if starts {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            starts = is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
            cased
        })
        .collect())
}

fn capitalized(text: &str) -> Result<String, Error> {
    let text = ascii(text)?;
    let (head, tail) = text.split_at(text.len().min(1));
    Ok(head.to_ascii_uppercase() + &tail.to_ascii_lowercase())
}

fn ascii(text: &str) -> Result<&str, Error> {
    if text.is_ascii() {
        return Ok(text);
    }
    Err(refusal(
        "the template asks for the letter classes of text that is not ASCII",
    ))
}

fn refusal(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_python() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (1e300, "1e+300"),
            (0.0, "0.0"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float_repr(value), text);
        }
    }

    #[test]
    fn splitting() {
        assert_eq!(split(" a  b c ", None, None), ["a", "b", "c"]);
        assert_eq!(split(" a  b c ", None, Some(1)), ["a", "b c "]);
        assert_eq!(split("a,b,c", Some(","), Some(1)), ["a", "b,c"]);
        assert_eq!(rsplit("a,b,c", Some(","), Some(1)), ["a,b", "c"]);
        assert_eq!(rsplit(" a  b c ", None, Some(1)), [" a  b", "c"]);
        assert_eq!(rsplit(" a\x1cb ", None, None), ["a", "b"]);
        assert_eq!(
            lines("a\r\nb\u{2028}c\n", true),
            ["a\r\n", "b\u{2028}", "c\n"]
        );
        assert_eq!(lines("a\n\nb", false), ["a", "", "b"]);
    }

    #[test]
    fn stripping_takes_the_ascii_separators() {
        assert_eq!(strip("\x1c a \u{a0}", None, true, true), "a");
        assert_eq!(strip("xxaxx", Some("x"), true, false), "axx");
    }
}
