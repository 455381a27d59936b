//! Words and small mails whose searches have many hits, few, or one.

use crate::random::Random;

/// The most frequent words, most frequent first.
const COMMON: &[&str] = &[
    "the",
    "to",
    "and",
    "you",
    "for",
    "your",
    "we",
    "of",
    "in",
    "is",
    "this",
    "please",
    "order",
    "with",
    "on",
    "will",
    "invoice",
    "account",
    "have",
    "be",
    "are",
    "thanks",
    "meeting",
    "our",
    "payment",
    "team",
    "from",
    "can",
    "agent",
    "shipping",
    "report",
    "update",
    "at",
    "it",
    "customer",
    "project",
    "review",
    "attached",
    "schedule",
    "tomorrow",
    "delivery",
    "request",
    "budget",
    "contract",
    "support",
    "ticket",
    "refund",
    "subscription",
    "question",
    "details",
    "confirm",
    "launch",
    "quarter",
    "number",
    "address",
    "package",
    "password",
    "security",
    "calendar",
    "monday",
    "friday",
    "flight",
    "hotel",
    "booking",
    "receipt",
    "renewal",
    "trial",
    "feedback",
    "proposal",
    "deadline",
    "interview",
    "candidate",
    "travel",
    "expense",
    "approval",
    "signature",
    "warehouse",
    "tracking",
    "discount",
    "newsletter",
    "webinar",
    "workshop",
    "release",
    "server",
    "outage",
    "incident",
    "backup",
    "database",
    "deployment",
    "billing",
    "address",
    "warranty",
    "insurance",
    "policy",
    "claim",
    "tenant",
    "lease",
    "repair",
    "appointment",
    "doctor",
    "pharmacy",
    "school",
    "teacher",
    "garden",
    "kitchen",
    "bicycle",
    "battery",
    "camera",
    "keyboard",
    "monitor",
    "printer",
    "cable",
    "router",
];
/// Syllables of the rarer words.
const SYLLABLES: &[&str] = &[
    "ba", "be", "bo", "ca", "ce", "co", "da", "de", "do", "fa", "fe", "fo", "ga", "go", "ha", "he", "ho",
    "ja", "jo", "ka", "ke", "ko", "la", "le", "lo", "ma", "me", "mo", "na", "ne", "no", "pa", "pe", "po",
    "ra", "re", "ro", "sa", "se", "so", "ta",
];
/// Ranks double this often: 65,535 words. All doublings are equally frequent, so a word of rank r is about as frequent
/// as 1/r, as in languages.
const DOUBLINGS: usize = 16;
/// First and last names of correspondents.
const FIRST: &[&str] =
    &["Ada", "Ben", "Carla", "Deniz", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jan", "Kira", "Liu"];
const LAST: &[&str] =
    &["Moreau", "Nowak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Urban", "Vogel", "Weber"];

/// The word of a rank, 0 being the most frequent.
pub fn word(rank: usize) -> String {
    if let Some(word) = COMMON.get(rank) {
        return (*word).to_owned();
    }
    let base = SYLLABLES.len();
    [rank / base / base, rank / base, rank]
        .map(|at| SYLLABLES.get(at % base).copied().unwrap_or("x"))
        .concat()
}

/// A rank with the frequency that words of it have.
pub fn rank(random: &mut Random) -> usize {
    let size = 1 << random.below(DOUBLINGS);
    size - 1 + random.below(size)
}

/// Someone who writes.
pub fn correspondent(random: &mut Random) -> String {
    let first = random.pick(FIRST).copied().unwrap_or("Ada");
    let last = random.pick(LAST).copied().unwrap_or("Moreau");
    let at = random.below(200);
    format!("{first} {last} <{}.{}@company{at}.example>", first.to_lowercase(), last.to_lowercase())
}

/// Some words as a subject.
pub fn subject(random: &mut Random) -> String {
    let count = 3 + random.below(4);
    (0..count).map(|_| word(rank(random))).collect::<Vec<_>>().join(" ")
}

/// One mail of a thread.
#[derive(Debug)]
pub struct Letter<'a> {
    /// In brackets.
    pub id: &'a str,
    /// Those before it in its thread.
    pub earlier: &'a [String],
    /// Who writes.
    pub from: &'a str,
    /// The inbox.
    pub to: &'a str,
    /// Without `Re:`.
    pub subject: &'a str,
    /// Unix seconds.
    pub seconds: i64,
    /// A word that no other mail has.
    pub unique: &'a str,
}

