//! A Jinja source made ready for minijinja: what Jinja2 does before parsing is done here,
//! and what the two parse differently is rewritten or refused.

use crate::{Error, Result};

/// Normalises newlines and rewrites `{% generation %}`, HuggingFace's own statement.
///
/// Its body has a scope of its own and is otherwise rendered as it stands, which is what
/// `{% with %}` does.
///
/// # Errors
/// [`Error::Input`] where Jinja2 and minijinja would read the source differently: exotic
/// whitespace beside a tag, escapes in strings that only Python knows.
pub(super) fn prepare(place: &str, source: &str) -> Result<String> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = next_tag(rest) {
        let (data, tag) = rest.split_at(at);
        check_whitespace(
            place,
            data.trim_end_matches([' ', '\t', '\n']).chars().next_back(),
        )?;
        out.push_str(data);
        let length = tag_length(place, tag)?;
        let (tag, after) = tag.split_at(length);
        check_whitespace(
            place,
            after.trim_start_matches([' ', '\t', '\n']).chars().next(),
        )?;
        rest = after;
        match statement(tag) {
            Some("generation") => out.push_str(&tag.replacen("generation", "with", 1)),
            Some("endgeneration") => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            Some("raw") => {
                // Up to its end everything is text, tags included. Jinja2 keeps the newline
                // after it, which minijinja takes for that of a block unless told.
                let end = raw_end(rest).unwrap_or(rest.len());
                match tag.strip_suffix("%}") {
                    Some(head) if !head.ends_with('-') => {
                        out.push_str(head);
                        out.push_str("+%}");
                    }
                    _ => out.push_str(tag),
                }
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            _ => out.push_str(tag),
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn next_tag(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(step) = memchr::memchr(b'{', &text.as_bytes()[from..]) {
        let at = from + step;
        if matches!(text.as_bytes().get(at + 1), Some(b'%' | b'{' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The length of the tag that `text` starts with, its end mark included; a tag that never
/// ends is as long as the text, and minijinja says so.
fn tag_length(place: &str, text: &str) -> Result<usize> {
    let bytes = text.as_bytes();
    let close = match bytes[1] {
        b'#' => return Ok(text.find("#}").map_or(text.len(), |at| at + 2)),
        b'%' => b'%',
        _ => b'}',
    };
    let mut at = 2;
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => {
                at = string_end(place, text, at)?;
                continue;
            }
            _ if byte == close && depth == 0 && bytes.get(at + 1) == Some(&b'}') => {
                return Ok(at + 2);
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(text.len())
}

/// The byte after the string literal that starts at `start`.
fn string_end(place: &str, text: &str, start: usize) -> Result<usize> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        if byte == bytes[start] {
            return Ok(at + 1);
        }
        if byte == b'\\' {
            at += 1;
            if let Some(b'/' | b'a' | b'v' | b'N' | b'U' | b'\n') = bytes.get(at) {
                return Err(Error::input(
                    place,
                    format!(
                        "the string escape {:?} means something else outside Python",
                        &text[at - 1..=at]
                    ),
                    "write the character itself",
                ));
            }
        }
        at += 1;
    }
    Ok(text.len())
}

/// The name of the statement of a `{% … %}` tag.
fn statement(tag: &str) -> Option<&str> {
    let body = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let body = body
        .trim_start_matches(['-', '+'])
        .trim_end_matches(['-', '+']);
    body.split_whitespace().next()
}

/// Where the `{% endraw %}` tag starts.
fn raw_end(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(step) = text[from..].find("{%") {
        let at = from + step;
        let close = text[at..].find("%}")? + at + 2;
        if statement(&text[at..close]) == Some("endraw") {
            return Some(at);
        }
        from = at + 2;
    }
    None
}

/// Beside a tag Python strips what Unicode or ASCII calls space, minijinja what Rust does.
fn check_whitespace(place: &str, beside: Option<char>) -> Result<()> {
    match beside {
        Some(c) if !matches!(c, ' ' | '\t' | '\n') && super::python::is_space(c) => {
            Err(Error::input(
                place,
                format!("the whitespace {:?} stands beside a tag", c),
                "use spaces, or write it as a string: {{ \"\\u00a0\" }}",
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(source: &str) -> String {
        prepare("test", source).unwrap()
    }

    #[test]
    fn generation_becomes_with() {
        assert_eq!(
            prepared("{%- generation -%}{{ x }}{% endgeneration %}"),
            "{%- with -%}{{ x }}{% endwith %}"
        );
    }

    #[test]
    fn only_tags_are_rewritten() {
        for source in [
            "generation {# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{% raw -%}{% generation %}{{ '{% endraw %}",
            "{{ {'a': {'b': '}}'}} }}{% set generation = 1 %}",
        ] {
            assert_eq!(prepared(source), source);
        }
    }

    #[test]
    fn newlines_become_line_feeds() {
        assert_eq!(prepared("a\r\nb\rc\n"), "a\nb\nc\n");
    }

    #[test]
    fn differences_are_refused() {
        assert!(prepare("test", "{{ 'a\\/b' }}").is_err());
        assert!(prepare("test", "\u{a0}{% if x %}").is_err());
        assert!(prepare("test", "{% if x %}\u{1c}").is_err());
        assert!(prepare("test", "全角\u{3000}空白 {{ '\\\\ \\n' }}").is_ok());
    }
}
