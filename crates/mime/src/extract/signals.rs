//! The patterns by which quotes, forwards, bounces and footers give themselves away, in many languages.
//!
//! Shared by the text and the HTML side. Word boundaries are ASCII ones on purpose: Unicode boundaries force the
//! regex engine onto its slow path. Every repetition is bounded, since the text comes from strangers.

use std::sync::LazyLock;

use regex::Regex;

use super::clip_chars;

/// An attribution with address, date and verb is at most this long, in characters.
const ATTRIBUTION_MAX_CHARS: usize = 240;
/// So many opener words ("On", "Le", …) of one line are tried before the search for a glued attribution gives up.
const OPENERS_MAX: usize = 256;

/// "Wrote" in the languages other than English; see [`verbs`] for where it counts.
const FOREIGN_VERBS: &str = r"(?-u:\b)a écrit(?-u:\b)|(?-u:\b)escribió|(?-u:\b)ha scritto(?-u:\b)|(?-u:\b)escreveu(?-u:\b)|(?-u:\b)schrieb(?-u:\b)|(?-u:\b)schreef(?-u:\b)|(?-u:\b)geschreven(?-u:\b)|(?-u:\b)verzond(?-u:\b)|(?-u:\b)skrev(?-u:\b)|(?-u:\b)napisał|написал|đã viết|(?-u:\b)yazdı|(?-u:\b)a scris(?-u:\b)";
/// More of them. Several are everyday words, so an address or a year has to stand beside them.
const MORE_VERBS: &str = r"(?-u:\b)napsal|(?-u:\b)napísal|(?-u:\b)kirjoitti|ezt írta|пише|написа|έγραψε|寫道|님이 작성|작성|のメール|(?-u:\b)menulis|(?-u:\b)napisao|(?-u:\b)napisala|(?-u:\b)va escriure|כתב|נכתב|نوشت|เขียนว่า";
/// What stands between dashes above a quoted original.
const ORIGINAL: &str = "(?:original message|reply message|ursprüngliche nachricht|original-?nachricht|antwort nachricht|oprindelig meddelelse|opprinnelig melding|ursprungligt meddelande|message d['’]origine|message original|mensaje original|mensagem original|messaggio originale|oorspronkelijk bericht|alkuperäinen viesti|původní zpráva|pôvodná správa|eredeti üzenet|mesajul original|orijinal mesaj|wiadomość oryginalna|oryginalna wiadomość|исходное сообщение|原始邮件|原始郵件|原始訊息|元のメッセージ|원본 메시지)";
/// What stands between dashes above a forwarded message, and the line that stands for it without dashes.
const FORWARDED: &str = "(?:forwarded message|weitergeleitete nachricht|message transféré|mensaje reenviado|mensagem encaminhada|messaggio inoltrato|doorgestuurd bericht|vidarebefordrat meddelande|videresendt (?:besked|melding)|przekazana wiadomość|wiadomość przekazana|přeposlaná zpráva|пересылаемое сообщение|пересланное сообщение|転送されたメッセージ|전달된 메시지|转发的邮件|轉寄的郵件)";
const FORWARD_BEGINS: &str = "(?:begin forwarded message|anfang der weitergeleiteten nachricht|début du message (?:réexpédié|transféré)|inicio del mensaje reenviado|início da mensagem (?:encaminhada|reencaminhada)|inizio messaggio inoltrato|begin doorgestuurd bericht|vidarebefordrat brev|начало переадресованного сообщения)";
const DATE_WORDS: &str = "(?:Sent|Date|Gesendet|Envoyé|Enviado|Enviada|Fecha|Datum|Verzonden|Inviato|Skickat|Sendt|Data|Wysłane|Odesláno|Odoslané|Lähetetty|Päivämäärä|Elküldve|Dátum|Gönderildi|Gönderme tarihi|Tarih|Στάλθηκε|Ημερομηνία|Trimis|Отправлено|Дата|Надіслано|Изпратено|Poslano|נשלח|תאריך|تم الإرسال|التاريخ|Đã gửi|Dikirim|送信日時|日時|보낸 날짜|날짜|发送时间|日期|寄件日期|傳送日期)(?: (?:el|em|le|am))?";
/// Sender words that need an address or a date line; see [`FROM_WEAK_WORDS`].
const FROM_STRONG_WORDS: &str = "From|Von|差出人|보낸 사람|寄件者|寄件人|Lähettäjä|Feladó|Kimden|Отправитель";
/// Sender words that are common in prose as well.
const FROM_WEAK_WORDS: &str = "De|Van|Da|Fra|Från|От|Від|Od|Από|De la|Šalje|מאת|من|Từ|Dari";
/// Marks that right-to-left clients put around addresses.
const BIDI: &str = r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]{0,4}";
const EMAIL: &str = r"[^\s@<>]{1,64}@[^\s@<>]{1,190}\.[\p{L}\p{N}-]{2,63}";

