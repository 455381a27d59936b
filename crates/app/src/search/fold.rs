//! Text as searches compare it: lower case, without accents. Pure.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// A folded text with, for each of its characters, where the character that it came from begins and ends.
#[derive(Debug, Default)]
pub(super) struct Folded {
    pub(super) chars: Vec<char>,
    /// Byte offsets in the original.
    pub(super) origin: Vec<(usize, usize)>,
}

/// Folds a text and remembers where everything came from.
pub(super) fn fold_with_origin(text: &str) -> Folded {
    let mut folded = Folded::default();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        for c in folded_chars(c) {
            folded.chars.push(c);
            folded.origin.push((at, end));
        }
    }
    folded
}

/// Folds a text.
pub(super) fn fold(text: &str) -> String {
    text.chars().flat_map(folded_chars).collect()
}

fn folded_chars(c: char) -> impl Iterator<Item = char> {
    // Most of all mail is ASCII, which decomposes into itself.
    let ascii = c.is_ascii().then_some(c.to_ascii_lowercase());
    let other = ascii
        .is_none()
        .then(|| std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase));
    ascii.into_iter().chain(other.into_iter().flatten())
}

/// The words of a folded text: runs of letters and digits.
pub(super) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Scripts that are written without breaks between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
pub(super) const fn is_unbroken(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff
        | 0x2e80..=0x2fdf | 0x3005..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff
        | 0xff66..=0xff9f | 0x20000..=0x3134f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_matter() {
        for (text, want) in [
            ("Café", "cafe"),
            ("ÅNGSTRÖM", "angstrom"),
            ("Привет", "привет"),
            ("ｆｕｌｌ１", "full1"),
            ("ﬁn", "fin"),
            ("会議", "会議"),
        ] {
            assert_eq!(fold(text), want, "{text}");
        }
        let folded = fold_with_origin("a É");
        assert_eq!((folded.chars, folded.origin), (vec!['a', ' ', 'e'], vec![(0, 1), (1, 2), (2, 4)]));
    }
}
