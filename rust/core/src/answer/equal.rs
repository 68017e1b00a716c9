//! When two answers are the same.

use super::number::Number;

/// Whether two answers say the same.
///
/// Numbers are equal within 1e-9 of the larger; a unit, a currency or a percent sign may be
/// missing on one side but not differ ("10" is "10%", "5 km" is not "5 m"; "10%" is not "0.1"),
/// and one side may be an equation ("x = 5" is "5").
/// Option letters may carry a label and their text ("B" is "(B) banana"), yes and no their
/// reason ("no" is "No, it sinks."). All else is compared as text without case, spacing,
/// surrounding quotes, emphasis and final punctuation. A blank answer equals nothing.
///
/// ```
/// use limbeck_core::answer::equal;
/// assert!(equal("$1,000.00", "1000 dollars"));
/// assert!(!equal("01/02/2020", "1/2/2020"));
/// ```
pub fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    if a == b {
        return !a.is_empty();
    }
    let (bare_a, bare_b) = (undecorated(a), undecorated(b));
    if bare_a.is_empty() || bare_b.is_empty() {
        // Punctuation can be the answer, but only "?" is "?".
        return false;
    }
    if same_text(bare_a, bare_b) {
        return true;
    }
    if let (Some(a), Some(b)) = numbers(bare_a, bare_b) {
        return a.equals(&b);
    }
    [choice, polarity]
        .into_iter()
        .any(|read| matches!((read(bare_a), read(bare_b)), (Some(a), Some(b)) if a.agrees(&b)))
}

/// Both as numbers; where one is a number, the other may be an equation that ends in one.
fn numbers<'t>(a: &'t str, b: &'t str) -> (Option<Number<'t>>, Option<Number<'t>>) {
    let solved = |text: &'t str| Number::parse(text.rsplit_once('=')?.1);
    match (Number::parse(a), Number::parse(b)) {
        (Some(a), None) => (Some(a), solved(b)),
        (None, Some(b)) => (solved(a), Some(b)),
        both => both,
    }
}

/// A short answer and what is said about it.
struct Headed<'t> {
    head: &'t str,
    tail: &'t str,
}

impl Headed<'_> {
    fn agrees(&self, other: &Self) -> bool {
        self.head.eq_ignore_ascii_case(other.head)
            && (self.tail.is_empty() || other.tail.is_empty() || same_text(self.tail, other.tail))
    }
}

/// Reads `B`, `(B)`, `B)`, `[B]`, `B.`, `B:`, `B,`, each with or without the option's text.
///
/// A letter without a label is only an option when it stands alone: "a cat" is none.
fn choice(text: &str) -> Option<Headed<'_>> {
    let text = ["option ", "choice "]
        .iter()
        .find_map(|word| {
            let head = text.get(..word.len())?;
            head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
        })
        .unwrap_or(text);
    let inner = text.strip_prefix(['(', '[']).unwrap_or(text);
    let is_wrapped = inner.len() < text.len();
    let head = inner
        .get(..1)
        .filter(|head| head.as_bytes()[0].is_ascii_alphabetic())?;
    let after = &inner[1..];
    if after.is_empty() {
        // An opening bracket without its partner: decoration may have taken it.
        return Some(Headed { head, tail: "" });
    }
    let labels: &[char] = match (is_wrapped, head.as_bytes()[0].is_ascii_uppercase()) {
        (true, _) => &[')', ']'],
        (false, true) => &[')', '.', ':', ','],
        (false, false) => &[')'],
    };
    let tail = after.strip_prefix(labels)?;
    let is_separate = is_wrapped || tail.is_empty() || tail.starts_with(char::is_whitespace);
    is_separate.then(|| Headed {
        head,
        tail: undecorated(tail),
    })
}

/// Reads `yes` and `no`, alone or before a punctuation mark and a reason.
fn polarity(text: &str) -> Option<Headed<'_>> {
    ["yes", "no"].into_iter().find_map(|word| {
        let head = text
            .get(..word.len())
            .filter(|head| head.eq_ignore_ascii_case(word))?;
        let after = &text[word.len()..];
        let mark = [',', '.', ';', ':', '!'];
        let is_alone = after.is_empty()
            || after.starts_with(mark)
            || [" -", " –", " —"]
                .iter()
                .any(|dash| after.starts_with(dash));
        is_alone.then(|| Headed {
            head,
            tail: undecorated(after),
        })
    })
}

const QUOTES: [char; 9] = ['"', '\'', '`', '“', '”', '‘', '’', '«', '»'];

