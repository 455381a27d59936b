//! The layers of configuration and how they come together.
//!
//! Each layer gives values by setting name; a later layer replaces what an earlier one gave, a setting and
//! its `_file` twin counting as one. Unknown names are refused in the file and reported in the environment.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::error::{ConfigError, Origin, Problem};
use super::settings::{self, SETTINGS};
use super::types::{Mode, Secret};
use super::value::Value;

/// Largest configuration file in bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// Largest file of a secret in bytes.
const SECRET_FILE_MAX: u64 = 64 * 1024;
/// How the environment names everything that is meant for this program.
const PREFIX: &str = "PODMAIL_";

/// Values given on the command line, by setting name (`data_dir`, or `outbound_file` for a twin).
#[derive(Debug, Clone, Default)]
pub struct Flags {
    values: Vec<(String, String)>,
}

impl Flags {
    /// No flags.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value; `None` adds nothing, so that optional arguments can be passed on as they are.
    pub fn set(&mut self, name: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.values.push((name.to_owned(), value.into()));
        }
    }
}

/// Every variable of the process; names and values that are not Unicode are replaced where they are not.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// What one layer says about one setting.
struct Given {
    value: Value,
    origin: Origin,
    /// The value is the path of a file that holds the actual one.
    in_file: bool,
}

type Layer = BTreeMap<&'static str, Given>;

pub(super) fn load(
    mode: Mode,
    flags: &Flags,
    environment: impl Iterator<Item = (String, String)>,
    file: Option<&Path>,
) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let mut config = Config::blank(mode);
    let mut given = Layer::new();
    if let Some(path) = file {
        given.extend(read_file(path, &mut problems)?);
    }
    given.extend(read_environment(environment, &mut config, &mut problems));
    given.extend(read_flags(flags, &mut problems));

    for setting in SETTINGS {
        let Some(given) = given.get(setting.name) else { continue };
        let value =
            if given.in_file { read_secret(&given.value).map(Value::Text) } else { Ok(given.value.clone()) };
        if let Err(message) = value.and_then(|value| (setting.apply)(&mut config, &value)) {
            let shown = match &given.value {
                Value::Text(text) if !setting.is_secret() && !message.starts_with("holds") => {
                    format!("`{text}` ")
                }
                Value::Text(_) | Value::List(_) => String::new(),
            };
            let message = format!("{shown}{message}");
            problems.push(Problem {
                setting: setting.name.to_owned(),
                origin: given.origin.clone(),
                message,
            });
        }
    }
    for (name, other) in [("tls.certificate", "tls.key"), ("tls.key", "tls.certificate")] {
        if given.contains_key(name) && !given.contains_key(other) {
            let message = format!("is missing although {name} is set; set both or neither");
            problems.push(Problem { setting: other.to_owned(), origin: Origin::Default, message });
        }
    }
    let template = ["provider_id", "service_id", "private_key", "key_domain"]
        .map(|name| format!("domain_connect.{name}"));
    if given.keys().any(|name| name.starts_with("domain_connect.")) {
        for setting in template.into_iter().filter(|name| !given.contains_key(name.as_str())) {
            let message =
                "is missing although another setting of domain_connect is set; set all four or none";
            problems.push(Problem { setting, origin: Origin::Default, message: message.to_owned() });
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError::Problems(problems));
    }
    config.derive(|name| given.contains_key(name));
    Ok(config)
}

/// Finds the setting that a key means, and whether the key is its `_file` twin.
fn resolve(key: &str) -> Option<(&'static str, bool)> {
    if let Some(setting) = settings::find(key) {
        return Some((setting.name, false));
    }
    let setting = settings::find(key.strip_suffix("_file")?)?;
    setting.is_secret().then_some((setting.name, true))
}

