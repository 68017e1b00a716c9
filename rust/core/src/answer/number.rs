//! Numbers as people and models write them.

use super::equal::same_text;

/// A number and the unit written around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number<'t> {
    value: f64,
    unit: &'t str,
}

/// Two values are the same within this share of the larger one.
const TOLERANCE: f64 = 1e-9;
/// "5 red apples" is a number; a longer tail is a sentence.
const LONGEST_UNIT_WORDS: usize = 3;
const CURRENCIES: [&str; 7] = ["us$", "$", "£", "€", "¥", "₹", "₩"];
/// Currency names and signs that mean the same unit, after [`unit`]'s trimming.
const SAME_UNIT: [(&str, &str); 7] = [
    ("$", "dollar"),
    ("us$", "dollar"),
    ("usd", "dollar"),
    ("£", "pound"),
    ("€", "euro"),
    ("%", "percent"),
    ("per cent", "percent"),
];

impl<'t> Number<'t> {
    /// Reads the whole of `text` as one number: `-1,234.50`, `$5`, `3/4`, `2 1/2`,
    /// `\frac{3}{4}`, `1.5e3`, `70%`, `5 apples`. `None` for anything else, so for dates,
    /// times, ranges, lists and words such as `nan`.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let (negative, rest) = sign(text.trim());
        let (currency, rest) = currency(rest);
        let (negative, rest) = match sign(rest) {
            (true, rest) if !currency.is_empty() && !negative => (true, rest),
            (_, same) if same.len() == rest.len() => (negative, rest),
            _ => return None,
        };
        let (value, rest) = magnitude(rest)?;
        let unit = match (currency, unit(rest)?) {
            ("", unit) => unit,
            (currency, "") => currency,
            (currency, unit) if same_unit(currency, unit) => currency,
            _ => return None,
        };
        let value = if negative { -value } else { value };
        value.is_finite().then_some(Self { value, unit })
    }

    /// Same value, and no two different units.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let scale = self.value.abs().max(other.value.abs());
        (self.value - other.value).abs() <= TOLERANCE * scale
            && (self.unit.is_empty() || other.unit.is_empty() || same_unit(self.unit, other.unit))
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix(['-', '−', '–']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn currency(text: &str) -> (&str, &str) {
    let bare = text.strip_prefix('\\').unwrap_or(text);
    for sign in CURRENCIES {
        if bare
            .get(..sign.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(sign))
        {
            let (sign, rest) = bare.split_at(sign.len());
            return (sign, rest.trim_start());
        }
    }
    ("", text)
}

/// A value without its sign, and what follows it.
fn magnitude(text: &str) -> Option<(f64, &str)> {
    if text.starts_with('\\') {
        return latex_fraction(text);
    }
    let (whole, rest) = decimal(text)?;
    let Decimal {
        value, is_integer, ..
    } = whole;
    if !is_integer {
        return Some((value, rest));
    }
    if let Some(below) = rest.trim_start().strip_prefix('/') {
        return over(whole, below);
    }
    // A mixed number: "2 1/2", "2\frac{1}{2}".
    let tail = rest.trim_start();
    if tail.starts_with('\\') {
        if let Some((fraction, rest)) = latex_fraction(tail) {
            return Some((value + fraction, rest));
        }
    } else if tail.len() < rest.len()
        && let Some((above, after)) = decimal(tail)
        && let Some((fraction, rest)) = after.strip_prefix('/').and_then(|below| over(above, below))
    {
        return Some((value + fraction, rest));
    }
    Some((value, rest))
}

/// `above / below`, both plain integers: `01/02` is half a date, not a fraction.
fn over(above: Decimal, below: &str) -> Option<(f64, &str)> {
    let (below, rest) = decimal(below.trim_start())?;
    let plain = |number: &Decimal| number.is_integer && !number.has_leading_zero;
    (plain(&above) && plain(&below) && below.value != 0.0 && !rest.trim_start().starts_with('/'))
        .then(|| (above.value / below.value, rest))
}

/// `\frac{3}{4}`, also as `\dfrac` and `\tfrac`.
fn latex_fraction(text: &str) -> Option<(f64, &str)> {
    let rest = ["\\frac", "\\dfrac", "\\tfrac"]
        .iter()
        .find_map(|name| text.strip_prefix(name))?;
    let (above, rest) = rest.trim_start().strip_prefix('{')?.split_once('}')?;
    let (below, rest) = rest.trim_start().strip_prefix('{')?.split_once('}')?;
    let value = |text: &str| match decimal(text.trim()) {
        Some((number, "")) => Some(number.value),
        _ => None,
    };
    let (above, below) = (value(above)?, value(below)?);
    (below != 0.0).then(|| (above / below, rest))
}

struct Decimal {
    value: f64,
    is_integer: bool,
    has_leading_zero: bool,
}

/// Digits with thousands separators, decimals and an exponent, and what follows them.
fn decimal(text: &str) -> Option<(Decimal, &str)> {
    // Longer than any number that is meant as one; bounds the buffer below.
    const LONGEST: usize = 64;
    let bytes = text.as_bytes();
    let mut digits = [0_u8; LONGEST];
    let mut length = 0;
    let mut push = |byte: u8| -> Option<()> {
        *digits.get_mut(length)? = byte;
        length += 1;
        Some(())
    };
    let mut at = 0;
    let mut group = 0; // digits since the last separator
    let mut separated = false;
    loop {
        match bytes.get(at) {
            Some(byte @ b'0'..=b'9') => {
                push(*byte)?;
                group += 1;
                at += 1;
            }
            Some(_)
                if group > 0
                    && (!separated && group <= 3 || separated && matches!(group, 2 | 3)) =>
            {
                let Some(step) = separator(&bytes[at..]) else {
                    break;
                };
                separated = true;
                group = 0;
                at += step;
            }
            _ => break,
        }
    }
    if separated && group != 3 {
        return None;
    }
    let has_leading_zero = at > 1 && bytes[0] == b'0';
    let mut is_integer = true;
    if bytes.get(at) == Some(&b'.') && (at > 0 || bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        is_integer = false;
        push(b'.')?;
        at += 1;
        while let Some(byte @ b'0'..=b'9') = bytes.get(at) {
            push(*byte)?;
            at += 1;
        }
    }
    if at == 0 {
        return None;
    }
    if let Some(step) = exponent(&bytes[at..]) {
        is_integer = false;
        for byte in &bytes[at..at + step] {
            push(*byte)?;
        }
        at += step;
    }
    let value = std::str::from_utf8(&digits[..length]).ok()?.parse().ok()?;
    let number = Decimal {
        value,
        is_integer,
        has_leading_zero,
    };
    Some((number, &text[at..]))
}

/// The length of a thousands separator that stands before a digit: `,`, `{,}`, `\,`, `\!`.
fn separator(bytes: &[u8]) -> Option<usize> {
    [&b","[..], b"{,}", b"\\,", b",\\!"]
        .into_iter()
        .find(|mark| {
            bytes.starts_with(mark) && bytes.get(mark.len()).is_some_and(u8::is_ascii_digit)
        })
        .map(<[u8]>::len)
}

/// The length of `e5`, `E-5`, when nothing else follows: `2em` has a unit.
fn exponent(bytes: &[u8]) -> Option<usize> {
    let sign = match bytes {
        [b'e' | b'E', b'+' | b'-', ..] => 2,
        [b'e' | b'E', ..] => 1,
        _ => return None,
    };
    let digits = &bytes[sign..];
    (!digits.is_empty() && digits.len() <= 4 && digits.iter().all(u8::is_ascii_digit))
        .then_some(bytes.len())
}

/// The unit that `text` is, empty when it is blank; `None` when it is no unit.
fn unit(text: &str) -> Option<&str> {
    let text = text.trim().trim_start_matches('\\').trim();
    let letters = |c: char| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '°' | '²' | '³');
    let is_unit = matches!(text, "" | "%" | "°" | "°C" | "°F")
        || CURRENCIES.contains(&text)
        || (text.starts_with(|c: char| c.is_alphabetic() || c == '°')
            && text.split_whitespace().count() <= LONGEST_UNIT_WORDS
            && text.split_whitespace().all(|word| {
                word.split('/')
                    .all(|half| !half.is_empty() && half.chars().all(letters))
            }));
    is_unit.then_some(text)
}

