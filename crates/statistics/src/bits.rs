//! A stream of bits, most significant first, and the two integer codes that the stored forms are made of.

use crate::CorruptState;

/// Bits to bytes; the last byte is filled up with zeros.
#[derive(Debug, Clone)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// The bits not yet in `bytes`, in its low end; fewer than 64 of them.
    partial: u64,
    partial_bits: u32,
}

impl Default for BitWriter {
    fn default() -> Self {
        // Most of what is written, states above all, is shorter than this: growing costs more than the room.
        BitWriter { bytes: Vec::with_capacity(512), partial: 0, partial_bits: 0 }
    }
}

/// Bytes to bits; reading past the end is `Truncated`.
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Number of bits of `value` without leading zeros: 0 for 0.
pub(crate) fn bit_length(value: u128) -> u32 {
    u128::BITS - value.leading_zeros()
}

/// How many numbers there are of each bit length.
#[derive(Debug, Clone)]
pub(crate) struct BitLengths {
    counts: [u32; 130],
    longest: u32,
}

impl Default for BitLengths {
    fn default() -> Self {
        Self { counts: [0; 130], longest: 0 }
    }
}

impl BitLengths {
    pub(crate) fn add(&mut self, value: u128) {
        self.add_bits(bit_length(value));
    }

    pub(crate) fn add_bits(&mut self, bits: u32) {
        self.counts[bits as usize] += 1;
        self.longest = self.longest.max(bits);
    }

    /// The parameter in `0..=63` with which the class codes of all the numbers take the fewest bits (the least such),
    /// and those bits.
    pub(crate) fn best_parameter(&self) -> (u32, u64) {
        let lengths = &self.counts[..=self.longest as usize];
        // For parameter p: (p + 1) for each number of at most p bits, (2n - p) for each longer one. Going from p to
        // p + 1, the numbers of at most p bits cost one bit more and those of more than p + 1 one less; those of
        // exactly p + 1 bits cost 2(p + 1) - p = p + 2 either way.
        let mut below = u64::from(lengths[0]);
        let mut above: u64 = lengths[1..].iter().map(|&count| u64::from(count)).sum();
        let weighted = |(bits, &count): (usize, &u32)| bits as u64 * 2 * u64::from(count);
        let mut cost = below + lengths.iter().enumerate().map(weighted).sum::<u64>();
        let mut best = (0, cost);
        for parameter in 1..=63.min(self.longest) {
            let exactly = u64::from(lengths[parameter as usize]);
            above -= exactly;
            cost = cost + below - above;
            below += exactly;
            if cost < best.1 {
                best = (parameter, cost);
            }
        }
        best
    }
}

impl BitWriter {
    /// Writes the low `bits` bits of `value`; `bits` at most 64.
    pub(crate) fn write(&mut self, value: u64, bits: u32) {
        debug_assert!(bits <= 64 && bit_length(u128::from(value)) <= bits);
        let free = 64 - self.partial_bits;
        if bits < free {
            self.partial = self.partial << bits | value;
            self.partial_bits += bits;
        } else {
            let over = bits - free;
            let word = self.partial.unbounded_shl(free) | value >> over;
            self.bytes.extend_from_slice(&word.to_be_bytes());
            self.partial = value & ((1 << over) - 1);
            self.partial_bits = over;
        }
    }

    pub(crate) fn write_bool(&mut self, value: bool) {
        self.write(u64::from(value), 1);
    }

    pub(crate) fn write_wide(&mut self, value: u128, bits: u32) {
        if bits > 64 {
            self.write((value >> 64) as u64, bits - 64);
            self.write(value as u64, 64);
        } else {
            self.write(value as u64, bits);
        }
    }

    /// The class code of `value`: its class, max(bit length, parameter), in unary above the parameter; then the bits
    /// below its leading one, or `parameter` bits where it is no longer than that. So it takes `parameter` + 1 bits, or
    /// 2 × bit length − `parameter`: near the cost of an exponential Golomb code, but a function of the bit length
    /// alone, so that one histogram prices every parameter.
    pub(crate) fn write_class_code(&mut self, value: u128, parameter: u32) {
        let length = bit_length(value);
        let zeros = length.saturating_sub(parameter);
        let below = if zeros == 0 { parameter } else { length - 1 };
        let rest = if zeros == 0 { value } else { value & !(1 << (length - 1)) };
        if zeros + 1 + below <= 64 {
            self.write((1 << below) | rest as u64, zeros + 1 + below);
        } else {
            self.write_wide(1, zeros + 1);
            self.write_wide(rest, below);
        }
    }