/// Adds to a layer; the same setting twice (itself and its twin) is a problem.
fn add(
    layer: &mut Layer,
    key: (&'static str, bool),
    value: Value,
    origin: Origin,
    problems: &mut Vec<Problem>,
) {
    let (name, in_file) = key;
    if let Some(before) = layer.get(name) {
        let message = format!("is also given by {}; keep one of the two", before.origin);
        problems.push(Problem { setting: name.to_owned(), origin, message });
        return;
    }
    layer.insert(name, Given { value, origin, in_file });
}

fn read_file(path: &Path, problems: &mut Vec<Problem>) -> Result<Layer, ConfigError> {
    let text = read_bounded(path, FILE_MAX)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_at(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut layer = Layer::new();
    let mut sections = Vec::new();
    collect(table.get_ref(), "", &mut sections);
    for (key, value, offset) in sections {
        let origin = Origin::File { path: path.to_owned(), line: line_at(offset) };
        let Some(name) = resolve(&key) else {
            let message = format!("is no setting{}", nearest(&key));
            problems.push(Problem { setting: key, origin, message });
            continue;
        };
        match value {
            Ok(value) => add(&mut layer, name, value, origin, problems),
            Err(message) => problems.push(Problem { setting: key, origin, message }),
        }
    }
    Ok(layer)
}

/// A key with its sections, its value or what is wrong with its shape, and where it stands.
type Found = (String, Result<Value, String>, usize);

/// Lists the keys of a table and of the sections inside it. The parser bounds how deep tables nest.
fn collect(table: &DeTable<'_>, prefix: &str, found: &mut Vec<Found>) {
    for (key, value) in table.iter() {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &format!("{name}."), found),
            DeValue::Array(items) => {
                let items: Option<Vec<String>> = items.iter().map(scalar).collect();
                let value = items.map(Value::List).ok_or_else(|| "holds more than plain values".to_owned());
                found.push((name, value, key.span().start));
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                let value = scalar(value).map(Value::Text).ok_or_else(|| "is not a plain value".to_owned());
                found.push((name, value, key.span().start));
            }
        }
    }
}

fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    let value = value.get_ref();
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return Some(number.as_str().to_owned());
    }
    value.as_bool().map(|value| value.to_string())
}

fn read_environment(
    environment: impl Iterator<Item = (String, String)>,
    config: &mut Config,
    problems: &mut Vec<Problem>,
) -> Layer {
    let mut layer = Layer::new();
    for (name, value) in environment {
        if name.starts_with("AWS_") {
            config.aws.insert(name, Secret::new(value));
            continue;
        }
        if name == "SSL_CERT_FILE" && !value.is_empty() {
            config.ssl_cert_file = Some(PathBuf::from(value));
            continue;
        }
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let known = SETTINGS.iter().find_map(|setting| {
            let variable = setting.variable();
            let twin =
                || setting.is_secret() && rest.ends_with("_FILE") && name == format!("{variable}_FILE");
            if name == variable {
                Some((setting.name, false))
            } else {
                twin().then_some((setting.name, true))
            }
        });
        match known {
            // An empty variable is an unset one: container tools cannot leave variables out.
            Some(_) if value.trim().is_empty() => {}
            Some(key) => add(&mut layer, key, Value::Text(value), Origin::Variable(name), problems),
            None => config.warnings.push(format!(
                "variable {name} is no setting{}",
                SETTINGS
                    .iter()
                    .map(settings::Setting::variable)
                    .min_by_key(|variable| distance(variable, &name))
                    .filter(|variable| distance(variable, &name) <= 3)
                    .map_or_else(String::new, |variable| format!("; did you mean {variable}?"))
            )),
        }
    }
    config.warnings.sort_unstable();
    layer
}

fn read_flags(flags: &Flags, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new();
    for (name, value) in &flags.values {
        let origin = Origin::Flag(format!("--{}", name.replace('_', "-")));
        match resolve(name) {
            Some(key) => add(&mut layer, key, Value::Text(value.clone()), origin, problems),
            None => {
                let message = format!("is no setting{}", nearest(name));
                problems.push(Problem { setting: name.clone(), origin, message });
            }
        }
    }
    layer
}

/// The content of a secret's file without white space around it.
fn read_secret(path: &Value) -> Result<String, String> {
    let path = path.text()?;
    let text = read_bounded(Path::new(path), SECRET_FILE_MAX)
        .map_err(|error| format!("cannot be read from the file {path}: {error}"))?;
    match text.trim() {
        "" => Err(format!("is empty in the file {path}")),
        text => Ok(text.to_owned()),
    }
}

fn read_bounded(path: &Path, max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(max + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > max) {
        let message = format!("the file is larger than {max} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// `; did you mean …?` with the closest name, or the full name of a key that lacks its section.
fn nearest(key: &str) -> String {
    let names = || SETTINGS.iter().map(|setting| setting.name);
    let in_section = names().find(|name| name.split_once('.').is_some_and(|(_, rest)| rest == key));
    let close = names().min_by_key(|name| distance(name, key)).filter(|name| distance(name, key) <= 3);
    match in_section.or(close) {
        Some(name) => format!("; did you mean {name}?"),
        None => "; docs/configuration.md lists them all".to_owned(),
    }
}

/// Number of single-character edits between two names (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (to, above) in right.iter().zip(row.iter().skip(1)) {
            let edit = diagonal + usize::from(from != *to);
            before = edit.min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
