//! Numbers of a JSON text that a program reads as other ones: JSON has no bounds, doubles do. Pure.

use serde_json::Number;

/// What became of the numbers in a JSON text that do not mean what was written any more, such as a whole number of
/// thirty digits. The text has to be valid JSON.
pub(crate) fn inexact(json: &[u8]) -> Vec<Number> {
    let Ok(json) = std::str::from_utf8(json) else { return Vec::new() };
    literals(json)
        .filter_map(|literal| {
            let number: Number = serde_json::from_str(literal).ok()?;
            (decimal(literal).is_none() || decimal(literal) != decimal(&number.to_string())).then_some(number)
        })
        .collect()
}

/// The number literals of a valid JSON text.
fn literals(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let mut quoted = false;
        let mut escaped = false;
        let begin = rest.char_indices().find_map(|(at, c)| match c {
            _ if escaped => {
                escaped = false;
                None
            }
            '\\' if quoted => {
                escaped = true;
                None
            }
            '"' => {
                quoted = !quoted;
                None
            }
            '-' | '0'..='9' if !quoted => Some(at),
            _ => None,
        })?;
        let (_, from) = rest.split_at_checked(begin)?;
        let end = from.find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
        let (literal, after) = from.split_at_checked(end.unwrap_or(from.len()))?;
        rest = after;
        Some(literal)
    })
}

/// The value of a number literal: its significant digits and the power of ten of the last one. The sign does not get
/// lost, so it is left out. `None` when the power is absurd.
fn decimal(literal: &str) -> Option<(String, i64)> {
    let literal = literal.trim_start_matches('-');
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some((String::new(), 0));
    }
    let significant = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_sub(places)?.checked_add(dropped)?;
    Some((significant.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_change_are_named() {
        for (json, want) in [
            (
                r#"{"a": 5, "b": 19.99, "c": -0.5e-3, "d": 18446744073709551615, "e": 1e2, "f": 100.0, "g": 0e9}"#,
                0,
            ),
            (r#"{"a": 123456789012345678901234567890}"#, 1),
            (r#"{"a": 0.12345678901234567890123}"#, 1),
            (r#"{"a": [1e-400, "123456789012345678901234567890"]}"#, 1),
            (r#"{"1234567890123456789012345\\\"67890": "\\", "b": -18446744073709551617}"#, 1),
            ("5", 0),
        ] {
            assert_eq!(inexact(json.as_bytes()).len(), want, "{json}");
        }
    }
}
