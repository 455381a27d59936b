//! One segment of a scope's index: numbers of documents, and for each token those that carry it, in blocks that are
//! found by their first token. Segments never change; several are merged into one. Pure.
//!
//! Documents have places 0, 1, … by their numbers, the oldest first. A block holds tokens in order, each as the length
//! that it shares with the one before, the rest, the length of what follows, and the places: their differences, or one
//! bit for each document of the segment where that is shorter. All lengths are LEB128.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fixedbitset::FixedBitSet;

use crate::{Error, Result};

/// Documents of a segment at most.
pub(crate) const DOCUMENTS_MAX: usize = 16_384;
/// Numbers in one block of them.
pub(crate) const CHUNK: usize = 256;
/// Bytes after which a new block of tokens begins.
const BLOCK_BYTES: usize = 4_096;
/// How the names of blocks of numbers begin: behind every token, all of which begin with a letter.
const NUMBERS: char = '~';

/// A segment in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Numbers of its documents, ascending.
    numbers: Vec<i64>,
    /// Places of the documents that carry a token, ascending.
    places: BTreeMap<String, Vec<u32>>,
}

/// A segment as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
    pub(crate) documents: usize,
    /// All numbers of a segment of at most [`CHUNK`] documents, the first of each block of numbers of a larger one.
    pub(crate) numbers: Vec<u8>,
    /// By their names: the first token, but nothing for the first block, or the name of a block of numbers.
    pub(crate) blocks: Vec<(String, Vec<u8>)>,
}

const fn damaged() -> Error {
    Error::Corrupt("a block of the search index")
}

impl Segment {
    /// Of documents with their numbers, each different, and their tokens.
    pub(crate) fn new<T: IntoIterator<Item = String>>(mut documents: Vec<(i64, T)>) -> Self {
        documents.sort_by_key(|(number, _)| *number);
        let mut segment = Self::default();
        for (place, (number, tokens)) in (0..).zip(documents) {
            segment.numbers.push(number);
            for token in tokens {
                let places: &mut Vec<u32> = segment.places.entry(token).or_default();
                // A token that a document names twice is there once.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        segment
    }

    /// One of several, without the documents that are gone. A document that was indexed again carries what it did and what
    /// it does: nobody knows here which is which, and whoever searches compares it himself.
    pub(crate) fn merged(parts: Vec<Self>, alive: &HashSet<i64>) -> Self {
        let numbers = parts.iter().flat_map(|part| &part.numbers).filter(|number| alive.contains(number));
        let numbers: BTreeSet<i64> = numbers.copied().collect();
        let places: HashMap<i64, u32> = numbers.iter().copied().zip(0..).collect();
        let mut merged = Self { numbers: numbers.into_iter().collect(), places: BTreeMap::new() };
        for part in parts {
            let moved: Vec<Option<u32>> =
                part.numbers.iter().map(|number| places.get(number).copied()).collect();
            for (token, places) in part.places {
                let places = places.iter().filter_map(|place| *moved.get(usize::try_from(*place).ok()?)?);
                let mut places = places.peekable();
                if places.peek().is_some() {
                    merged.places.entry(token).or_default().extend(places);
                }
            }
        }
        for places in merged.places.values_mut() {
            places.sort_unstable();
            places.dedup();
        }
        merged
    }

    pub(crate) fn numbers(&self) -> &[i64] {
        &self.numbers
    }

    pub(crate) fn stored(&self) -> Stored {
        let mut blocks: Vec<(String, Vec<u8>)> = Vec::new();
        let (mut name, mut block, mut last) = (String::new(), Vec::new(), "");
        for (token, places) in &self.places {
            if block.len() >= BLOCK_BYTES {
                blocks.push((std::mem::replace(&mut name, token.clone()), std::mem::take(&mut block)));
                last = "";
            }
            push_entry(&mut block, last, token, places, self.numbers.len());
            last = token;
        }
        blocks.push((name, block));
        let numbers = if self.numbers.len() <= CHUNK {
            packed(self.numbers.iter().copied())
        } else {
            let chunks = self.numbers.chunks(CHUNK);
            blocks
                .extend(chunks.enumerate().map(|(n, chunk)| (chunk_name(n), packed(chunk.iter().copied()))));
            packed(self.numbers.iter().copied().step_by(CHUNK))
        };
        Stored {
            oldest: self.numbers.first().copied().unwrap_or_default(),
            newest: self.numbers.last().copied().unwrap_or_default(),
            documents: self.numbers.len(),
            numbers,
            blocks,
        }
    }

    /// From all that is stored of it; blocks in any order.
    pub(crate) fn read(numbers: &[u8], blocks: &[(String, Vec<u8>)]) -> Result<Self> {
        let (mut chunks, tokens): (Vec<_>, Vec<_>) =
            blocks.iter().partition(|(name, _)| name.starts_with(NUMBERS));
        let mut segment = Self::default();
        if chunks.is_empty() {
            segment.numbers = unpacked(numbers)?;
        }
        chunks.sort();
        for (_, chunk) in chunks {
            segment.numbers.extend(unpacked(chunk)?);
        }
        for (_, block) in tokens {
            let mut entries = Entries::new(block);
            while let Some(places) = entries.next()? {
                let token = std::str::from_utf8(&entries.token).map_err(|_| damaged())?;
                segment.places.insert(token.to_owned(), places.list()?);
            }
        }
        Ok(segment)
    }
}

/// The name of a block of numbers.
pub(crate) fn chunk_name(n: usize) -> String {
    format!("{NUMBERS}{n:04x}")
}

/// Adds the documents of a block that carry a token from `from` to `to`, both included.
pub(crate) fn find(block: &[u8], from: &str, to: &str, found: &mut FixedBitSet) -> Result<()> {
    let mut entries = Entries::new(block);
    while let Some(places) = entries.next()? {
        if entries.token.as_slice() > to.as_bytes() {
            break;
        }
        if entries.token.as_slice() >= from.as_bytes() {
            places.add_to(found)?;
        }
    }
    Ok(())
}

fn push_entry(block: &mut Vec<u8>, last: &str, token: &str, places: &[u32], documents: usize) {
    let shared = last.bytes().zip(token.bytes()).take_while(|(a, b)| a == b).count();
    let rest = token.as_bytes().get(shared..).unwrap_or_default();
    push(block, shared as u64);
    push(block, rest.len() as u64);
    block.extend(rest);
    let bits = documents.div_ceil(8);
    let mut differences = Vec::with_capacity(places.len().min(bits));
    let mut before = 0;
    for place in places {
        push(&mut differences, u64::from(place - before));
        before = *place;
    }
    let dense = differences.len() > bits;
    if dense {
        differences.clear();
        differences.resize(bits, 0);
        for place in places {
            if let Some(byte) = usize::try_from(place / 8).ok().and_then(|n| differences.get_mut(n)) {
                *byte |= 1 << (place % 8);
            }
        }
    }
    push(block, differences.len() as u64 * 2 + u64::from(dense));
    block.extend(differences);
}

/// The entries of a block, one after the other.
struct Entries<'a> {
    rest: &'a [u8],
    token: Vec<u8>,
}

impl<'a> Entries<'a> {
    fn new(block: &'a [u8]) -> Self {
        Self { rest: block, token: Vec::new() }
    }

