//! Python's functions, filters and tests that chat templates use, and minijinja has otherwise or not at all.

use crate::platform::civil_date;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{ErrorKind, State};
use serde_json::Value;

/// Lists and maps within each other that are written as JSON; no reader of JSON takes more.
const MOST_NESTED: usize = 128;

/// Python's notion, in which null is not iterable; templates ask it of `tools`.
pub(in crate::data) fn is_iterable(value: &minijinja::Value) -> bool {
    !matches!(value.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number)
}

pub(in crate::data) fn raise_exception(message: String) -> Result<minijinja::Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// `json.dumps` with `ensure_ascii=False`: the filter that transformers puts in place of Jinja's.
pub(in crate::data) fn tojson(
    state: &State<'_, '_>,
    value: &minijinja::Value,
    kwargs: Kwargs,
) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let separators: Option<Vec<String>> = kwargs.get("separators")?;
    kwargs.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let mut text = String::new();
    JsonStyle { state, indent, item, key, sort_keys, ascii }.write(value, 0, &mut text)?;
    Ok(text)
}

/// The options of Python's `json.dumps`.
struct JsonStyle<'a> {
    /// State of the rendering, whose fuel pays for the text: values in several places make more text than they hold.
    state: &'a State<'a, 'a>,
    indent: Option<usize>,
    item: String,
    key: String,
    sort_keys: bool,
    ascii: bool,
}

impl JsonStyle<'_> {
    fn write(&self, value: &minijinja::Value, depth: usize, text: &mut String) -> Result<(), minijinja::Error> {
        if depth > MOST_NESTED {
            let what = format!("more than {MOST_NESTED} lists and maps within each other cannot be written as JSON");
            return Err(minijinja::Error::new(ErrorKind::BadSerialization, what));
        }
        self.pay(0)?;
        match value.kind() {
            ValueKind::None => text.push_str("null"),
            ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => text.push_str(&value.to_string()),
            ValueKind::String => self.write_string(value.as_str().unwrap_or_default(), text)?,
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<_> = value.try_iter()?.collect();
                self.write_items('[', ']', &items, depth, text, |item, text| self.write(item, depth + 1, text))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<_> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.write_items('{', '}', &keys, depth, text, |key, text| {
                    self.write_string(&key.to_string(), text)?;
                    self.pay(self.key.len())?;
                    text.push_str(&self.key);
                    self.write(&value.get_item(key)?, depth + 1, text)
                })?;
            }
            kind => {
                let what = format!("{kind} cannot be written as JSON");
                return Err(minijinja::Error::new(ErrorKind::BadSerialization, what));
            }
        }
        Ok(())
    }

    fn write_items(
        &self,
        open: char,
        close: char,
        items: &[minijinja::Value],
        depth: usize,
        text: &mut String,
        write: impl Fn(&minijinja::Value, &mut String) -> Result<(), minijinja::Error>,
    ) -> Result<(), minijinja::Error> {
        let new_line = |depth: usize, text: &mut String| -> Result<(), minijinja::Error> {
            if let (Some(indent), false) = (self.indent, items.is_empty()) {
                let width = indent.saturating_mul(depth);
                self.pay(width)?;
                text.push('\n');
                text.extend(std::iter::repeat_n(' ', width));
            }
            Ok(())
        };
        text.push(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.pay(self.item.len())?;
                text.push_str(&self.item);
            }
            new_line(depth + 1, text)?;
            write(item, text)?;
        }
        new_line(depth, text)?;
        text.push(close);
        Ok(())
    }

    /// Takes the fuel for bytes that will be written, which the engine sees only when all are.
    fn pay(&self, bytes: usize) -> Result<(), minijinja::Error> {
        self.state.consume_fuel(1 + bytes as u64 / 64)
    }

    fn write_string(&self, string: &str, text: &mut String) -> Result<(), minijinja::Error> {
        self.pay(string.len())?;
        let quoted = Value::from(string).to_string();
        if !self.ascii {
            text.push_str(&quoted);
            return Ok(());
        }
        for c in quoted.chars() {
            if c.is_ascii() {
                text.push(c);
            } else {
                text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        Ok(())
    }
}

/// Python's `strftime` in UTC, for the directives that templates use; an error names one that is not known.
pub(in crate::data) fn strftime(format: &str, unix_secs: i64) -> Result<String, minijinja::Error> {
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
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let (days, secs) = (unix_secs.div_euclid(86_400), unix_secs.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    let month_name = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    let day_name = DAYS.get(days.rem_euclid(7) as usize).copied().unwrap_or_default();
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    let hour_12 = (hour + 11) % 12 + 1;
    let mut text = String::new();
    let mut directives = format.chars();
    while let Some(c) = directives.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut directive = directives.next();
        let padded = directive != Some('-');
        if !padded {
            directive = directives.next();
        }
        let number = |n: i64| if padded { format!("{n:02}") } else { n.to_string() };
        text += &match directive {
            Some('Y') => year.to_string(),
            Some('y') => number(year.rem_euclid(100)),
            Some('m') => number(month),
            Some('d') => number(day),
            Some('B') => month_name.to_owned(),
            Some('b') => short(month_name),
            Some('A') => day_name.to_owned(),
            Some('a') => short(day_name),
            Some('H') => number(hour),
            Some('I') => number(hour_12),
            Some('M') => number(minute),
            Some('S') => number(second),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') => "%".to_owned(),
            other => {
                let what = format!("strftime_now does not know %{}", other.unwrap_or(' '));
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, what));
            }
        };
    }
    Ok(text)
}