/// Footer candidates of one body that are looked at.
const FOOTERS_MAX: usize = 256;

/// Compiles a pattern of this file; case never matters.
fn pattern(pattern: &str) -> Regex {
    Regex::new(&format!("(?i){pattern}")).expect("the pattern is a constant that the tests compile")
}

macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $pattern:expr;)*) => {
        $($(#[$doc])* pub(crate) static $name: LazyLock<Regex> = LazyLock::new(|| pattern(&$pattern));)*
    };
}

patterns! {
    /// A mail address.
    ADDRESS = EMAIL;
    /// `<address>:` at the end of a line.
    ADDRESS_COLON_END = format!(r"<\s?{BIDI}(?:mailto:)?{EMAIL}{BIDI}>{BIDI}\s*[:\uFF1A]$");
    /// A year of this century; letters may touch it, as in `2026年`.
    YEAR = r"(?:^|[^0-9])20[0-9]{2}(?:[^0-9]|$)";
    /// A time of day: `9:00`, `9h00`, `kl. 9.00`.
    CLOCK = r"[0-9]{1,2}\s?[:h\uFF1A]\s?[0-9]{2}|(?-u:\b)(?:kl\.?|klo|pukul)\s[0-9]{1,2}\.[0-9]{2}|[٠-٩]{1,2}:[٠-٩]{2}";
    /// Anything that looks like a part of a date or a time.
    DATE_TOKEN = r"[0-9]{1,2}[:h\uFF1A][0-9]{2}|(?:^|[^0-9])20[0-9]{2}(?:[^0-9]|$)|[0-9]{1,2}[./-][0-9]{1,2}|[٠-٩]{1,2}|(?-u:\b)(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}(?-u:\b)";
    /// A foreign "wrote".
    FOREIGN_VERB = FOREIGN_VERBS;
    /// "Wrote" in any language.
    ANY_VERB = format!(r"(?-u:\b)wrote(?-u:\b)|写道|كتب|{FOREIGN_VERBS}|{MORE_VERBS}");
    /// A foreign "wrote" that needs an address or a year beside it.
    WEAK_VERB = MORE_VERBS;
    /// The English verb with its colon.
    WROTE = r"(?-u:\b)wrote\s?[:\uFF1A]";
    /// The other English verb with its colon.
    SENT = r"(?-u:\b)sent\s?[:\uFF1A]";
    /// A Chinese or Arabic attribution ends like this.
    WROTE_END = r"(?:写道|كتب)\s*[:\uFF1A]$";
    /// The first word of an attribution; the character before it must not be a letter.
    OPENER = r"(?:^|[^\p{L}\p{N}])(?:On|Le|Il|Am|Op|Den|El|Em|W dniu|Dnia|Vào|في)";
    /// `-----Original Message-----` at the start of a line, and its translations.
    DIVIDER = format!(r"^[-–—]{{2,}}\s*{ORIGINAL}");
    /// The same anywhere.
    DIVIDER_ANYWHERE = format!(r"[-–—]{{2,}}\s{{0,8}}{ORIGINAL}");
    /// `---- On Monday Bob wrote ----`.
    DASHED_WROTE = r"^-{2,}.*(?-u:\b)wrote\s*[:\uFF1A]?\s*-{2,}";
    /// The one-line attribution of old Samsung clients.
    SAMSUNG_WROTE = format!(r"sent from samsung.{{0,400}}{EMAIL}.{{0,400}}(?-u:\b)wrote(?-u:\b)");
    /// A sender line that needs an address or a date line.
    FROM_STRONG = format!(r"^\*?(?:{FROM_STRONG_WORDS})\s*\*?\s*[:\uFF1A]");
    /// A sender line whose word is common in prose as well.
    FROM_WEAK = format!(r"^\*?(?:{FROM_WEAK_WORDS})\s*\*?\s*[:\uFF1A]");
    /// The date line of a quoted header block.
    DATE_LINE = format!(r"^\*?{DATE_WORDS}\s*\*?\s*[:\uFF1A]");
    /// A line that announces a forwarded message.
    FORWARD_LINE = format!(r"^(?:[-–—]+\s*{FORWARDED}\s*[-–—]+|{FORWARD_BEGINS}\s*[:\uFF1A])$");
    /// `Fw:` with something after it.
    FORWARD_PREFIX = r"^Fwd?\s?[:\uFF1A]\s*\S";
    /// A forward divider anywhere in flattened HTML.
    FORWARD_ANYWHERE = format!(r"[-–—]{{2,}}\s{{0,8}}{FORWARDED}\s{{0,8}}[-–—]{{2,}}|{FORWARD_BEGINS}\s?[:\uFF1A]");
    /// `On … wrote:` of flattened HTML; `On` is looked for in front of it.
    HTML_ON = r"(?-u:\b)on\s";
    /// A sender line with an address, in one block of flattened HTML.
    HTML_FROM = format!(r"(?m)(?:^|\x0b)\s*\*?(?:{FROM_STRONG_WORDS}|{FROM_WEAK_WORDS})\s*\*?\s*[:\uFF1A][^\n]{{0,250}}?{EMAIL}");
    /// A foreign verb with a colon that is no part of a time, in one block of flattened HTML.
    HTML_FOREIGN = format!(r"(?m)(?:{FOREIGN_VERBS}|{MORE_VERBS})[^\n]{{0,80}}?[:\uFF1A](?:[^0-9]|$)");
    /// `<address>:` or `<address> wrote:` at the end of a line of flattened HTML.
    HTML_ADDRESS_END = format!(r"(?m){EMAIL}{BIDI}>{BIDI}\s?(?:wrote\s?)?[:\uFF1A]{BIDI} ?(?:\x0b|$)");
    /// The Chinese and Arabic marks of flattened HTML.
    HTML_UNSPACED = r"(?:写道|寫道|发件人|كتب)\s?[:\uFF1A]";
    /// Cheap test before any of the above runs over flattened HTML.
    HTML_ANY = format!(r"wrote|>{BIDI}\s?[:\uFF1A]|(?:{FROM_STRONG_WORDS}|{FROM_WEAK_WORDS})\s*\*?\s*[:\uFF1A]|{FORWARDED}|{ORIGINAL}|写道|发件人|كتب|{FOREIGN_VERBS}|{MORE_VERBS}");
    /// A bare link.
    URL_LINE = r"^<?(?:https?://|www\.)\S+$";
    /// The first line of a bounce, leading asterisks and spaces removed.
    BOUNCE = r"^(?:delivery (?:has )?failed|address not found|undelivered mail|mail delivery (?:failed|subsystem)|delivery status notification|message not delivered|your message.{0,300}(?:wasn['’]t|couldn['’]t be|could not be) delivered|returned mail|message blocked|this is the mail system|this message was created automatically by mail|i['’]m sorry to have to inform you|could not be delivered|(?:reporting-mta|final-recipient|original-recipient|diagnostic-code):|action:\s*failed|status:\s*[45]\.)|rejected your message";
    /// Cheap test before [`FOOTER`].
    FOOTER_ANY = r"sent from|get outlook|browser|receiv|manage |unsubscribe|confidential|privileged|intended|designated|not secure|do not print|your personal";
    /// A line that starts the noise below a mail.
    FOOTER = r"(?m)^\s*sent from (?:my|outlook|mail|yahoo|samsung)(?-u:\b)|^\s*get outlook for (?:ios|android)|(?-u:\b)view.{0,80}(?-u:\b)in (?:\w{1,8} ){0,2}browser(?-u:\b)|you(?: are|['’]re) receiving this (?:e-?mail|message|because)|you received this (?:e-?mail|message)|manage (?:your )?(?:e-?mail )?(?:preferences|subscription)|to unsubscribe|unsubscribe (?:here|from this|at any|below|now)(?-u:\b)|click.{0,80}unsubscribe|unsubscribe\W{0,8}(?:https?://|www\.)|(?:https?://|www\.)\S{1,400}\W{1,8}unsubscribe|this (?:e-?mail|message|communication)(?-u:\b).{0,300}(?:confidential|privileged)|confidentiality (?:notice|statement|warning)|if you are not the intended recipient|(?:intended|designated) (?:solely|only) for|this e-?mail is not secure|do not print this e-?mail|^\s*your personal data";
    /// A person who asks to be unsubscribed is no unsubscribe instruction.
    UNSUBSCRIBE_REQUEST = r"(?-u:\b)(?:i|we)(?:['’][a-z]{1,3})?\s[^.!?]{0,80}unsubscribe|(?:tell|show|explain)[^.!?]{0,20} how to unsubscribe";
    /// What makes the text below a quote look like a signature.
    SIGN_OFF = format!(r"(?m)^\s*--\s*$|{EMAIL}|\+?[0-9][0-9\s()./-]{{6,20}}[0-9]|https?://|(?-u:\b)www\.|(?-u:\b)(?:regards|best|thanks|thank you|cheers|sincerely|yours|gruß|grüße|grüßen|gruss|cordialement|bien à vous|saludos|atentamente|saluti|atenciosamente|abraços|groet|groeten|pozdrawiam|hälsningar|hilsen|saygılar)|此致|敬礼|تحياتي|trân trọng");
}

/// Whether this trimmed line, the first that counts, announces a failed delivery.
pub(crate) fn announces_bounce(line: &str) -> bool {
    BOUNCE.is_match(line.trim_start_matches(['*', ' ']))
}

/// Whether a trimmed line may stand above the announcement of a bounce.
pub(crate) fn precedes_bounce(line: &str) -> bool {
    line.is_empty() || (line.starts_with('[') && line.ends_with(']')) || URL_LINE.is_match(line)
}

/// Byte offset of the first line that starts the noise below a mail. Looks at the first megabyte only.
pub(crate) fn footer(text: &str) -> Option<usize> {
    let text = super::clip(text, super::SCAN_MAX_BYTES);
    if !FOOTER_ANY.is_match(text) {
        return None;
    }
    // A match may begin with the line breaks in front of its line: `^\s*` spans empty lines.
    FOOTER
        .find_iter(text)
        .take(FOOTERS_MAX)
        .map(|found| {
            let skipped = found.as_str().len() - found.as_str().trim_start().len();
            line_around(text, found.start() + skipped)
        })
        .find(|(_, line)| !UNSUBSCRIBE_REQUEST.is_match(line))
        .map(|(start, _)| start)
}

/// Start and content of the line that holds byte `at`.
fn line_around(text: &str, at: usize) -> (usize, &str) {
    let start = text.get(..at).and_then(|above| above.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(start..).unwrap_or_default();
    (start, super::clip(line.lines().next().unwrap_or_default(), 4096))
}

/// Finds an attribution behind other text on one line: opener word, then an address, a date or time and a verb with
/// its colon, in any order. Returns its byte range.
pub(crate) fn glued_attribution(line: &str) -> Option<(usize, usize)> {
    if !line.contains('@') || !line.contains([':', '\u{ff1a}']) || !ANY_VERB.is_match(line) {
        return None;
    }
    let mut best: Option<(usize, usize)> = None;
    for found in OPENER.find_iter(line).take(OPENERS_MAX) {
        let glyph = found.as_str().chars().next().filter(|first| !first.is_alphanumeric());
        let start = found.start() + glyph.map_or(0, char::len_utf8);
        if best.is_some_and(|(_, end)| start >= end) {
            break;
        }
        let above = line.get(..start)?;
        let rest = line.get(start..)?;
        let follows_word = line.get(found.end()..).is_some_and(|rest| rest.starts_with(super::is_blank));
        if !follows_word || best.is_some_and(|(known, _)| !outdoes(line, known, above, rest)) {
            continue;
        }
        if let Some(length) = attribution_length(clip_chars(rest, ATTRIBUTION_MAX_CHARS)) {
            let end = start + length;
            if best.is_none_or(|(_, known_end)| end <= known_end) {
                best = Some((start, end));
            }
        }
    }
    // Behind nothing but quote marks it is not glued to anything.
    best.filter(|&(start, _)| {
        line.get(..start).is_some_and(|above| !above.chars().all(|mark| mark == '>' || super::is_blank(mark)))
    })
}

/// Whether a later opener (at the start of `rest`) is the true one of two before the same colon: it begins a
/// sentence, or has the capital that the known one lacks, as in "come on Friday at 9:00 On 1 June …".
fn outdoes(line: &str, known: usize, above: &str, rest: &str) -> bool {
    let is_lower = |text: &str| text.chars().next().is_some_and(char::is_lowercase);
    let is_upper = |text: &str| text.chars().next().is_some_and(char::is_uppercase);
    above.trim_end().ends_with(['.', '!', '?', '…', ')', '>', ';', '。', '！', '؟'])
        || (is_upper(rest) && line.get(known..).is_some_and(is_lower))
}

/// Length up to the colon that ends the attribution at the start of `window`.
fn attribution_length(window: &str) -> Option<usize> {
    ANY_VERB.find_iter(window).find_map(|verb| {
        let rest = window.get(verb.end()..)?;
        let (at, colon) = rest.char_indices().find(|&(at, character)| {
            let next = rest.get(at + character.len_utf8()..).and_then(|after| after.chars().next());
            matches!(character, ':' | '\u{ff1a}') && !next.is_some_and(|next| next.is_ascii_digit())
        })?;
        let end = verb.end() + at + colon.len_utf8();
        let whole = window.get(..end)?;
        (ADDRESS.is_match(whole) && DATE_TOKEN.is_match(whole)).then_some(end)
    })
}