    /// The places of the next one, whose token is then there.
    fn next(&mut self) -> Result<Option<Places<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let shared = length(&mut self.rest)?;
        let own = length(&mut self.rest)?;
        let own = take(&mut self.rest, own)?;
        self.token.truncate(shared);
        self.token.extend(own);
        let header = length(&mut self.rest)?;
        let bytes = take(&mut self.rest, header / 2)?;
        Ok(Some(if header % 2 == 1 { Places::Dense(bytes) } else { Places::Sparse(bytes) }))
    }
}

enum Places<'a> {
    Sparse(&'a [u8]),
    Dense(&'a [u8]),
}

impl Places<'_> {
    fn each(&self, mut add: impl FnMut(usize) -> Result<()>) -> Result<()> {
        match self {
            Self::Sparse(bytes) => {
                let (mut rest, mut place) = (*bytes, 0_usize);
                while !rest.is_empty() {
                    place = place.checked_add(length(&mut rest)?).ok_or_else(damaged)?;
                    add(place)?;
                }
            }
            Self::Dense(bytes) => {
                for (n, byte) in bytes.iter().enumerate() {
                    let mut byte = *byte;
                    while byte != 0 {
                        add(n * 8 + byte.trailing_zeros() as usize)?;
                        byte &= byte - 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn add_to(&self, found: &mut FixedBitSet) -> Result<()> {
        self.each(|place| {
            if place >= found.len() {
                return Err(damaged());
            }
            found.insert(place);
            Ok(())
        })
    }

    fn list(&self) -> Result<Vec<u32>> {
        let mut list = Vec::new();
        self.each(|place| {
            list.push(u32::try_from(place).map_err(|_| damaged())?);
            Ok(())
        })?;
        Ok(list)
    }
}

/// Ascending numbers as their differences.
fn packed(numbers: impl Iterator<Item = i64>) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::new(), 0_i64);
    for number in numbers {
        push(&mut bytes, number.wrapping_sub(before).cast_unsigned());
        before = number;
    }
    bytes
}

/// What [`packed`] made.
pub(crate) fn unpacked(mut bytes: &[u8]) -> Result<Vec<i64>> {
    let (mut numbers, mut before) = (Vec::new(), 0_i64);
    while !bytes.is_empty() {
        before = before.wrapping_add(pull(&mut bytes)?.cast_signed());
        numbers.push(before);
    }
    Ok(numbers)
}

fn push(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    bytes.push((n & 0x7f) as u8);
}

fn pull(bytes: &mut &[u8]) -> Result<u64> {
    let (mut n, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift).ok_or_else(damaged)?;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
        shift += 7;
    }
}

fn length(bytes: &mut &[u8]) -> Result<usize> {
    usize::try_from(pull(bytes)?).map_err(|_| damaged())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(documents: &[(i64, &[&str])]) -> Segment {
        Segment::new(
            documents
                .iter()
                .map(|(number, tokens)| (*number, tokens.iter().map(|token| (*token).to_owned())))
                .collect(),
        )
    }

    fn found(segment: &Segment, from: &str, to: &str) -> Vec<i64> {
        let stored = segment.stored();
        let mut bits = FixedBitSet::with_capacity(stored.documents);
        for (name, block) in &stored.blocks {
            if !name.starts_with(NUMBERS) {
                find(block, from, to, &mut bits).unwrap();
            }
        }
        bits.ones().map(|place| segment.numbers()[place]).collect()
    }

    #[test]
    fn a_token_leads_to_its_documents_and_a_beginning_to_those_of_all_that_have_it() {
        let segment = segment(&[
            (30, &["wapple", "wapricot"]),
            (-10, &["wapple"]),
            (20, &["wpear", "wapple", "wapple"]),
        ]);
        assert_eq!(found(&segment, "wapple", "wapple"), [-10, 20, 30]);
        assert_eq!(found(&segment, "wapr", "wapr\u{10ffff}"), [30]);
        assert_eq!(found(&segment, "wap", "wap"), Vec::<i64>::new());
        assert_eq!(found(&segment, "w", "w\u{10ffff}"), [-10, 20, 30]);
        assert_eq!(found(&segment, "x", "x\u{10ffff}"), Vec::<i64>::new());
    }

    #[test]
    fn what_is_stored_is_read_again_however_large() {
        let many: Vec<(i64, Vec<String>)> = (0..5_000_i64)
            .map(|n| (n * 1_000_003, vec!["wall".to_owned(), format!("w{n}"), format!("s{}", n % 7)]))
            .collect();
        for count in [0, 1, CHUNK, CHUNK + 1, 5_000] {
            let segment = Segment::new(many[..count].to_vec());
            let mut stored = segment.stored();
            assert_eq!(stored.documents, count);
            stored.blocks.reverse();
            assert_eq!(Segment::read(&stored.numbers, &stored.blocks).unwrap(), segment);
        }
        let all = Segment::new(many);
        let stored = all.stored();
        assert!(stored.blocks.len() > 10);
        // Blocks are found by their names: the first holds what is before the second's.
        assert_eq!(stored.blocks[0].0, "");
        assert!(stored.blocks[1..].is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!((stored.oldest, stored.newest), (0, 4_999 * 1_000_003));
        // Every document has this one: a bit for each is shorter than a number.
        assert_eq!(found(&all, "wall", "wall").len(), 5_000);
    }

    #[test]
    fn a_merged_segment_has_what_is_left_of_its_parts() {
        let (old, new) =
            (segment(&[(1, &["wa", "wb"]), (5, &["wa"])]), segment(&[(3, &["wb"]), (5, &["wa", "wc"])]));
        let merged = Segment::merged(vec![old, new], &HashSet::from([1, 3, 5]));
        assert_eq!(merged.numbers(), [1, 3, 5]);
        // The last one was indexed again.
        assert_eq!(merged, segment(&[(1, &["wa", "wb"]), (3, &["wb"]), (5, &["wa", "wc"])]));
        let rest = Segment::merged(vec![merged], &HashSet::from([3]));
        assert_eq!(rest, segment(&[(3, &["wb"])]));
    }

    #[test]
    fn a_damaged_block_is_an_error() {
        let stored = segment(&[(1, &["wapple"]), (2, &["wapple", "wpear"])]).stored();
        let block = &stored.blocks[0].1;
        let mut bits = FixedBitSet::with_capacity(2);
        for cut in 1..block.len() {
            let cut = &block[..cut];
            let ends_well = find(cut, "w", "w\u{10ffff}", &mut bits).is_ok();
            assert!(!ends_well || Segment::read(&stored.numbers, &[(String::new(), cut.to_vec())]).is_ok());
        }
        assert!(find(&[0xff; 12], "a", "z", &mut bits).is_err());
        // A place beyond the segment's documents.
        let mut small = FixedBitSet::with_capacity(1);
        assert!(find(block, "w", "w\u{10ffff}", &mut small).is_err());
    }
}
