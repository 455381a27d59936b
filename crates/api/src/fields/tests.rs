//! Reading of bodies, member by member.

use serde_json::json;

use super::*;

fn fields(value: &Value) -> Fields {
    Fields::parse(value.to_string().as_bytes()).unwrap()
}

fn issues(fields: Fields) -> Vec<Issue> {
    match fields.finish() {
        Ok(()) => Vec::new(),
        Err(Error::Invalid(issues)) => issues,
        Err(error) => panic!("{error:?}"),
    }
}

fn paths(fields: Fields) -> Vec<Vec<PathItem>> {
    issues(fields).into_iter().map(|issue| issue.path).collect()
}

#[test]
fn a_missing_body_is_an_empty_object_and_anything_but_an_object_is_refused() {
    for body in ["", " \r\n", "{}"] {
        assert!(!Fields::parse(body.as_bytes()).unwrap().has("x"), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    for (body, path_code) in [
        ("{\"to\":", IssueCode::InvalidFormat { format: "json_string" }),
        ("{} {}", IssueCode::InvalidFormat { format: "json_string" }),
        ("{\"a\":\"\\ud800\"}", IssueCode::InvalidFormat { format: "json_string" }),
        (&deep, IssueCode::InvalidFormat { format: "json_string" }),
        ("[]", IssueCode::InvalidType { expected: "object", received: Some("array") }),
        ("null", IssueCode::InvalidType { expected: "object", received: Some("null") }),
    ] {
        let Err(Error::Invalid(issues)) = Fields::parse(body.as_bytes()) else { panic!("{body}") };
        assert_eq!((issues[0].path.as_slice(), &issues[0].code), (&[][..], &path_code));
    }
    let invalid_utf8 = Fields::parse(b"{\"a\":\"\xff\"}");
    assert!(matches!(invalid_utf8, Err(Error::Invalid(_))));
}

#[test]
fn every_violation_is_reported_at_once() {
    let mut f = fields(&json!({
        "name": "", "flag": "true", "when": "2026-01-01T00:00:00", "list": ["ok", 7, "toolong"], "to": 7,
        "client_id": "a@b", "status": "x", "line": "a\nb", "null": null,
    }));
    f.string("name", Text::upto(9).at_least(1));
    f.boolean("flag");
    f.time("when");
    f.string_list("list", 9, Text::upto(5));
    f.one_or_many("to", 9, Text::any());
    f.client_id();
    f.one_of("status", &["active", "paused"]);
    f.string("line", Text::any().single_line());
    f.not_null("null", "string");
    f.required_string("absent", Text::any());
    let want: Vec<Vec<PathItem>> = vec![
        vec!["name".into()],
        vec!["flag".into()],
        vec!["when".into()],
        vec!["list".into(), 1.into()],
        vec!["list".into(), 2.into()],
        vec!["to".into()],
        vec!["client_id".into()],
        vec!["status".into()],
        vec!["line".into()],
        vec!["null".into()],
        vec!["absent".into()],
    ];
    assert_eq!(paths(f), want);
}

#[test]
fn absent_and_null_are_told_apart_only_where_asked() {
    let mut f = fields(&json!({ "null": null, "text": "t" }));
    assert_eq!(f.nullable_string("null", Text::any()), Field::Null);
    assert_eq!(f.nullable_string("none", Text::any()), Field::Absent);
    assert_eq!(f.nullable_string("text", Text::any()), Field::Value("t".to_owned()));
    assert_eq!(f.string("null", Text::any()), None);
    assert_eq!(f.boolean("null"), None);
    assert_eq!(f.objects("null", 1, |_| ()), None);
    f.need_any(&["null"]);
    assert!(f.sound());
    f.need_any(&["none"]);
    assert_eq!(paths(f), vec![Vec::new()]);
}

#[test]
fn nul_characters_are_removed_unless_asked_for_raw() {
    let value = json!({ "s": "a\u{0}b", "o": { "k\u{0}": ["\u{0}v"] } });
    let mut f = fields(&value);
    assert_eq!(f.string("s", Text::upto(2)).as_deref(), Some("ab"));
    assert_eq!(f.raw("s"), Some(&json!("a\u{0}b")));
    assert_eq!(f.object("o").map(Value::Object), Some(json!({ "k": ["v"] })));
    assert_eq!(f.field("o"), Field::Value(json!({ "k": ["v"] })));
    assert_eq!(issues(f), Vec::new());
}

#[test]
fn one_or_many_takes_a_string_or_a_list() {
    let mut f = fields(&json!({ "one": "a", "many": ["a", "b"], "too": ["a", "b", "c"] }));
    assert_eq!(f.one_or_many("one", 2, Text::any()), Some(vec!["a".to_owned()]));
    assert_eq!(f.one_or_many("many", 2, Text::any()), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(f.one_or_many("too", 2, Text::any()), None);
    assert_eq!(
        issues(f).first().map(|issue| issue.code.clone()),
        Some(IssueCode::TooBig { origin: "array", maximum: 2, inclusive: true })
    );
}

#[test]
fn objects_in_lists_report_paths_from_the_root() {
    let mut f = fields(&json!({ "files": [{ "name": "a" }, { "name": 7 }, "x"] }));
    let names = f.objects("files", 5, |file| file.string("name", Text::any()));
    assert_eq!(names, Some(vec![Some("a".to_owned()), None]));
    assert_eq!(
        paths(f),
        vec![vec!["files".into(), 1_usize.into(), "name".into()], vec!["files".into(), 2_usize.into()]]
            as Vec<Vec<PathItem>>
    );
}

#[test]
fn a_client_id_has_its_alphabet_and_length() {
    for (text, good) in [
        ("a", true),
        ("A-z0.9_~", true),
        (&"x".repeat(256), true),
        (&"x".repeat(257), false),
        ("", false),
        ("a@b", false),
        ("a b", false),
        ("é", false),
    ] {
        assert_eq!(is_client_id(text), good, "{text}");
    }
}

#[test]
fn the_number_of_issues_is_bounded() {
    let mut f = fields(&json!({ "list": vec![1; 500] }));
    f.string_list("list", 1000, Text::any());
    assert_eq!(issues(f).len(), ISSUES_MAX);
}