/// `text` without spacing, quotes, emphasis, math marks, boxes and final punctuation.
fn undecorated(text: &str) -> &str {
    // More layers are no decoration, and each costs a scan.
    const LAYERS: usize = 8;
    let mut text = text;
    for _ in 0..LAYERS {
        let before = text.len();
        text = text
            .trim()
            .trim_start_matches(QUOTES)
            .trim_end_matches(QUOTES);
        text = text.trim_start_matches([',', ';', ':', '*', '=', '!', '?']);
        text = text.trim_end_matches(['.', ',', ';', ':', '*', '!', '?', '。']);
        text = unwrapped(text, "$", "$");
        text = unwrapped(text, "\\(", "\\)");
        text = unwrapped(text, "_", "_");
        for command in [
            "\\boxed{",
            "\\fbox{",
            "\\text{",
            "\\textbf{",
            "\\mathrm{",
            "\\mathbf{",
        ] {
            text = unwrapped(text, command, "}");
        }
        if text.len() == before {
            break;
        }
    }
    text
}

/// What stands between `open` and `close`, when they enclose the whole of `text`.
fn unwrapped<'t>(text: &'t str, open: &str, close: &str) -> &'t str {
    match text
        .strip_prefix(open)
        .and_then(|rest| rest.strip_suffix(close))
    {
        // "\text{a} and \text{b}" is not one group.
        Some(inner) if !inner.contains(open) || open.ends_with('{') && balanced(inner) => inner,
        _ => text,
    }
}

fn balanced(text: &str) -> bool {
    let mut depth = 0_i64;
    text.bytes().all(|byte| {
        depth += match byte {
            b'{' => 1,
            b'}' => -1,
            _ => 0,
        };
        depth >= 0
    }) && depth == 0
}

/// Equality without case and with any run of whitespace as one space.
pub(super) fn same_text(a: &str, b: &str) -> bool {
    fn folded(text: &str) -> impl Iterator<Item = char> {
        text.split_whitespace()
            .flat_map(|word| std::iter::once(' ').chain(word.chars().flat_map(char::to_lowercase)))
    }
    folded(a).eq(folded(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(a: &str, b: &str) {
        assert!(equal(a, b), "{a} should equal {b}");
        assert!(equal(b, a), "{b} should equal {a}");
    }

    #[track_caller]
    fn differ(a: &str, b: &str) {
        assert!(!equal(a, b), "{a} should not equal {b}");
        assert!(!equal(b, a), "{b} should not equal {a}");
    }

    #[test]
    fn numbers() {
        same("12.3", "12.30");
        same("40,000", "40000");
        same("0.6666666666666667", "0.6666666666666666");
        same("5", "5 apples.");
        same("$5.00", "5 dollars");
        same("0.75", "\\frac{3}{4}");
        same("33", "$33\\%$");
        same("10", "10%");
        same("**7**", "\\boxed{7}");
        same("17", "8 + 9 = 17");
        same("$x = 5$", "5");
        differ("x = 5", "y = 5");
        differ("10%", "0.1");
        differ("5 km", "5 m");
        differ("$5", "€5");
        differ("5", "5.001");
        differ("0", "1e-12");
        differ("1,2", "12");
    }

    #[test]
    fn dates_are_text() {
        same("01/02/2020", "01/02/2020");
        differ("01/02/2020", "1/2/2020");
        differ("01/02", "02/04");
        differ("2020-01-02", "2020");
    }

    #[test]
    fn options() {
        same("B", "(B)");
        same("b", "(B) banana");
        same("B", "B. banana");
        same("(B) banana", "B: Banana");
        same("C", "option C");
        same("A", "A, sick person");
        differ("A", "a cat");
        differ("(A) red", "(A) blue");
        differ("J. K. Rowling", "J. R. R. Tolkien");
        differ("A", "B");
        differ("A", "A5");
    }

    #[test]
    fn yes_and_no() {
        same("yes", "Yes, because it floats.");
        same("no", "no – it sinks");
        same("no", "No.");
        differ("no", "no one");
        differ("no", "yes, no");
        differ("yes, red", "yes, blue");
    }

    #[test]
    fn text() {
        same("New York", " new  york. ");
        same("nan", "\"NaN\"");
        same("?", " ? ");
        differ("inf", "infinity");
        differ("naey", "n-a-e-y");
        differ("", "");
        differ("", "0");
        differ("?", "!");
        differ("\\text{a} and \\text{b}", "a} and \\text{b");
    }
}
