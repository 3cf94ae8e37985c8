//! Values of a page, one after the other, in each of Parquet's encodings; nothing is expanded before it is asked for.

use serde_json::{Number, Value};

use super::levels::Runs;
use super::thrift::Read;

/// Values of a page in the delta encodings at the most: a few bytes may stand for many.
const MAX_DELTAS: u64 = 4 << 20;

/// Physical type of the stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Physical {
    Bool,
    Int32,
    Int64,
    Float,
    Double,
    Bytes,
    /// Values of so many bytes.
    Fixed(usize),
}

impl Physical {
    pub(super) fn new(code: i64, length: usize) -> Read<Self> {
        Ok(match code {
            0 => Self::Bool,
            1 => Self::Int32,
            2 => Self::Int64,
            // Times in 96 bits, which nobody trains on.
            3 => Self::Fixed(12),
            4 => Self::Float,
            5 => Self::Double,
            6 => Self::Bytes,
            7 if length > 0 => Self::Fixed(length),
            other => return Err(format!("a column has the unknown type {other}")),
        })
    }

    /// Bytes of a value, if all have as many.
    fn size(self) -> Option<usize> {
        match self {
            Self::Int32 | Self::Float => Some(4),
            Self::Int64 | Self::Double => Some(8),
            Self::Fixed(size) => Some(size),
            Self::Bool | Self::Bytes => None,
        }
    }

    /// A value as JSON; null for what is no text and no number.
    fn value(self, bytes: &[u8]) -> Value {
        let four = || bytes.try_into().unwrap_or_default();
        let eight = || bytes.try_into().unwrap_or_default();
        match self {
            Self::Int32 => Value::from(i32::from_le_bytes(four())),
            Self::Int64 => Value::from(i64::from_le_bytes(eight())),
            // The shortest decimal number that is this one.
            Self::Float => number(f32::from_le_bytes(four()).to_string().parse().unwrap_or(f64::NAN)),
            Self::Double => number(f64::from_le_bytes(eight())),
            Self::Bool => Value::Null,
            Self::Bytes | Self::Fixed(_) => str::from_utf8(bytes).map_or(Value::Null, Value::from),
        }
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// The values that pages of a column refer to.
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    physical: Physical,
    /// Start and end of each text; empty for values of equal size.
    texts: Vec<(u32, u32)>,
}

impl Dictionary {
    /// A dictionary page: values one after the other.
    pub(super) fn new(bytes: Vec<u8>, physical: Physical, n: u64) -> Read<Self> {
        let mut texts = Vec::new();
        if physical == Physical::Bytes {
            let mut at = 0;
            for _ in 0..n {
                let text = text_at(&bytes, &mut at, bytes.len())?;
                texts.push((text.0 as u32, text.1 as u32));
            }
        }
        Ok(Self { bytes, physical, texts })
    }

    fn get(&self, place: u32) -> Read<Value> {
        let place = place as usize;
        let range = match self.physical.size() {
            Some(size) => place.checked_mul(size).map(|begin| begin..begin + size),
            None => self.texts.get(place).map(|&(begin, end)| begin as usize..end as usize),
        };
        let bytes = range.and_then(|range| self.bytes.get(range));
        bytes.map(|bytes| self.physical.value(bytes)).ok_or_else(|| "a value is not in its dictionary".to_owned())
    }
}

/// Values that are left in a page.
pub(super) enum Values {
    /// One after the other, from `at` to `end`.
    Plain { physical: Physical, at: usize, end: usize },
    /// Places in the dictionary.
    Places(Runs),
    /// Truth values.
    Bits(Runs),
    /// Numbers that were differences.
    Numbers(std::vec::IntoIter<i64>, Physical),
    /// Texts by their lengths, from `at` to `end`.
    Texts { lengths: std::vec::IntoIter<i64>, at: usize, end: usize },
    /// Texts by what each has of the one before, and what is new.
    Suffixes {
        shared: std::vec::IntoIter<i64>,
        lengths: std::vec::IntoIter<i64>,
        before: Vec<u8>,
        at: usize,
        end: usize,
    },
    /// First bytes of all values, then second ones, and so on: value `i` of `n`.
    Split { physical: Physical, size: usize, begin: usize, i: usize, n: usize },
}

impl Values {
    /// The values from `at` on to the page's end.
    pub(super) fn new(encoding: i64, physical: Physical, page: &[u8], mut at: usize) -> Read<Self> {
        let end = page.len();
        Ok(match (encoding, physical) {
            (0, Physical::Bool) => Self::Bits(Runs::packed(at, end, 1)),
            (0, _) => Self::Plain { physical, at, end },
            (2 | 8, _) => {
                // A page of nulls alone may leave the width out.
                let width = page.get(at).copied().unwrap_or(0);
                Self::Places(Runs::new((at + 1).min(end), end, width.into())?)
            }
            // After their length.
            (3, Physical::Bool) => Self::Bits(Runs::new((at + 4).min(end), end, 1)?),
            (5, Physical::Int32 | Physical::Int64) => Self::Numbers(deltas(page, &mut at)?, physical),
            (6, Physical::Bytes) => Self::Texts { lengths: deltas(page, &mut at)?, at, end },
            (7, Physical::Bytes | Physical::Fixed(_)) => {
                let shared = deltas(page, &mut at)?;
                Self::Suffixes { shared, lengths: deltas(page, &mut at)?, before: Vec::new(), at, end }
            }
            (9, _) => match physical.size() {
                Some(size) => Self::Split { physical, size, begin: at, i: 0, n: (end - at) / size },
                None => return Err(unknown(encoding)),
            },
            _ => return Err(unknown(encoding)),
        })
    }

