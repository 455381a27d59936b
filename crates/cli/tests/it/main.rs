//! The binary as an operator meets it: usage, exit codes, output.

use std::path::Path;
use std::process::{Command, Output};

fn podmail(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_podmail"))
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}

fn outcome(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = podmail(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    (output.status.code().expect("not killed"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["fly"],
        &["serve", "--no-such-flag"],
        &["org", "create"],
        &["org", "create", "a", "--inbox-limit", "many"],
        &["org", "set", "a", "--agent-armor", "loud"],
        &["key", "create", "--pod", "p", "--inbox", "a@b.example"],
        &["config", "--mode", "fast"],
    ] {
        assert_eq!(outcome(folder.path(), arguments).0, 2, "{arguments:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");
}

#[test]
fn help_and_version_exit_with_0() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["--version"], &["org", "--help"], &["doctor", "--help"]] {
        assert_eq!(outcome(folder.path(), arguments).0, 0, "{arguments:?}");
    }
}

#[test]
fn config_prints_what_flags_say_before_and_after_the_command() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["config", "--http", "off", "--domain", "mail.example"][..],
        &["--http", "off", "--domain", "mail.example", "config"],
    ] {
        let (code, stdout, stderr) = outcome(folder.path(), arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(stdout.contains("\nhttp = \"off\"\n"), "{stdout}");
        assert!(stdout.contains("\nhostname = \"mx.mail.example\"\n"), "{stdout}");
        assert!(stdout.contains("\noutbound = \"mx\"\n"), "{stdout}");
    }
    let (_, stdout, _) = outcome(folder.path(), &["config", "--mode", "dev", "--allow-private-egress=false"]);
    assert!(stdout.contains("\noutbound = \"capture\"\n"), "{stdout}");
    assert!(stdout.contains("\nallow_private_egress = false\n"), "{stdout}");
}

#[test]
fn a_switch_takes_a_value_or_none_before_and_behind_the_command() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, want) in [
        (&["config"][..], "false"),
        (&["config", "--allow-private-egress"], "true"),
        (&["--allow-private-egress", "config"], "true"),
        (&["--allow-private-egress", "true", "config"], "true"),
        (&["config", "--mode", "dev", "--allow-private-egress", "false"], "false"),
        (&["config", "--mode", "dev", "--allow-private-egress=false"], "false"),
    ] {
        let (code, stdout, stderr) = outcome(folder.path(), arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(stdout.contains(&format!("\nallow_private_egress = {want}\n")), "{arguments:?}");
    }
}

#[test]
fn every_top_level_setting_is_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let (_, stdout, _) = outcome(folder.path(), &["config"]);
    let (_, help, _) = outcome(folder.path(), &["config", "--help"]);
    let top = stdout.split("\n[").next().expect("a first part");
    let keys = top.lines().skip(1).filter_map(|line| line.trim_start_matches("# ").split([' ', ':']).next());
    let keys: Vec<_> = keys.filter(|key| key.contains(|c: char| c.is_ascii_lowercase())).collect();
    assert_eq!(keys.len(), 18, "{keys:?}");
    for key in keys {
        assert!(help.contains(&format!("--{}", key.replace('_', "-"))), "{key}");
    }
}

#[test]
fn a_bad_configuration_exits_with_1_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = outcome(folder.path(), &["config", "--smtp", "25"]);
    assert_eq!(code, 1);
    let want = "podmail: the configuration cannot be used: smtp (flag --smtp) `25` is not HOST:PORT";
    assert!(stderr.starts_with(want), "{stderr}");
}

// extras.md section 1
#[test]
fn operators_take_organizations_into_labs_and_out_again_by_id_or_name() {
    let folder = tempfile::tempdir().unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let (code, stdout, stderr) = outcome(folder.path(), arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&stdout).expect("one JSON object")
    };
    let made = json(&["org", "create", "acme", "--json"]);
    let id = made["organization_id"].as_str().expect("an id");
    let other = json(&["org", "create", "other", "--json"]);
    assert_eq!(json(&["org", "show", id, "--json"])["labs"], false, "nobody starts there");
    let changed = json(&["org", "set", id, "--labs", "on", "--json"]);
    assert_eq!((&changed["organization_id"], &changed["labs"]), (&made["organization_id"], &true.into()));
    assert_eq!(json(&["org", "set", "acme", "--labs", "on", "--json"])["labs"], true, "by its name");
    let (_, shown, _) = outcome(folder.path(), &["org", "show", "acme"]);
    assert!(shown.contains("\nlabs              on\n"), "{shown}");
    let kept = json(&["org", "set", "acme", "--inbox-limit", "5", "--json"]);
    assert_eq!(kept["labs"], true, "another change leaves it alone");
    assert_eq!(json(&["org", "set", "acme", "--labs", "off", "--json"])["labs"], false);

    let other = other["organization_id"].as_str().expect("an id");
    let everyone = folder.path().join("everyone.toml");
    std::fs::write(&everyone, "[labs]\neveryone = true\n").unwrap();
    let everyone = everyone.to_str().expect("UTF-8");
    for (organization, want) in [(id, false), (other, true)] {
        let shown = json(&["--config", everyone, "org", "show", organization, "--json"]);
        assert_eq!(shown["labs"], want, "whoever left stays out, the others are in: {organization}");
    }
    assert_eq!(json(&["org", "show", other, "--json"])["labs"], false, "they never joined themselves");

    for (arguments, want) in [
        (&["org", "set", id, "--labs", "maybe"][..], 2),
        (&["org", "set", id, "--labs"], 2),
        (&["org", "set", "nobody", "--labs", "on"], 1),
    ] {
        assert_eq!(outcome(folder.path(), arguments).0, want, "{arguments:?}");
    }
    assert_eq!(json(&["org", "show", id, "--json"])["labs"], false);
}
