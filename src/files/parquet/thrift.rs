//! The compact protocol of Thrift, in which Parquet describes itself: fields are taken one by one and never collected.

/// Result of reading; the error says what is wrong, without the file's name.
pub(super) type Read<T> = Result<T, String>;

/// Structs and lists within each other at the most.
const MAX_DEPTH: usize = 32;

/// The type of a field or of a list's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Int,
    Double,
    Bytes,
    List,
    Map,
    Struct,
}

/// Bytes that are being read.
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes taken so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Read<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(short)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has no end".to_owned())
    }

    /// A number of 16, 32 or 64 bits.
    pub(super) fn int(&mut self) -> Read<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number that cannot be negative.
    pub(super) fn count(&mut self) -> Read<u64> {
        let value = self.int()?;
        u64::try_from(value).map_err(|_| format!("a size is {value}"))
    }

    /// Text, or other bytes.
    pub(super) fn bytes(&mut self) -> Read<&'a [u8]> {
        let len = usize::try_from(self.varint()?).map_err(|_| short())?;
        let end = self.at.checked_add(len).ok_or_else(short)?;
        let bytes = self.bytes.get(self.at..end).ok_or_else(short)?;
        self.at = end;
        Ok(bytes)
    }

    /// The next field of a struct, by its number and type; none at the struct's end. `last` begins at 0.
    pub(super) fn field(&mut self, last: &mut i16) -> Read<Option<(i16, Kind)>> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => i16::try_from(self.int()?).map_err(|_| "a field has no number".to_owned())?,
            step => last.saturating_add(i16::from(step)),
        };
        Ok(Some((*last, kind(head & 15)?)))
    }

    /// Items of a list, each of which takes a byte at least, and their type.
    pub(super) fn list(&mut self) -> Read<(usize, Kind)> {
        let head = self.byte()?;
        let len = match head >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| short())?,
            len => usize::from(len),
        };
        match len {
            // Its type does not matter, and some writers give none.
            0 => Ok((0, Kind::Byte)),
            len if len > self.bytes.len() - self.at => Err(short()),
            len => Ok((len, kind(head & 15)?)),
        }
    }

    /// Passes a value that nobody needs.
    pub(super) fn skip(&mut self, kind: Kind) -> Read<()> {
        self.skip_in(kind, 0)
    }

    fn skip_in(&mut self, of: Kind, depth: usize) -> Read<()> {
        if depth > MAX_DEPTH {
            return Err("its description is nested too deeply".to_owned());
        }
        match of {
            Kind::True | Kind::False => {}
            Kind::Byte => drop(self.byte()?),
            Kind::Int => drop(self.varint()?),
            Kind::Double => {
                self.at += 8;
                if self.at > self.bytes.len() {
                    return Err(short());
                }
            }
            Kind::Bytes => drop(self.bytes()?),
            Kind::List => {
                let (len, item) = self.list()?;
                for _ in 0..len {
                    self.skip_item(item, depth)?;
                }
            }
            Kind::Map => {
                let len = self.varint()?;
                if len == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                let (key, value) = (kind(kinds >> 4)?, kind(kinds & 15)?);
                for _ in 0..len {
                    self.skip_item(key, depth)?;
                    self.skip_item(value, depth)?;
                }
            }
            Kind::Struct => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip_in(kind, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// In lists and maps, truth values take a byte each.
    fn skip_item(&mut self, kind: Kind, depth: usize) -> Read<()> {
        match kind {
            Kind::True | Kind::False => self.byte().map(drop),
            kind => self.skip_in(kind, depth + 1),
        }
    }
}

fn kind(code: u8) -> Read<Kind> {
    Ok(match code {
        1 => Kind::True,
        2 => Kind::False,
        3 => Kind::Byte,
        4..=6 => Kind::Int,
        7 => Kind::Double,
        8 => Kind::Bytes,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        other => return Err(format!("a field has the unknown type {other}")),
    })
}

pub(super) fn short() -> String {
    "its description ends too early".to_owned()
}
