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

/// Folds a text and remembers where everything came from. White space is one space.
pub(super) fn fold_with_origin(text: &str) -> Folded {
    let mut folded = Folded::default();
    for (at, c) in text.char_indices() {
        let (end, before) = (at + c.len_utf8(), folded.chars.len());
        if !(c.is_whitespace() && folded.chars.last() == Some(&' ')) {
            for c in folded_chars(c) {
                folded.chars.push(c);
                folded.origin.push((at, end));
            }
        }
        // An accent of its own belongs to the letter before it.
        if folded.chars.len() == before
            && let Some(last) = folded.origin.last_mut()
        {
            last.1 = end;
        }
    }
    folded
}

/// Folds a text. White space is one space.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_whitespace() && folded.ends_with(' ')) {
            folded.extend(folded_chars(c));
        }
    }
    folded
}

fn folded_chars(c: char) -> impl Iterator<Item = char> {
    // Most of all mail is ASCII, which decomposes into itself.
    let plain = (c.is_ascii() || c.is_whitespace())
        .then(|| if c.is_whitespace() { ' ' } else { c.to_ascii_lowercase() });
    let other = plain.is_none().then(|| {
        // Put together again: syllables of Hangul and sounded Kana are letters, not accented ones.
        let kept = std::iter::once(c).nfkd().filter(|c| !is_accent(*c)).nfc();
        kept.flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c })
    });
    plain.into_iter().chain(other.into_iter().flatten())
}

/// Marks that do not tell words apart: accents, points and vowel signs of Hebrew and Arabic; and what shows nothing, such as
/// a soft hyphen. The vowel signs of other scripts are letters to their readers.
const fn is_accent(c: char) -> bool {
    matches!(c as u32,
        0x0300..=0x036f | 0x0591..=0x05bd | 0x05bf | 0x05c1..=0x05c2 | 0x05c4..=0x05c5 | 0x05c7 | 0x064b..=0x065f
        | 0x0670 | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f
        | 0x00ad | 0x200b..=0x200f | 0x2060 | 0xfeff)
}

/// The words of a folded text: runs of letters and digits, with the marks that belong to them.
pub(super) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty())
}

/// Whether a folded character belongs to a word.
pub(super) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
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
            ("ΟΔΟΣ Σίσυφος", "οδοσ σισυφοσ"),
            ("Cafe\u{301}", "cafe"),
            ("한국어 가", "한국어 가"),
            ("ばば", "ばば"),
            ("काला हिन्दी", "काला हिन्दी"),
            ("שָׁלוֹם", "שלום"),
            ("re\u{ad}fund\u{200b}able", "refundable"),
            ("two \t\u{a0} spaces", "two spaces"),
        ] {
            assert_eq!(fold(text), want, "{text}");
        }
        assert_eq!(words("काला हिन्दी, x").collect::<Vec<_>>(), ["काला", "हिन्दी", "x"]);
        let folded = fold_with_origin("e\u{301}  x");
        assert_eq!((folded.chars, folded.origin), (vec!['e', ' ', 'x'], vec![(0, 3), (3, 5), (5, 6)]));
        let folded = fold_with_origin("a É");
        assert_eq!((folded.chars, folded.origin), (vec!['a', ' ', 'e'], vec![(0, 1), (1, 2), (2, 4)]));
    }
}