    /// The next value.
    pub(super) fn next(&mut self, page: &[u8], dictionary: Option<&Dictionary>) -> Read<Value> {
        match self {
            Self::Plain { physical, at, end } => {
                let (begin, stop) = match physical.size() {
                    Some(size) => (*at, *at + size),
                    None => text_at(page, at, *end)?,
                };
                *at = stop;
                page.get(begin..stop).map(|bytes| physical.value(bytes)).ok_or_else(short)
            }
            Self::Places(runs) => {
                dictionary.ok_or_else(|| "a column has no dictionary".to_owned())?.get(runs.next(page)?)
            }
            Self::Bits(runs) => Ok(Value::Bool(runs.next(page)? == 1)),
            Self::Numbers(numbers, physical) => {
                let number = numbers.next().ok_or_else(short)?;
                Ok(if *physical == Physical::Int32 { Value::from(number as i32) } else { Value::from(number) })
            }
            Self::Texts { lengths, at, end } => {
                let bytes = part(page, at, *end, lengths.next())?;
                Ok(Physical::Bytes.value(bytes))
            }
            Self::Suffixes { shared, lengths, before, at, end } => {
                let shared = usize::try_from(shared.next().ok_or_else(short)?).map_err(|_| short())?;
                if shared > before.len() {
                    return Err("a text shares more with the one before than that has".to_owned());
                }
                before.truncate(shared);
                before.extend(part(page, at, *end, lengths.next())?);
                Ok(Physical::Bytes.value(before))
            }
            Self::Split { physical, size, begin, i, n } => {
                let place = |byte: usize| page.get(*begin + byte * *n + *i).copied();
                let bytes: Option<Vec<u8>> = (0..*size).map(place).collect();
                *i += 1;
                match bytes {
                    Some(bytes) if *i <= *n => Ok(physical.value(&bytes)),
                    _ => Err(short()),
                }
            }
        }
    }
}

/// Range of a text that follows its length in four bytes; moves `at` past it.
fn text_at(page: &[u8], at: &mut usize, end: usize) -> Read<(usize, usize)> {
    let begin = *at + 4;
    let length: [u8; 4] = page.get(*at..begin).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
    let stop = begin.checked_add(u32::from_le_bytes(length) as usize).filter(|stop| *stop <= end).ok_or_else(short)?;
    *at = stop;
    Ok((begin, stop))
}

/// The next `length` bytes.
fn part<'a>(page: &'a [u8], at: &mut usize, end: usize, length: Option<i64>) -> Read<&'a [u8]> {
    let length = usize::try_from(length.ok_or_else(short)?).map_err(|_| short())?;
    let stop = at.checked_add(length).filter(|stop| *stop <= end).ok_or_else(short)?;
    let bytes = page.get(*at..stop).ok_or_else(short)?;
    *at = stop;
    Ok(bytes)
}

/// Numbers as differences in blocks, each packed in as few bits as it takes; `at` is then after them.
fn deltas(page: &[u8], at: &mut usize) -> Read<std::vec::IntoIter<i64>> {
    let (block, parts, n) = (varint(page, at)?, varint(page, at)?, varint(page, at)?);
    let mut value = zigzag(varint(page, at)?);
    let per_part = block.checked_div(parts).unwrap_or(0);
    if per_part == 0 || per_part % 8 != 0 || parts > 512 || block > 1 << 20 || n > MAX_DELTAS {
        return Err("a page of differences has sizes that are not possible".to_owned());
    }
    let mut numbers = Vec::new();
    if n > 0 {
        numbers.push(value);
    }
    while (numbers.len() as u64) < n {
        let least = zigzag(varint(page, at)?);
        let begin = *at;
        *at += parts as usize;
        let widths = page.get(begin..*at).ok_or_else(short)?;
        for &width in widths {
            if numbers.len() as u64 >= n {
                break;
            }
            let bytes = per_part as usize / 8 * usize::from(width);
            if width > 64 {
                return Err(format!("a page has differences of {width} bits"));
            }
            for i in 0..per_part as usize {
                if numbers.len() as u64 >= n {
                    break;
                }
                value = value.wrapping_add(least).wrapping_add(packed(page, *at, i, width)? as i64);
                numbers.push(value);
            }
            *at += bytes;
        }
    }
    // The last part may be cut off.
    *at = (*at).min(page.len());
    Ok(numbers.into_iter())
}

/// Value `i` of those packed in `width` bits each from `at` on.
fn packed(page: &[u8], at: usize, i: usize, width: u8) -> Read<u64> {
    let first = i * usize::from(width);
    let mut value = 0;
    for bit in 0..usize::from(width) {
        let place = first + bit;
        let byte = page.get(at + place / 8).ok_or_else(short)?;
        value |= u64::from(byte >> (place % 8) & 1) << bit;
    }
    Ok(value)
}

fn varint(page: &[u8], at: &mut usize) -> Read<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = page.get(*at).ok_or_else(short)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn unknown(encoding: i64) -> String {
    format!("a column has the encoding {encoding}, which is not known here")
}

fn short() -> String {
    "a page ends too early".to_owned()
}
