//! The values of a GGUF file's metadata.

/// One value. Integers keep the width they were written in, which llama.cpp insists on.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    /// Text; what is not UTF-8 in it was replaced.
    String(String),
    Array(Array),
}

/// A list of values of one type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Strings(Strings),
    Arrays(Vec<Self>),
}

/// Many strings in one piece of memory: vocabularies have hundreds of thousands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: Vec<u8>,
    /// End of each string in `text`.
    ends: Vec<usize>,
}

impl Strings {
    /// Appends one; it need not be UTF-8.
    pub fn push(&mut self, string: &[u8]) {
        self.text.extend_from_slice(string);
        self.ends.push(self.text.len());
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of one, if there is one of this number.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(begin..end)
    }

    /// The text of one; none if it is not UTF-8, or not there.
    pub fn get(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(index)?).ok()
    }

    /// All of them in order, each as `get` gives it.
    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut all = Self::default();
        for string in strings {
            all.push(string.as_ref().as_bytes());
        }
        all
    }
}

impl Value {
    /// The number of its type in a file.
    pub(in crate::files) fn type_id(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// A whole number that is not negative, in whatever width.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U8(n) => Some(u64::from(*n)),
            Self::U16(n) => Some(u64::from(*n)),
            Self::U32(n) => Some(u64::from(*n)),
            Self::U64(n) => Some(*n),
            Self::I8(n) => u64::try_from(*n).ok(),
            Self::I16(n) => u64::try_from(*n).ok(),
            Self::I32(n) => u64::try_from(*n).ok(),
            Self::I64(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// A number. One of 32 bits becomes the double with the fewest digits that rounds to it: 1e-5 stays 1e-5.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F32(x) => Some(shortest(*x)),
            Self::F64(x) => Some(*x),
            _ => self.as_u64().map(|n| n as f64),
        }
    }

    /// True or false.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// A list of strings.
    pub fn as_strings(&self) -> Option<&Strings> {
        if let Self::Array(Array::Strings(strings)) = self { Some(strings) } else { None }
    }

    /// A list of whole numbers, in whatever width.
    pub fn as_integers(&self) -> Option<Vec<i64>> {
        let Self::Array(array) = self else { return None };
        match array {
            Array::U8(list) => Some(list.iter().map(|n| i64::from(*n)).collect()),
            Array::I8(list) => Some(list.iter().map(|n| i64::from(*n)).collect()),
            Array::U16(list) => Some(list.iter().map(|n| i64::from(*n)).collect()),
            Array::I16(list) => Some(list.iter().map(|n| i64::from(*n)).collect()),
            Array::U32(list) => Some(list.iter().map(|n| i64::from(*n)).collect()),
            Array::I32(list) => Some(list.iter().map(|n| i64::from(*n)).collect()),
            Array::I64(list) => Some(list.clone()),
            Array::U64(list) => list.iter().map(|n| i64::try_from(*n).ok()).collect(),
            _ => None,
        }
    }

    /// A list of 32-bit floats.
    pub fn as_floats(&self) -> Option<&[f32]> {
        if let Self::Array(Array::F32(list)) = self { Some(list) } else { None }
    }

    /// A list of flags.
    pub fn as_flags(&self) -> Option<&[bool]> {
        if let Self::Array(Array::Bool(list)) = self { Some(list) } else { None }
    }

    /// Describes the value for messages: a number or a short text as it is, a list by its length.
    pub fn describe(&self) -> String {
        match self {
            Self::Array(array) => format!("a list of {} entries", array.len()),
            Self::String(text) if text.len() <= 60 => format!("\"{text}\""),
            Self::String(_) => "a long text".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::I8(n) => n.to_string(),
            Self::I16(n) => n.to_string(),
            Self::I32(n) => n.to_string(),
            Self::I64(n) => n.to_string(),
            other => other.as_f64().map_or_else(String::new, |x| x.to_string()),
        }
    }
}

/// The double with the fewest decimal digits that rounds to `x`.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
}

impl Array {
    /// The number of its elements' type in a file.
    pub(in crate::files) fn element_type(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Strings(_) => 8,
            Self::Arrays(_) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(list) => list.len(),
            Self::I8(list) => list.len(),
            Self::U16(list) => list.len(),
            Self::I16(list) => list.len(),
            Self::U32(list) => list.len(),
            Self::I32(list) => list.len(),
            Self::U64(list) => list.len(),
            Self::I64(list) => list.len(),
            Self::F32(list) => list.len(),
            Self::F64(list) => list.len(),
            Self::Bool(list) => list.len(),
            Self::Strings(list) => list.len(),
            Self::Arrays(list) => list.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
