//! Tests of SMTP on the wire: tables, and properties over every way to split the input.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic")]

mod commands;
mod data;
mod lines;
mod replies;
mod smoke;
mod stuffing;

/// A small generator with a fixed seed (xorshift64*), so that failures repeat.
pub(crate) struct Pseudorandom(pub(crate) u64);

impl Pseudorandom {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }

    /// Bytes of `alphabet`, fewer than `len_max`.
    pub(crate) fn bytes(&mut self, alphabet: &[u8], len_max: usize) -> Vec<u8> {
        let len = self.below(len_max);
        (0..len).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    /// The input cut into pieces at random places.
    pub(crate) fn pieces<'a>(&mut self, input: &'a [u8]) -> Vec<&'a [u8]> {
        let mut rest = input;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(1 + self.below(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces
    }
}
