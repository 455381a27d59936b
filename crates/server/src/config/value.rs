//! One value as a source gives it, and how settings read it.

use std::str::FromStr;
use std::time::Duration;

use super::duration;

/// The text of a setting, before the setting's own type is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A single value; for a list, its items separated by commas.
    Text(String),
    /// An array of the file.
    List(Vec<String>),
}

impl Value {
    /// The single value.
    pub(crate) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::List(_) => Err("is an array; write a single value".to_owned()),
        }
    }

    /// The items of a list, trimmed, without empty ones.
    pub(crate) fn items(&self) -> Vec<&str> {
        let items: Vec<&str> = match self {
            Self::Text(text) => text.split(',').map(str::trim).collect(),
            Self::List(items) => items.iter().map(|item| item.trim()).collect(),
        };
        items.into_iter().filter(|item| !item.is_empty()).collect()
    }

    /// A single value of a type that explains itself.
    pub(crate) fn parse<T: FromStr<Err = String>>(&self) -> Result<T, String> {
        self.text()?.parse()
    }

    /// Each item through `parse`; stops at the first that does not fit.
    pub(crate) fn list<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.items().into_iter().map(parse).collect()
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number<T>(&self, least: T, most: T) -> Result<T, String>
    where
        T: Copy + FromStr + PartialOrd + std::fmt::Display,
    {
        let fix = || format!("is not a whole number from {least} to {most}");
        let number: T = self.text()?.replace('_', "").parse().map_err(|_| fix())?;
        if number < least || number > most { Err(fix()) } else { Ok(number) }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, String> {
        match self.text()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is not a yes or no; write `true` or `false`".to_owned()),
        }
    }

    /// A duration of at least `least`.
    pub(crate) fn duration(&self, least: Duration) -> Result<Duration, String> {
        let value = duration::parse(self.text()?)?;
        if value < least {
            return Err(format!("is too short; write `{}` or more", duration::format(least)));
        }
        Ok(value)
    }

    /// A duration, or `None` for `off`.
    pub(crate) fn duration_or_off(&self, least: Duration) -> Result<Option<Duration>, String> {
        if self.text()? == "off" { Ok(None) } else { self.duration(least).map(Some) }
    }

    /// Durations in order, at least one.
    pub(crate) fn durations(&self) -> Result<Vec<Duration>, String> {
        /// More delays than any schedule needs.
        const DURATIONS_MAX: usize = 100;
        let list = self
            .list(|item| duration::parse(item).map_err(|error| format!("holds `{item}`, which {error}")))?;
        if list.is_empty() || list.len() > DURATIONS_MAX {
            return Err(format!("needs 1 to {DURATIONS_MAX} durations; write for example `5s,5m,30m`"));
        }
        Ok(list)
    }
}
