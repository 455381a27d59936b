//! Whether an element can be seen, from its inline style and attributes.

/// Lengths of at most so many pixels are no place to read in.
const INVISIBLE_PIXELS: f32 = 2.0;
/// Text is pushed out of view by at least so many pixels.
const FAR_AWAY_PIXELS: f32 = -900.0;

/// The declarations of an inline style, in lower case and without `!important`.
fn declarations(style: &str) -> impl Iterator<Item = (String, String)> {
    style.split(';').filter_map(|declaration| {
        let (name, value) = declaration.split_once(':')?;
        let value = value.to_ascii_lowercase().replace("!important", "");
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    })
}

/// A length in pixels; other units count as such, since only nothing and very far matter.
fn pixels(value: &str) -> Option<f32> {
    let end = value.find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

/// What a style says about visibility.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visibility {
    /// Neither the element nor anything in it shows.
    pub(super) hidden: bool,
    /// Its own text is too small to be read; `None` when it inherits the size.
    pub(super) tiny_text: Option<bool>,
}

/// Reads an inline style.
pub(super) fn visibility(style: &str) -> Visibility {
    let mut seen = Visibility::default();
    let (mut flat, mut clipped) = (false, false);
    for (name, value) in declarations(style) {
        let zero = || pixels(&value).is_some_and(|length| length == 0.0);
        match name.as_str() {
            "display" => seen.hidden |= value == "none",
            "visibility" => seen.hidden |= matches!(value.as_str(), "hidden" | "collapse"),
            "opacity" | "max-height" | "max-width" => seen.hidden |= zero(),
            "height" | "width" => flat |= zero(),
            "overflow" => clipped = value == "hidden",
            "left" | "top" | "text-indent" | "margin-left" => {
                seen.hidden |= pixels(&value).is_some_and(|length| length <= FAR_AWAY_PIXELS);
            }
            "font-size" => {
                let absolute = !value.ends_with("em") && !value.ends_with('%');
                seen.tiny_text = Some(
                    pixels(&value).is_some_and(|size| size == 0.0 || absolute && size <= INVISIBLE_PIXELS),
                );
            }
            _ => {}
        }
    }
    seen.hidden |= flat && clipped;
    seen
}

/// Whether an image of this size only counts its readers.
pub(super) fn is_pixel(width: Option<&str>, height: Option<&str>, style: &str) -> bool {
    let tiny = |value: &str| {
        pixels(value.trim()).is_some_and(|size| size <= INVISIBLE_PIXELS) && !value.contains('%')
    };
    let mut sides = [width.is_some_and(tiny), height.is_some_and(tiny)];
    for (name, value) in declarations(style) {
        match name.as_str() {
            "width" => sides[0] |= tiny(&value),
            "height" => sides[1] |= tiny(&value),
            _ => {}
        }
    }
    sides[0] && (sides[1] || height.is_none()) || sides[1] && width.is_none()
}
