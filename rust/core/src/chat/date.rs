//! `strftime_now` of chat templates, on the recipe's date: a preparation never reads the clock.

use crate::{Error, Result};

/// The chat variable that says which day `strftime_now` tells.
pub(crate) const VARIABLE: &str = "strftime_now";
/// The day it tells where the recipe sets none.
pub(crate) const DEFAULT: &str = "2024-07-26";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A day of the Gregorian calendar, at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    /// Reads `YYYY-MM-DD`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let parts: Vec<Option<u32>> = text
            .split('-')
            .map(|part| {
                part.bytes()
                    .all(|b| b.is_ascii_digit())
                    .then(|| part.parse().ok())
                    .flatten()
            })
            .collect();
        if let &[Some(year @ 1..=9999), Some(month @ 1..=12), Some(day)] = parts.as_slice() {
            let date = Self { year, month, day };
            if (1..=date.days_in_month(month)).contains(&day) {
                return Ok(date);
            }
        }
        Err(Error::input(
            format!("prepare.chat_variables.{VARIABLE}"),
            format!("{text:?} is no date"),
            "write it as YYYY-MM-DD",
        ))
    }

    fn days_in_month(self, month: u32) -> u32 {
        let year = self.year;
        let is_leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(self) -> u32 {
        (1..self.month)
            .map(|month| self.days_in_month(month))
            .sum::<u32>()
            + self.day
    }

    /// Sunday is 0.
    fn day_of_week(self) -> u32 {
        let before = self.year - 1;
        (before + before / 4 - before / 100 + before / 400 + self.day_of_year()) % 7
    }

    /// Python's `strftime` in the C locale; `None` for a directive it does not know.
    pub(crate) fn format(self, format: &str) -> Option<String> {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = chars.next()?;
            let is_bare = directive == '-';
            if is_bare {
                directive = chars.next()?;
            }
            let month = MONTHS[self.month as usize - 1];
            let weekday = DAYS[self.day_of_week() as usize];
            let (value, width) = match directive {
                'd' => (self.day, 2),
                'm' => (self.month, 2),
                'y' => (self.year % 100, 2),
                'Y' => (self.year, 4),
                'j' => (self.day_of_year(), 3),
                'w' => (self.day_of_week(), 1),
                'H' | 'M' | 'S' => (0, 2),
                'I' => (12, 2),
                word if !is_bare => {
                    out.push_str(match word {
                        'B' => month,
                        'b' | 'h' => &month[..3],
                        'A' => weekday,
                        'a' => &weekday[..3],
                        'p' => "AM",
                        '%' => "%",
                        _ => return None,
                    });
                    continue;
                }
                _ => return None,
            };
            let width = if is_bare { 1 } else { width };
            out.push_str(&format!("{value:0width$}"));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_python_does() {
        let date = Date::parse("2024-03-05").unwrap();
        let text = date
            .format("%d %b %Y, %A %-d.%-m.%y day %j %H:%M %p%%")
            .unwrap();
        assert_eq!(text, "05 Mar 2024, Tuesday 5.3.24 day 065 00:00 AM%");
        assert_eq!(
            Date::parse("2000-12-31").unwrap().format("%j %a").unwrap(),
            "366 Sun"
        );
        assert_eq!(date.format("%Q"), None);
        assert_eq!(date.format("%"), None);
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "today",
            "2024-1-1-1",
            "+2024-01-01",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
