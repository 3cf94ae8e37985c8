//! Small whole numbers, as runs of one value and as packed bits by turns: levels, places in a dictionary, truth values.

use super::thrift::Read;

/// A stretch of a page's bytes that is being read; it expands as it is asked.
#[derive(Clone, Copy, Default)]
pub(super) struct Runs {
    at: usize,
    end: usize,
    /// Bits of a value.
    width: u32,
    /// Values left of the run at hand: of one value, or packed from the bit `bit` of byte `at` on.
    left: u64,
    value: Option<u32>,
    bit: u32,
}

impl Runs {
    /// Values of `width` bits in these bytes of a page.
    pub(super) fn new(begin: usize, end: usize, width: u32) -> Read<Self> {
        match width <= 32 {
            true => Ok(Self { at: begin, end, width, ..Self::default() }),
            false => Err(format!("a page has values of {width} bits")),
        }
    }

    /// Values that are packed in bits, without runs.
    pub(super) fn packed(begin: usize, end: usize, width: u32) -> Self {
        Self { at: begin, end, width, left: u64::MAX, ..Self::default() }
    }

    /// Values without bits, all of which are 0.
    pub(super) fn zeros() -> Self {
        Self { left: u64::MAX, value: Some(0), ..Self::default() }
    }

    /// The next value.
    pub(super) fn next(&mut self, page: &[u8]) -> Read<u32> {
        while self.left == 0 {
            self.begin(page)?;
        }
        self.left -= 1;
        if let Some(value) = self.value {
            return Ok(value);
        }
        let mut value = 0;
        for bit in 0..self.width {
            let byte = page.get(self.at).filter(|_| self.at < self.end).ok_or_else(short)?;
            value |= u32::from(byte >> self.bit & 1) << bit;
            self.bit += 1;
            if self.bit == 8 {
                self.bit = 0;
                self.at += 1;
            }
        }
        Ok(value)
    }

    fn begin(&mut self, page: &[u8]) -> Read<()> {
        let mut head = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(page)?;
            head |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if head & 1 == 1 {
            self.left = (head >> 1).saturating_mul(8);
            (self.value, self.bit) = (None, 0);
            return Ok(());
        }
        self.left = head >> 1;
        let mut value = 0;
        for shift in 0..self.width.div_ceil(8) {
            value |= u32::from(self.byte(page)?) << (8 * shift);
        }
        self.value = Some(value);
        Ok(())
    }

    fn byte(&mut self, page: &[u8]) -> Read<u8> {
        let byte = page.get(self.at).filter(|_| self.at < self.end).copied().ok_or_else(short)?;
        self.at += 1;
        Ok(byte)
    }
}

fn short() -> String {
    "a page ends too early".to_owned()
}
