//! Where a message's content stands in a rendered chat, without searching for it.
//!
//! The chat is rendered twice, once with a mark on each side of every content. The marks
//! are characters that neither the contents nor the rendered chat hold, so what is left
//! when they are taken out must be the chat itself: a template that changes, repeats or
//! drops a content, or decides by it, is found out and refused.

use std::ops::Range;

use minijinja::Value;

use super::{ChatTemplate, described};

/// A rendered chat of one turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// What `apply_chat_template` renders.
    pub text: String,
    /// The bytes of the user's content.
    pub user: Range<usize>,
    /// The bytes of the assistant's content; empty where there is no such message.
    pub assistant: Range<usize>,
}

/// Private-use characters of plane 15, which hardly any text holds.
const FIRST_MARK: u32 = 0xF_0000;
const LAST_MARK: u32 = 0xF_FFF0;
const MARKS: usize = 4;

impl ChatTemplate {
    /// Renders the user's message, and the assistant's or the prompt for it.
    ///
    /// # Errors
    /// What is wrong, where the template fails or does not write the contents as they are.
    pub(crate) fn turn(&self, user: &str, assistant: Option<&str>) -> Result<Turn, String> {
        let text = self.rendered(user, assistant)?;
        let marks = absent_marks(&[&text, user, assistant.unwrap_or_default()])
            .ok_or("the text holds every private-use character")?;
        let wrapped = |content: &str, at: usize| format!("{}{content}{}", marks[at], marks[at + 1]);
        let marked_assistant = assistant.map(|content| wrapped(content, 2));
        let marked = self.rendered(&wrapped(user, 0), marked_assistant.as_deref())?;

        // Walk both side by side: what stands between the marks must be the text itself.
        let wanted = if assistant.is_some() { MARKS } else { 2 };
        let mut at = [0; MARKS];
        let mut found = 0;
        let mut left_over = text.as_str();
        for piece in marked.split_inclusive(&marks[..]) {
            let (plain, mark) = match piece.strip_suffix(&marks[..]) {
                Some(plain) => (plain, piece.chars().next_back()),
                None => (piece, None),
            };
            left_over = left_over.strip_prefix(plain).ok_or(CHANGES)?;
            if let Some(mark) = mark {
                if found == wanted || mark != marks[found] {
                    return Err(CHANGES.into());
                }
                at[found] = text.len() - left_over.len();
                found += 1;
            }
        }
        if found != wanted || !left_over.is_empty() {
            return Err(CHANGES.into());
        }
        let [user_start, user_end, assistant_start, assistant_end] = at;
        let turn = Turn {
            user: user_start..user_end,
            assistant: assistant_start..assistant_end,
            text,
        };
        let is_verbatim = turn.text[turn.user.clone()] == *user
            && turn.text[turn.assistant.clone()] == *assistant.unwrap_or_default();
        if is_verbatim {
            Ok(turn)
        } else {
            Err(CHANGES.into())
        }
    }

    /// Renders the prompt for the assistant after the user's message.
    pub(crate) fn prompt(&self, user: &str) -> Result<String, String> {
        self.rendered(user, None)
    }

    fn rendered(&self, user: &str, assistant: Option<&str>) -> Result<String, String> {
        let message = |role, content| Value::from_pairs([("role", role), ("content", content)]);
        let mut messages = vec![message("user", user)];
        messages.extend(assistant.map(|content| message("assistant", content)));
        self.render(Value::from(messages), assistant.is_none())
            .map_err(|error| described(&error))
    }
}

const CHANGES: &str = "the chat template does not write the message as it is";

/// Characters next to each other that none of `texts` holds.
fn absent_marks(texts: &[&str]) -> Option<[char; MARKS]> {
    let is_absent = |mark: &char| !texts.iter().any(|text| text.contains(*mark));
    let mut absent = (FIRST_MARK..=LAST_MARK)
        .filter_map(char::from_u32)
        .filter(is_absent);
    Some([
        absent.next()?,
        absent.next()?,
        absent.next()?,
        absent.next()?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

    fn turn(template: &str, user: &str, assistant: Option<&str>) -> Result<Turn, String> {
        ChatTemplate::compile("test", template, &serde_json::Map::new())
            .unwrap()
            .turn(user, assistant)
    }

    #[test]
    fn contents_are_found() {
        let turn = turn(CHATML, "<|user|>", Some("\u{F0000}a\u{F0002}")).unwrap();
        assert_eq!(
            turn.text,
            "<|user|><|user|><|end|><|assistant|>\u{F0000}a\u{F0002}<|end|>"
        );
        assert_eq!(turn.user, 8..16);
        assert_eq!(&turn.text[turn.assistant], "\u{F0000}a\u{F0002}");
    }

    #[test]
    fn a_prompt_has_no_assistant() {
        let turn = turn(CHATML, "hi", None).unwrap();
        assert!(turn.text.ends_with("<|assistant|>"));
        assert!(turn.assistant.is_empty());
    }

    #[test]
    fn a_template_that_changes_the_content_is_refused() {
        for content in [
            "{{ m.content | upper }}",
            "{{ m.content }}{{ m.content }}",
            "x",
            "{{ m.content | length }}",
        ] {
            let template = format!("{{% for m in messages %}}{content}{{% endfor %}}");
            assert!(turn(&template, "hi", Some("you")).is_err(), "{content}");
        }
        let strips = "{% for m in messages %}{{ m.content | trim }}{% endfor %}";
        assert!(turn(strips, "hi ", Some("you")).is_err());
        turn(strips, "hi", Some("you")).unwrap();
    }

    #[test]
    fn a_template_that_decides_by_the_content_is_refused() {
        let template = "{% for m in messages %}{% if m.content.startswith('h') %}!{% endif %}{{ m.content }}{% endfor %}";
        assert!(turn(template, "hi", Some("you")).is_err());
        turn(template, "you", Some("hello!")).unwrap_err();
        turn(template, "you", Some("you")).unwrap();
    }
}