fn same_unit(a: &str, b: &str) -> bool {
    fn canonical(unit: &str) -> &str {
        let unit = SAME_UNIT
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(unit))
            .map_or(unit, |(_, name)| name);
        unit.strip_suffix(['s', 'S']).unwrap_or(unit)
    }
    same_text(canonical(a), canonical(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<f64> {
        Number::parse(text).map(|number| number.value)
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("5", 5.0),
            ("-5", -5.0),
            ("−5.5", -5.5),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("1,000", 1000.0),
            ("1{,}000.25", 1000.25),
            ("1,00,000", 100_000.0),
            ("$5.00", 5.0),
            ("-$5", -5.0),
            ("$-5", -5.0),
            ("\\$5", 5.0),
            ("5 dollars", 5.0),
            ("$5 dollars", 5.0),
            ("US$ 20", 20.0),
            ("3/4", 0.75),
            ("2 1/2", 2.5),
            ("-\\frac{3}{4}", -0.75),
            ("2\\frac{1}{2}", 2.5),
            ("70%", 70.0),
            ("70\\%", 70.0),
            ("5km", 5.0),
            ("60 miles/hour", 60.0),
            ("5 red apples", 5.0),
            ("1.5e3", 1500.0),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in [
            "",
            "nan",
            "inf",
            "infinity",
            "e5",
            ".",
            "-",
            "$",
            "1,2",
            "1,0000",
            "1.2.3",
            "3:30",
            "01/02",
            "1/2/2020",
            "01/02/2020",
            "1/0",
            "2020-01-02",
            "5 or 6",
            "5 apples and 3 pears",
            "5 is the number that we want",
            "--5",
            "a5",
            "5,",
            "\\frac{1}{0}",
            "\\frac{1}",
            "£5 dollars",
            "1e999",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