impl Letter<'_> {
    /// The mail: 60 to 240 words, half of the mails with an HTML part too.
    pub fn raw(&self, random: &mut Random) -> Vec<u8> {
        let mut text = paragraphs(random, self.unique);
        if let Some(last) = self.earlier.last() {
            text.push_str(&format!(
                "\r\nOn an earlier day somebody wrote in {last}:\r\n> {}\r\n",
                self.subject
            ));
        }
        let mut out = format!(
            "From: {}\r\nTo: {}\r\nSubject: {}{}\r\nDate: {}\r\nMessage-ID: {}\r\n",
            self.from,
            self.to,
            if self.earlier.is_empty() { "" } else { "Re: " },
            self.subject,
            podmail_mime::format_date(self.seconds),
            self.id
        );
        if let Some(last) = self.earlier.last() {
            out.push_str(&format!("In-Reply-To: {last}\r\nReferences: {}\r\n", self.earlier.join("\r\n ")));
        }
        out.push_str("MIME-Version: 1.0\r\n");
        if random.below(2) == 0 {
            out.push_str(&format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"));
        } else {
            let html = text.replace("> ", "&gt; ").replace("\r\n\r\n", "</p>\r\n<p>");
            out.push_str(&format!(
                "Content-Type: multipart/alternative; boundary=\"=_f\"\r\n\r\n--=_f\r\nContent-Type: text/plain; \
                 charset=utf-8\r\n\r\n{text}\r\n--=_f\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
                 <html><body><p>{html}</p></body></html>\r\n--=_f--\r\n"
            ));
        }
        out.into_bytes()
    }
}

fn paragraphs(random: &mut Random, unique: &str) -> String {
    let mut text = String::new();
    for _ in 0..2 + random.below(3) {
        let mut line = 0;
        for _ in 0..30 + random.below(30) {
            let word = word(rank(random));
            line += word.len() + 1;
            text.push_str(&word);
            text.push_str(if line > 66 { "\r\n" } else { " " });
            line = if line > 66 { 0 } else { line };
        }
        text.push_str("\r\n\r\n");
    }
    text.push_str(&format!("Reference {unique}\r\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_are_in_most_mails_and_rare_ones_in_few() {
        let mut random = Random::new(3);
        let mails: Vec<String> = (0..2_000).map(|_| paragraphs(&mut random, "ord1x1")).collect();
        let with =
            |word: &str| mails.iter().filter(|mail| mail.split_whitespace().any(|w| w == word)).count();
        assert!(with(&word(0)) > 1_900);
        assert!((100..1_000).contains(&with(&word(100))), "{}", with(&word(100)));
        assert!(with(&word(40_000)) < 5);
    }

    #[test]
    fn a_letter_says_what_it_answers() {
        let letter = Letter {
            id: "<b@x.example>",
            earlier: &["<a@x.example>".to_owned()],
            from: "Ada Moreau <ada@x.example>",
            to: "box@y.example",
            subject: "invoice",
            seconds: 1_700_000_000,
            unique: "ord1x1",
        };
        let parsed = podmail_mime::parse(&letter.raw(&mut Random::new(1)));
        assert_eq!(parsed.message_id.as_deref(), Some("<b@x.example>"));
        assert_eq!(parsed.in_reply_to, ["<a@x.example>"]);
        assert_eq!(parsed.subject.as_deref(), Some("Re: invoice"));
        assert!(parsed.text.unwrap().contains("Reference ord1x1"));
    }
}