    /// A number of any size below 2^127: seven bits of length, then the bits below its leading one.
    pub(crate) fn write_number(&mut self, value: u128) {
        let length = bit_length(value);
        self.write(u64::from(length), 7);
        if length > 1 {
            self.write_wide(value & !(1 << (length - 1)), length - 1);
        }
    }

    pub(crate) fn write_f64(&mut self, value: f64) {
        self.write(value.to_bits(), 64);
    }

    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.write(u64::from_be_bytes(*word), 64));
        rest.iter().for_each(|byte| self.write(u64::from(*byte), 8));
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let rest = self.partial.unbounded_shl(64 - self.partial_bits).to_be_bytes();
        self.bytes.extend_from_slice(&rest[..self.partial_bits.div_ceil(8) as usize]);
        self.bytes
    }
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next bits, at least 57 of them, at the high end; zeros past the end of the bytes.
    fn next_bits(&self) -> u64 {
        let start = self.position / 8;
        let mut window = [0; 8];
        let rest = self.bytes.get(start..).unwrap_or_default();
        let present = rest.len().min(8);
        window[..present].copy_from_slice(&rest[..present]);
        u64::from_be_bytes(window) << (self.position % 8)
    }

    /// Passes over bits.
    pub(crate) fn skip(&mut self, bits: usize) -> Result<(), CorruptState> {
        self.position += bits;
        if self.position > self.bytes.len() * 8 { Err(CorruptState::Truncated) } else { Ok(()) }
    }

    pub(crate) fn read(&mut self, bits: u32) -> Result<u64, CorruptState> {
        if (1..=57).contains(&bits) {
            let value = self.next_bits() >> (64 - bits);
            self.skip(bits as usize)?;
            return Ok(value);
        }
        let end = self.position + bits as usize;
        if end > self.bytes.len() * 8 {
            return Err(CorruptState::Truncated);
        }
        let mut value = 0u128;
        let last = end.div_ceil(8);
        for &byte in &self.bytes[self.position / 8..last] {
            value = (value << 8) | u128::from(byte);
        }
        value >>= last * 8 - end;
        self.position = end;
        Ok(if bits == 0 { 0 } else { (value as u64) & (u64::MAX >> (64 - bits)) })
    }

    pub(crate) fn read_bool(&mut self) -> Result<bool, CorruptState> {
        Ok(self.read(1)? == 1)
    }

    pub(crate) fn read_wide(&mut self, bits: u32) -> Result<u128, CorruptState> {
        if bits > 64 {
            let high = u128::from(self.read(bits - 64)?);
            Ok((high << 64) | u128::from(self.read(64)?))
        } else {
            Ok(u128::from(self.read(bits)?))
        }
    }

    /// Reads a class code whose number has at most `longest` bits.
    pub(crate) fn read_class_code(&mut self, parameter: u32, longest: u32) -> Result<u128, CorruptState> {
        let mut zeros = 0;
        loop {
            let run = self.next_bits().leading_zeros();
            zeros += run.min(56);
            if parameter + zeros > longest.max(parameter) {
                return Err(CorruptState::Invariant("a number is longer than its field allows"));
            }
            self.skip(run.min(56) as usize)?;
            if run < 56 {
                break;
            }
        }
        self.skip(1)?;
        if zeros == 0 {
            return self.read_wide(parameter);
        }
        let length = parameter + zeros;
        Ok((1 << (length - 1)) | self.read_wide(length - 1)?)
    }

    pub(crate) fn read_number(&mut self, longest: u32) -> Result<u128, CorruptState> {
        let length = self.read(7)? as u32;
        if length > longest {
            return Err(CorruptState::Invariant("a number is longer than its field allows"));
        }
        if length == 0 { Ok(0) } else { Ok((1 << (length - 1)) | self.read_wide(length - 1)?) }
    }

    pub(crate) fn read_finite(&mut self) -> Result<f64, CorruptState> {
        let value = f64::from_bits(self.read(64)?);
        if value.is_finite() { Ok(value) } else { Err(CorruptState::Invariant("a number is not finite")) }
    }

    pub(crate) fn read_bytes(&mut self, length: usize) -> Result<Vec<u8>, CorruptState> {
        if self.position + length * 8 > self.bytes.len() * 8 {
            return Err(CorruptState::Truncated);
        }
        (0..length).map(|_| self.read(8).map(|byte| byte as u8)).collect()
    }

    /// Ends the reading: what is left is the zeros that fill the last byte.
    pub(crate) fn finish(mut self) -> Result<(), CorruptState> {
        let left = self.remaining();
        if left >= 8 || self.read(left as u32)? != 0 { Err(CorruptState::NotCanonical) } else { Ok(()) }
    }

    /// Bits not yet read.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }
}
